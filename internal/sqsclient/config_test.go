package sqsclient

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"scout/config"
)

// A response that begins before all of the request has been sent is read to its
// end. Otherwise, its messages would be invisible until their visibility timeout.
func TestEarlyResponse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var responses atomic.Int64
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go respondEarly(conn, &responses)
		}
	}()
	client, err := newSDKClient(t.Context(), config.AWS{Region: "us-east-1", AccessKey: "x", SecretKey: "x", Endpoint: "http://" + l.Addr().String()}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + l.Addr().String() + "/1/app"
	for i := range 300 {
		out, err := client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &url}, func(o *sqs.Options) { o.RetryMaxAttempts = 1 })
		if err != nil || len(out.Messages) != 1 {
			t.Fatalf("receive %d: %v", i, err)
		}
	}
	if responses.Load() != 300 {
		t.Errorf("%d responses, want 300", responses.Load())
	}
}

// respondEarly begins each response when it has read the header of the request.
func respondEarly(conn net.Conn, responses *atomic.Int64) {
	defer conn.Close()
	const body = `{"Messages":[{"MessageId":"m","ReceiptHandle":"h","Body":"b"}]}`
	for r := bufio.NewReader(conn); ; {
		request, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		responses.Add(1)
		fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: %d\r\n\r\n", len(body))
		_, _ = io.Copy(io.Discard, request.Body)
		time.Sleep(time.Millisecond)
		_, _ = io.Copy(conn, strings.NewReader(body))
	}
}

// Credentials in variables that are read from files end in a line break, which no
// header may contain.
func TestCredentialsWithLineBreak(t *testing.T) {
	for name, keys := range map[string][3]string{
		"none":       {"id", "key", "token"},
		"access key": {"id\n", "key", "token"},
		"secret key": {"id", "key\r\n", "token"},
		"token":      {"id", "key", "token\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("AWS_ACCESS_KEY_ID", keys[0])
			t.Setenv("AWS_SECRET_ACCESS_KEY", keys[1])
			t.Setenv("AWS_SESSION_TOKEN", keys[2])
			loaded, err := AWSConfig(t.Context(), config.AWS{Region: "us-east-1"})
			if err != nil {
				t.Fatal(err)
			}
			got, err := loaded.Credentials.Retrieve(t.Context())
			if err != nil || got.AccessKeyID != "id" || got.SecretAccessKey != "key" || got.SessionToken != "token" {
				t.Errorf("got %q, %q, %q, %v", got.AccessKeyID, got.SecretAccessKey, got.SessionToken, err)
			}
		})
	}
}
