package sqsclient

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go"

	"scout/config"
	"scout/internal/printable"
)

// Errors of AWS say what to do and keep their types. Text from others in them
// is short and escaped.
func TestErrorsExplain(t *testing.T) {
	for _, test := range []struct {
		name, code string // as SQS sends it
		status     int
		want       string
	}{
		{"access denied", "com.amazon.coral.service#AccessDeniedException", 403, `AWS denied access; allow sqs:ReceiveMessage on the queue (AccessDeniedException: `},
		{"access denied by an older name", "AccessDenied", 403, `AWS denied access; allow sqs:ReceiveMessage on the queue (AccessDenied: `},
		{"key denied", "com.amazonaws.sqs#KmsAccessDenied", 400, `AWS denied access to the KMS key of the queue; allow kms:Decrypt on it (KmsAccessDenied: `},
		{"expired token", "com.amazon.coral.service#ExpiredTokenException", 403, `the AWS credentials have expired; renew them (ExpiredTokenException: `},
		{"unknown key", "com.amazon.coral.service#UnrecognizedClientException", 403, `AWS does not accept the access key; check aws.access_key or AWS_ACCESS_KEY_ID, and aws.region (UnrecognizedClientException: `},
		{"unknown token", "com.amazonaws.sqs#InvalidSecurity", 403, `AWS does not accept the access key; check aws.access_key or AWS_ACCESS_KEY_ID, and aws.region (InvalidSecurity: `},
		{"wrong secret or region", "com.amazon.coral.service#InvalidSignatureException", 403, `AWS does not accept the signature; check aws.secret_key or AWS_SECRET_ACCESS_KEY, and that aws.region is the region of the queue (InvalidSignatureException: `},
		{"missing queue", "com.amazonaws.sqs#QueueDoesNotExist", 400, `the queue does not exist in region eu-west-1; check the name or URL of the queue, aws.region and the credentials (QueueDoesNotExist: `},
		{"queue of another region", "com.amazonaws.sqs#InvalidAddress", 404, `the queue does not exist in region eu-west-1; check the name or URL of the queue, aws.region and the credentials (InvalidAddress: `},
		{"anything else", "com.amazonaws.sqs#Strange", 400, `https response error StatusCode: 400, RequestID: , api error Strange: `},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newService(t)
			c := configured(t, s.URL, false)
			both(t, c)
			s.setHandler(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(test.status)
				fmt.Fprintf(w, `{"__type":%q,"message":"\u001b[31m\n%s"}`, test.code, strings.Repeat("long ", 2_000))
			})
			for range 2 { // with the fast path, and without
				_, err := c.ReceiveMessage(t.Context(), receiveInput(), once)
				checkError(t, err, "operation error SQS: ReceiveMessage, "+test.want+`\u001b[31m`)
				if api, ok := errors.AsType[smithy.APIError](err); !ok || !strings.HasSuffix(test.code, api.ErrorCode()) {
					t.Errorf("the code of %v is lost", err)
				}
			}
		})
	}
}

func checkError(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || !strings.HasPrefix(err.Error(), want) || len(err.Error()) > 800 || printable.Text(err.Error(), 0) != err.Error() {
		t.Errorf("error = %.300v\nwant %s", err, want)
	}
}

// Errors about queues are those of AWS, too.
func TestQueueErrorsExplain(t *testing.T) {
	s := newService(t)
	s.setHandler(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, `{"__type":"AccessDenied","message":"no"}`)
	})
	c := configured(t, s.URL, false)
	_, err := c.QueueURL(t.Context(), config.Queue{Name: "app"})
	checkError(t, err, `looking for the SQS queue "app": operation error SQS: GetQueueUrl, AWS denied access; allow sqs:GetQueueUrl on the queue (AccessDenied: no)`)
	_, err = c.QueueAttributes(t.Context(), "http://sqs/1/app", "All")
	checkError(t, err, `reading the attributes of the SQS queue app: operation error SQS: GetQueueAttributes, AWS denied access; allow sqs:GetQueueAttributes on the queue (AccessDenied: no)`)
	_, err = c.DeleteMessageBatch(t.Context(), &sqs.DeleteMessageBatchInput{})
	if err == nil {
		t.Error("invalid input led to no error")
	}
	_, err = remove(t.Context(), c)
	checkError(t, err, `operation error SQS: DeleteMessageBatch, AWS denied access; allow sqs:DeleteMessage on the queue (AccessDenied: no)`)
}

