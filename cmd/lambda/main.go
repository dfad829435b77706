// Command lambda is Scout as an AWS Lambda function on an SQS event source
// mapping with ReportBatchItemFailures. Its configuration is where
// SCOUT_CONFIG says: in Parameter Store (ssm:/path/name), in a file of the
// deployment package, or in the variable itself.
package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"

	"scout/config"
	"scout/handler"
	"scout/internal/app"
)

func main() {
	log := slog.New(newLogHandler(os.Stdout, os.Getenv("AWS_LAMBDA_LOG_LEVEL")))
	h, err := newHandler(context.Background(), os.LookupEnv, log, os.Stdout)
	if err != nil {
		log.Error("Scout cannot start", "error", err)
		os.Exit(1)
	}
	lambda.StartHandlerFunc[events.SQSEvent, events.SQSEventResponse](h.Handle)
}

// initTimeout leaves some of the 10 s that Lambda gives the init phase.
const initTimeout = 8 * time.Second

// newHandler loads the configuration. Redis is dialled by the first batch:
// were it down now, no environment could start.
func newHandler(ctx context.Context, env func(string) (string, bool), log *slog.Logger, metrics io.Writer) (*handler.Handler, error) {
	ctx, cancel := context.WithTimeout(ctx, initTimeout)
	defer cancel()
	c, err := config.Loader{Env: env, AWS: awsConfig(env)}.Load(ctx, "")
	if err != nil {
		return nil, err
	}
	// An environment handles one batch at a time. During an outage of Redis it
	// tries until its deadline, and then fails the batch: the error slows the
	// event source mapping down, as failed messages would not.
	h, _, err := app.New(c, app.Limits{Conns: 2, RetryFor: 15 * time.Minute}, log)
	if err != nil {
		return nil, err
	}
	name, _ := env("AWS_LAMBDA_FUNCTION_NAME")
	level, _ := env("AWS_LAMBDA_LOG_LEVEL")
	h.Observe = (&emf{w: metrics, function: name, level: level}).write
	return h, nil
}

// awsConfig reaches AWS with the role that Lambda puts into the environment.
// The SDK's own way to find credentials and regions would double the size of
// the binary and the time to start it.
func awsConfig(env func(string) (string, bool)) func(context.Context, config.AWS) (aws.Config, error) {
	return func(_ context.Context, c config.AWS) (aws.Config, error) {
		get := func(name string) string { value, _ := env(name); return value }
		credentials := aws.Credentials{
			AccessKeyID:     get("AWS_ACCESS_KEY_ID"),
			SecretAccessKey: get("AWS_SECRET_ACCESS_KEY"),
			SessionToken:    get("AWS_SESSION_TOKEN"),
		}
		if c.AccessKey != "" {
			credentials = aws.Credentials{AccessKeyID: c.AccessKey.Reveal(), SecretAccessKey: c.SecretKey.Reveal()}
		}
		var endpoint *string
		if c.Endpoint != "" {
			endpoint = &c.Endpoint
		}
		return aws.Config{
			Region:       c.Region,
			BaseEndpoint: endpoint,
			Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
				return credentials, nil
			}),
		}, nil
	}
}
