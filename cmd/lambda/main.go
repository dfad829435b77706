// Command lambda is Scout as an AWS Lambda function for an SQS event source
// mapping with ReportBatchItemFailures. SCOUT_CONFIG holds its configuration or
// says where it is: ssm:/path/name in Parameter Store, or the path of a file in
// the deployment package.
package main

import (
	"context"
	"log"
	"log/slog"
	"os"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"

	"scout/config"
)

func main() {
	level := os.Getenv("AWS_LAMBDA_LOG_LEVEL")
	handler := newLogHandler(os.Stdout, level)
	log.SetFlags(0) // aws-lambda-go reports errors to the standard logger
	log.SetOutput(slog.NewLogLogger(handler, slog.LevelError).Writer())
	logger := slog.New(handler)
	loader := config.Loader{AWS: awsConfig}
	load := func(ctx context.Context) (*config.Config, error) { return loader.Load(ctx, "") }
	metrics := &emf{w: os.Stdout, function: os.Getenv("AWS_LAMBDA_FUNCTION_NAME"), level: level}
	f, err := newFunction(load, metrics.write, logger)
	if err != nil {
		logger.Error("start failed", "error", err)
		os.Exit(1)
	}
	lambda.Start(f)
}

// awsConfig returns how to reach AWS with the credentials of the function's role,
// which Lambda puts into the environment. The SDK's config package, which finds
// credentials anywhere, would double the binary's size and its start time.
func awsConfig(_ context.Context, c config.AWS) (aws.Config, error) {
	credentials := aws.Credentials{
		AccessKeyID:     os.Getenv("AWS_ACCESS_KEY_ID"),
		SecretAccessKey: os.Getenv("AWS_SECRET_ACCESS_KEY"),
		SessionToken:    os.Getenv("AWS_SESSION_TOKEN"),
	}
	if c.AccessKey != "" {
		credentials = aws.Credentials{AccessKeyID: c.AccessKey.Reveal(), SecretAccessKey: c.SecretKey.Reveal()}
	}
	return aws.Config{
		Region:      c.Region,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return credentials, nil }),
	}, nil
}
