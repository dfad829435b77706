package sqsclient

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/credentials/ssocreds"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"

	"scout/internal/printable"
)

// A callError is the error of a call with a text for operators. The text is
// bounded and printable, even if it quotes a response that is neither.
type callError struct {
	text string
	err  error
}

func (e *callError) Error() string { return e.text }
func (e *callError) Unwrap() error { return e.err }

// explainErrors makes a client return callErrors.
func explainErrors(stack *middleware.Stack) error {
	return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("ExplainErrors",
		func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
			out, metadata, err := next.HandleInitialize(ctx, in)
			if err != nil {
				err = &callError{explain(err, awsmiddleware.GetOperationName(ctx), awsmiddleware.GetRegion(ctx)), err}
			}
			return out, metadata, err
		}), middleware.Before)
}

// setCredentials says where credentials may come from.
const setCredentials = "set aws.access_key and aws.secret_key, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine an IAM role"

// A credentialsError is the error of a credentialsProvider.
type credentialsError struct{ err error }

func (e *credentialsError) Error() string { return e.err.Error() }
func (e *credentialsError) Unwrap() error { return e.err }

// RetryableError tells the SDK not to repeat the call. The sources of credentials
// repeat their own calls, and after them there would be no time left.
func (e *credentialsError) RetryableError() bool { return false }

// A credentialsProvider returns credentialsErrors, so that explain can tell them
// from errors of the call that needs the credentials.
type credentialsProvider struct{ aws.CredentialsProvider }

func (p credentialsProvider) Retrieve(ctx context.Context) (aws.Credentials, error) {
	c, err := p.CredentialsProvider.Retrieve(ctx)
	if err != nil {
		err = &credentialsError{err}
	}
	return c, err
}

// explain returns the text for the error of a call. It says what to do, if that
// is known.
func explain(err error, operation, region string) string {
	detail := ""
	api, isAPI := errors.AsType[smithy.APIError](err)
	if isAPI {
		detail = printable.Text(api.ErrorCode()+": "+api.ErrorMessage(), 300)
	}
	if _, ok := errors.AsType[*ssocreds.InvalidTokenError](err); ok {
		return "the AWS SSO session has expired; run aws sso login"
	}
	// The chain has no OperationError of the call itself yet, only one of a call
	// for credentials.
	if inner, ok := errors.AsType[*smithy.OperationError](err); ok {
		switch {
		case inner.ServiceID == "ec2imds": // the SDK's last source of credentials
			return "no AWS credentials found; " + setCredentials
		case isAPI:
			return fmt.Sprintf("AWS gave no credentials for the configured role or profile; %s of %s failed (%s)", inner.OperationName, inner.ServiceID, detail)
		}
	}
	if c, ok := errors.AsType[*credentialsError](err); ok {
		if errors.Is(err, context.DeadlineExceeded) { // the SDK tries the metadata service of EC2 for longer than a call may take
			return "no AWS credentials found in time; " + setCredentials
		}
		return "AWS credentials could not be loaded; check the configured role, profile or process (" + printable.Text(c.Error(), 300) + ")"
	}
	if isAPI {
		if advice := advise(api.ErrorCode(), operation, region); advice != "" {
			return advice + " (" + detail + ")"
		}
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.IsNotFound {
		return fmt.Sprintf("the host %s does not exist; check aws.region and aws.endpoint", printable.Text(dns.Name, 300))
	}
	if dial, ok := errors.AsType[*net.OpError](err); ok && dial.Op == "dial" && dial.Addr != nil {
		return fmt.Sprintf("no connection to %s (%v); check aws.endpoint, AWS_ENDPOINT_URL and the network", dial.Addr, dial.Err)
	}
	return printable.Text(err.Error(), 500)
}

// advise returns what is wrong and what to do if SQS responds to an operation
// with an error code, or "" if the code does not tell. For the codes, see "Common
// Errors" in the API Reference of SQS and "Common error types" in that of IAM.
func advise(code, operation, region string) string {
	switch code {
	case "AccessDenied", "AccessDeniedException", "AuthorizationError":
		return "AWS denied access; allow sqs:" + strings.TrimSuffix(operation, "Batch") + " on the queue"
	case "KmsAccessDenied", "KMS.AccessDeniedException":
		return "AWS denied access to the KMS key of the queue; allow kms:Decrypt on it"
	case "ExpiredToken", "ExpiredTokenException", "RequestExpired":
		return "the AWS credentials have expired; renew them"
	case "InvalidClientTokenId", "UnrecognizedClientException", "InvalidAccessKeyId", "InvalidSecurity", "MissingAuthenticationToken":
		return "AWS does not accept the access key; check aws.access_key or AWS_ACCESS_KEY_ID, and aws.region"
	case "SignatureDoesNotMatch", "InvalidSignatureException", "IncompleteSignature":
		return "AWS does not accept the signature; check aws.secret_key or AWS_SECRET_ACCESS_KEY, and that aws.region is the region of the queue"
	case "QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue", "InvalidAddress":
		return "the queue does not exist in region " + region + "; check the name or URL of the queue, aws.region and the credentials"
	}
	return ""
}

// IsDenied reports whether AWS denied a call for lack of a permission. The code is
// AccessDenied in SQS's Query protocol, AccessDeniedException in its JSON protocol,
// and AuthorizationError in SNS.
func IsDenied(err error) bool {
	api, ok := errors.AsType[smithy.APIError](err)
	return ok && (strings.HasPrefix(api.ErrorCode(), "AccessDenied") || strings.HasPrefix(api.ErrorCode(), "AuthorizationError"))
}

// Reason returns the reason that AWS gives for an error, in parentheses after a
// space, or "".
func Reason(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok && api.ErrorMessage() != "" {
		return " (" + printable.Text(api.ErrorMessage(), 300) + ")"
	}
	return ""
}
