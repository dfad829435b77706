package sqsclient

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go/logging"

	"scout/config"
	"scout/internal/printable"
)

// AWSConfig returns how to reach AWS: as configured, and otherwise as the SDK's
// default chain says. It suits [config.Loader].AWS.
//
// The result does not include the endpoint of c, which is for single services.
// With it, the SDK would also send the calls that get credentials there, and
// with them the tokens that prove the caller's identity.
func AWSConfig(ctx context.Context, c config.AWS) (aws.Config, error) {
	// By default, the SDK logs to stderr in a format of its own.
	options := []func(*awsconfig.LoadOptions) error{awsconfig.WithLogger(logging.Nop{})}
	if c.Region != "" {
		options = append(options, awsconfig.WithRegion(c.Region))
	}
	if c.AccessKey != "" {
		options = append(options, awsconfig.WithCredentialsProvider(
			credentials.NewStaticCredentialsProvider(c.AccessKey.Reveal(), c.SecretKey.Reveal(), "")))
	} else if keys, found := keysWithLineBreak(); found {
		options = append(options, awsconfig.WithCredentialsProvider(credentials.StaticCredentialsProvider{Value: keys}))
	}
	loaded, err := awsconfig.LoadDefaultConfig(ctx, options...)
	if missing, ok := errors.AsType[awsconfig.SharedConfigProfileNotExistError](err); ok {
		return aws.Config{}, fmt.Errorf("the AWS profile %s does not exist; set AWS_PROFILE to a profile in ~/.aws/config, or unset it", printable.Text(missing.Profile, 100))
	}
	if err != nil {
		return aws.Config{}, err
	}
	if loaded.Region == "" {
		return aws.Config{}, errors.New("no AWS region: set aws.region in the configuration, or AWS_REGION")
	}
	client, ok := loaded.HTTPClient.(*awshttp.BuildableClient) // with AWS_CA_BUNDLE, if that is set
	if !ok {
		client = awshttp.NewBuildableClient()
	}
	loaded.HTTPClient = newHTTPClient(client)
	loaded.APIOptions = append(loaded.APIOptions, explainErrors)
	return loaded, nil
}

// keysWithLineBreak returns the credentials in the environment, without a line
// break at the end, if one of them has that. Values from files have it, and the SDK
// would put it into a header.
func keysWithLineBreak() (keys aws.Credentials, found bool) {
	env, err := awsconfig.NewEnvConfig()
	if err != nil || !env.Credentials.HasKeys() {
		return aws.Credentials{}, false
	}
	keys = env.Credentials
	for _, value := range []*string{&keys.AccessKeyID, &keys.SecretAccessKey, &keys.SessionToken} {
		*value = strings.TrimSuffix(strings.TrimSuffix(*value, "\n"), "\r")
	}
	return keys, keys != env.Credentials
}

// newSDKClient returns the SDK's client as Scout uses it.
func newSDKClient(ctx context.Context, c config.AWS, log *slog.Logger) (*sqs.Client, error) {
	loaded, err := AWSConfig(ctx, c)
	if err != nil {
		return nil, err
	}
	loaded.Logger = logging.LoggerFunc(func(_ logging.Classification, format string, args ...any) {
		log.Debug("AWS SDK", "message", fmt.Sprintf(format, args...))
	})
	loaded.Credentials = credentialsProvider{loaded.Credentials}
	return sqs.NewFromConfig(loaded, func(o *sqs.Options) {
		o.DisableMessageChecksumValidation = true
		if c.Endpoint != "" {
			o.BaseEndpoint = &c.Endpoint
		}
	}), nil
}
