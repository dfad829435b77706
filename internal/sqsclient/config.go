package sqsclient

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go/logging"

	"scout/config"
)

// AWSConfig says how to reach AWS: as the configuration says and, where it
// says nothing, as the SDK finds out by itself.
func AWSConfig(ctx context.Context, c config.AWS) (aws.Config, error) {
	// The SDK would log to stderr in a form of its own.
	options := []func(*awsconfig.LoadOptions) error{awsconfig.WithLogger(logging.Nop{})}
	if c.Region != "" {
		options = append(options, awsconfig.WithRegion(c.Region))
	}
	if c.AccessKey != "" {
		options = append(options, awsconfig.WithCredentialsProvider(
			credentials.NewStaticCredentialsProvider(c.AccessKey.Reveal(), c.SecretKey.Reveal(), "")))
	}
	if c.Endpoint != "" {
		options = append(options, awsconfig.WithBaseEndpoint(c.Endpoint))
	}
	loaded, err := awsconfig.LoadDefaultConfig(ctx, options...)
	if err == nil && loaded.Region == "" {
		err = errors.New("no AWS region: set aws.region in the configuration, or AWS_REGION")
	}
	return loaded, err
}

// NewSDK returns a client for as many polls at a time as a configuration may
// ask for. Connections are kept for all of them: net/http keeps two by default,
// and a busy poller would open new ones all the time.
func NewSDK(ctx context.Context, c config.AWS, log *slog.Logger) (*sqs.Client, error) {
	loaded, err := AWSConfig(ctx, c)
	if err != nil {
		return nil, err
	}
	client, ok := loaded.HTTPClient.(*awshttp.BuildableClient) // with AWS_CA_BUNDLE, if that is set
	if !ok {
		client = awshttp.NewBuildableClient()
	}
	loaded.HTTPClient = wholeSender{client.WithTransportOptions(func(t *http.Transport) {
		t.MaxIdleConns = 0 // no limit
		t.MaxIdleConnsPerHost = 2 * config.MaxConcurrency
	})}
	loaded.Logger = logging.LoggerFunc(func(_ logging.Classification, format string, args ...any) {
		log.Debug("AWS SDK", "message", fmt.Sprintf(format, args...))
	})
	return sqs.NewFromConfig(loaded, func(o *sqs.Options) {
		// TCP and TLS watch over the bytes; an MD5 of each message on top costs
		// a twentieth of the throughput.
		o.DisableMessageChecksumValidation = true
	}), nil
}

// A wholeSender sends the header and the body of a request in one piece.
//
// The SDK gives net/http a body of a kind that this sends after the header, and
// makes it unreadable as soon as an answer begins. If net/http has not seen the
// body's end by then, it takes that for an error and closes the connection, so
// that the answer cannot be read: "deserialization failed, use of closed network
// connection" (smithy-go, transport/http/internal/io/safe.go, func WriteTo; see
// aws-sdk-go-v2#1825). For who receives messages, those in the answer are stuck
// then until their visibility timeout.
type wholeSender struct{ *awshttp.BuildableClient }

func (s wholeSender) Do(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		r = r.WithContext(r.Context()) // a copy
		// With GetBody, it can be sent again if the connection was cut while idle.
		r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
		r.Body, _ = r.GetBody()
	}
	return s.BuildableClient.Do(r)
}

// QueueURL returns the URL of the configured queue.
func QueueURL(ctx context.Context, client *sqs.Client, q config.Queue) (string, error) {
	if q.URL != "" {
		return q.URL, nil
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := client.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: &q.Name})
	if _, ok := errors.AsType[*types.QueueDoesNotExist](err); ok {
		return "", fmt.Errorf("there is no SQS queue %q in region %s of this AWS account: check queue.name, aws.region and the credentials", q.Name, client.Options().Region)
	}
	if err != nil {
		return "", fmt.Errorf("looking for the SQS queue %q: %w", q.Name, err)
	}
	return *out.QueueUrl, nil
}

// QueueARN makes the ARN of a queue of its URL, whose path is /account/name.
func QueueARN(region, queueURL string) string {
	u, err := url.Parse(queueURL)
	if err != nil {
		return ""
	}
	return "arn:aws:sqs:" + region + strings.ReplaceAll(strings.TrimSuffix(u.Path, "/"), "/", ":")
}

// QueueAttributes reads the attributes of a queue that are numbers.
func QueueAttributes(ctx context.Context, client *sqs.Client, queueURL string, names ...types.QueueAttributeName) (map[types.QueueAttributeName]int, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &queueURL, AttributeNames: names})
	if err != nil {
		return nil, fmt.Errorf("reading the attributes of the SQS queue %s: %w", config.QueueName(queueURL), err)
	}
	numbers := map[types.QueueAttributeName]int{}
	for name, text := range out.Attributes {
		if number, err := strconv.Atoi(text); err == nil {
			numbers[types.QueueAttributeName(name)] = number
		}
	}
	return numbers, nil
}
