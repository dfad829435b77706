// Command lambda is Scout as an AWS Lambda function on an SQS event source
// mapping with ReportBatchItemFailures. Its configuration is where
// SCOUT_CONFIG says: in Parameter Store (ssm:/path/name), in a file of the
// deployment package, or in the variable itself.
package main

import (
	"context"
	"log"
	"log/slog"
	"os"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"

	"scout/config"
)

func main() {
	level := os.Getenv("AWS_LAMBDA_LOG_LEVEL")
	handler := newLogHandler(os.Stdout, level)
	log.SetFlags(0) // aws-lambda-go reports errors to the standard logger
	log.SetOutput(slog.NewLogLogger(handler, slog.LevelError).Writer())
	loader := config.Loader{AWS: awsConfig}
	f := &function{
		load:    func(ctx context.Context) (*config.Config, error) { return loader.Load(ctx, "") },
		observe: (&emf{w: os.Stdout, function: os.Getenv("AWS_LAMBDA_FUNCTION_NAME"), level: level}).write,
		log:     slog.New(handler),
	}
	if err := f.init(); err != nil {
		f.log.Error("Scout cannot start", "error", err)
		os.Exit(1)
	}
	lambda.StartHandlerFunc[events.SQSEvent, events.SQSEventResponse](f.Handle)
}

// awsConfig reaches AWS with the role that Lambda puts into the environment.
// The SDK's own way to find credentials and regions would double the size of
// the binary and the time to start it.
func awsConfig(_ context.Context, c config.AWS) (aws.Config, error) {
	credentials := aws.Credentials{
		AccessKeyID:     os.Getenv("AWS_ACCESS_KEY_ID"),
		SecretAccessKey: os.Getenv("AWS_SECRET_ACCESS_KEY"),
		SessionToken:    os.Getenv("AWS_SESSION_TOKEN"),
	}
	if c.AccessKey != "" {
		credentials = aws.Credentials{AccessKeyID: c.AccessKey.Reveal(), SecretAccessKey: c.SecretKey.Reveal()}
	}
	loaded := aws.Config{
		Region:      c.Region,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return credentials, nil }),
	}
	if c.Endpoint != "" {
		loaded.BaseEndpoint = &c.Endpoint
	}
	return loaded, nil
}
