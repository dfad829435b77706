package config

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/smithy-go"

	"scout/internal/printable"
)

const (
	ssmTimeout   = 2 * time.Second // of a call, including its retries
	ssmBatch     = 10              // maximum number of names in a GetParameters call
	maxErrorText = 300             // bytes of AWS's text in an error
)

// A parameter is the text of a parameter in Parameter Store, or why it could not be read.
type parameter struct {
	value string
	err   error
}

// openParameter returns the text of a parameter, and makes the parameter the
// source of the document.
func (l Loader) openParameter(ctx context.Context, name string, doc *document) ([]byte, error) {
	if !ssmName.MatchString(name) {
		return nil, Errors{{Source: doc.source, Message: "must name a parameter after ssm:, such as ssm:/myapp/scout"}}
	}
	// There is no section aws yet, so access depends on the environment alone.
	access := awsSoFar(node{document: doc})
	if len(doc.errs) > 0 {
		return nil, doc.errs.inOrder()
	}
	p := l.parameters(ctx, access, []string{name})[name]
	if p.err != nil {
		return nil, Errors{{Source: doc.source, Message: p.err.Error()}}
	}
	doc.source = ssmPrefix + name
	return []byte(p.value), nil
}

// parameters reads parameters from Parameter Store. Every name has an entry in the result.
func (l Loader) parameters(ctx context.Context, access AWS, names []string) map[string]parameter {
	client, clientErr := l.ssmClient(ctx, access)
	found := make(map[string]parameter, len(names))
	for batch := range slices.Chunk(names, ssmBatch) {
		values, err := map[string]string(nil), clientErr
		if err == nil {
			values, err = getParameters(ctx, client, batch)
		}
		for _, name := range batch {
			value, ok := values[name]
			switch {
			case err != nil:
				found[name] = parameter{err: reason(name, err)}
			case !ok:
				found[name] = parameter{err: fmt.Errorf("parameter %s does not exist (names are case-sensitive and belong to a region)", name)}
			default:
				found[name] = parameter{value: value}
			}
		}
	}
	return found
}

func (l Loader) ssmClient(ctx context.Context, access AWS) (*ssm.Client, error) {
	if l.AWS == nil {
		return nil, errors.New("no access to Parameter Store")
	}
	cfg, err := l.AWS(ctx, access)
	if err != nil {
		return nil, err
	}
	return ssm.NewFromConfig(cfg, func(o *ssm.Options) {
		if access.Endpoint != "" {
			o.BaseEndpoint = &access.Endpoint
		}
		// The SDK's maximum back-off of 20 s would outlast the call.
		o.Retryer = retry.AddWithMaxBackoffDelay(o.Retryer, ssmTimeout/10)
		o.HTTPClient = limitedClient{o.HTTPClient}
	}), nil
}

// A limitedClient limits the size of responses. Those of Parameter Store are
// small, because a parameter has at most 8 KiB.
type limitedClient struct{ ssm.HTTPClient }

func (c limitedClient) Do(r *http.Request) (*http.Response, error) {
	response, err := c.HTTPClient.Do(r)
	if err == nil {
		response.Body = http.MaxBytesReader(nil, response.Body, maxSize)
	}
	return response, err
}

// getParameters returns the values of those parameters that exist, by name.
func getParameters(ctx context.Context, client *ssm.Client, names []string) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(ctx, ssmTimeout)
	defer cancel()
	out, err := client.GetParameters(ctx, &ssm.GetParametersInput{Names: names, WithDecryption: aws.Bool(true)})
	if err != nil {
		return nil, err
	}
	values := make(map[string]string, len(names))
	for _, p := range out.Parameters {
		values[aws.ToString(p.Name)] = aws.ToString(p.Value)
	}
	return values, nil
}

// reason returns what the error of a call means for one of its parameters, and
// what to do about it.
func reason(name string, err error) error {
	var api smithy.APIError
	_, tooLarge := errors.AsType[*http.MaxBytesError](err)
	switch {
	case tooLarge:
		return fmt.Errorf("parameter %s: the response of Parameter Store is larger than %s", name, formatBytes(maxSize))
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("parameter %s: Parameter Store did not respond within %s; a function in a VPC needs a VPC endpoint for ssm", name, ssmTimeout)
	case !errors.As(err, &api):
		return fmt.Errorf("parameter %s: %w", name, err)
	case api.ErrorCode() == "AccessDeniedException":
		return fmt.Errorf("parameter %s: access denied; allow ssm:GetParameters on it, and kms:Decrypt on its key if it is a SecureString with a customer managed key (AWS: %s)", name, printable.Text(api.ErrorMessage(), maxErrorText))
	case api.ErrorCode() == "ThrottlingException":
		return fmt.Errorf("parameter %s: Parameter Store is throttling; try again, or enable higher throughput", name)
	}
	return fmt.Errorf("parameter %s: %s", name, printable.Text(api.ErrorCode()+": "+api.ErrorMessage(), maxErrorText))
}