// A region that does not exist shows as a host that does not exist.
func TestUnknownRegion(t *testing.T) {
	c := newSDK("https://sqs.eu-nowhere-1.amazonaws.com", func(o *sqs.Options) {
		o.APIOptions = append(o.APIOptions, explainErrors)
		o.HTTPClient = doer(func(*http.Request) (*http.Response, error) {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "sqs.eu-nowhere-1.amazonaws.com", IsNotFound: true}}
		})
	})
	_, err := receive(t.Context(), c)
	checkError(t, err, "operation error SQS: ReceiveMessage, the host sqs.eu-nowhere-1.amazonaws.com does not exist; check aws.region and aws.endpoint")
}

// If no server listens, the error names the address.
func TestNoServer(t *testing.T) {
	c := configured(t, "http://127.0.0.1:1", true)
	_, err := receive(t.Context(), c)
	checkError(t, err, "operation error SQS: ReceiveMessage, no connection to 127.0.0.1:1 (connect: connection refused); check aws.endpoint, AWS_ENDPOINT_URL and the network")
}

// Without usable credentials, one sentence says what to set.
func TestNoCredentials(t *testing.T) {
	const none = `no AWS credentials found; set aws.access_key and aws.secret_key, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine an IAM role`
	denied := newParty(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, `<ErrorResponse><Error><Code>AccessDenied</Code><Message>no role for you</Message></Error></ErrorResponse>`)
	})
	metadata := newParty(t, http.NotFound)

	all := logins(t)
	expired := all["SSO"]
	expired.files = map[string]string{".aws/config": expired.files[".aws/config"]}
	for name, test := range map[string]struct {
		login login
		env   []string
		want  string
	}{
		"nothing":        {login{}, nil, none},
		"no role":        {login{}, []string{"AWS_EC2_METADATA_DISABLED=false", "AWS_EC2_METADATA_SERVICE_ENDPOINT=" + metadata.URL}, none},
		"no token file":  {login{}, []string{"AWS_ROLE_ARN=arn:aws:iam::123456789012:role/app", "AWS_WEB_IDENTITY_TOKEN_FILE=/nowhere/token"}, `AWS credentials could not be loaded; check the configured role, profile or process (failed to `},
		"role denied":    {all["web identity"], []string{"AWS_ENDPOINT_URL_STS=" + denied.URL}, `AWS gave no credentials for the configured role or profile; AssumeRoleWithWebIdentity of STS failed (AccessDenied: no role for you)`},
		"no SSO session": {expired, nil, `the AWS SSO session has expired; run aws sso login`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			output := test.login.findQueue(t, "", "", test.env...)
			want := regexp.QuoteMeta(`looking for the SQS queue "app": operation error SQS: GetQueueUrl, ` + test.want)
			if !regexp.MustCompile(want).MatchString(output) {
				t.Errorf("output:\n%s\nwant %s", output, want)
			}
		})
	}
}

// The metadata service of a machine outside of AWS may never respond.
func TestNoCredentialsInTime(t *testing.T) {
	silent := newParty(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_ROLE_ARN", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_CONFIG_FILE", "/nowhere")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "false")
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", silent.URL)
	c, err := newSDKClient(t.Context(), config.AWS{Region: "us-east-1"}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = receive(ctx, c)
	checkError(t, err, "operation error SQS: ReceiveMessage, no AWS credentials found in time; set aws.access_key and aws.secret_key, or AWS_ACCESS_KEY_ID")
}

// A profile that does not exist is an error that says what to set.
func TestUnknownProfile(t *testing.T) {
	t.Setenv("AWS_PROFILE", "no\x1bsuch")
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(t.TempDir(), "config"))
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(t.TempDir(), "credentials"))
	_, err := AWSConfig(t.Context(), config.AWS{Region: "us-east-1"})
	const want = `the AWS profile no\u001bsuch does not exist; set AWS_PROFILE to a profile in ~/.aws/config, or unset it`
	if err == nil || err.Error() != want {
		t.Errorf("error = %v, want %s", err, want)
	}
}
