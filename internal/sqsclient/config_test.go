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

// An answer that begins before the request has been sent whole is read to its
// end all the same. Were it lost, so would be the messages in it, until their
// visibility timeout.
func TestEarlyAnswer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var answered atomic.Int64
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go answerEarly(conn, &answered)
		}
	}()
	client, err := NewSDK(t.Context(), config.AWS{Region: "us-east-1", AccessKey: "x", SecretKey: "x", Endpoint: "http://" + l.Addr().String()}, slog.New(slog.DiscardHandler))
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
	if answered.Load() != 300 {
		t.Errorf("%d answers", answered.Load())
	}
}

// answerEarly answers when it has read the header of a request.
func answerEarly(conn net.Conn, answered *atomic.Int64) {
	defer conn.Close()
	const body = `{"Messages":[{"MessageId":"m","ReceiptHandle":"h","Body":"b"}]}`
	for r := bufio.NewReader(conn); ; {
		request, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		answered.Add(1)
		fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: %d\r\n\r\n", len(body))
		_, _ = io.Copy(io.Discard, request.Body)
		time.Sleep(time.Millisecond)
		_, _ = io.Copy(conn, strings.NewReader(body))
	}
}
