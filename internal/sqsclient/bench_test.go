package sqsclient

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"scout/internal/jsonscan"
)

// tenMessages returns the response to a receive of ten SNS envelopes of about the
// given size.
func tenMessages(size int) []byte {
	envelope := fmt.Sprintf(`{"Type":"Notification","MessageId":"7b0ee79b-4f0a-5b0c-9d0e-b8d1b1b0c0de","TopicArn":"arn:aws:sns:us-east-1:123456789012:orders",`+
		`"Message":"{\"id\":1,\"text\":\"%s\"}","Timestamp":"2026-11-26T00:00:00.000Z"}`, strings.Repeat("x", size))
	b := []byte(`{"Messages":[`)
	for i := range 10 {
		if i > 0 {
			b = append(b, ',')
		}
		b = fmt.Appendf(b, `{"MessageId":"00000000-0000-0000-0000-%012d","ReceiptHandle":"%s","MD5OfBody":"%032d","Attributes":{"ApproximateReceiveCount":"1","SentTimestamp":"1764115200000"},"Body":`,
			i, strings.Repeat("handle==", 40), i)
		b = append(jsonscan.AppendQuote(b, envelope), '}')
	}
	return append(b, "]}"...)
}

func BenchmarkDecodeReceive(b *testing.B) {
	for _, size := range []int{700, 100_000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			text := tenMessages(size)
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				if out := decodeReceive(text); out == nil || len(out.Messages) != 10 {
					b.Fatal(out)
				}
			}
		})
	}
}

// BenchmarkReceive includes a server that does almost nothing.
func BenchmarkReceive(b *testing.B) {
	for _, size := range []int{700, 100_000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			text := tenMessages(size)
			url := fastServer(b, fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: %d\r\n\r\n%s", len(text), text))
			c := newClient(newSDK(url, func(o *sqs.Options) { o.DisableMessageChecksumValidation = true }))
			b.ReportAllocs()
			for b.Loop() {
				if out, err := receive(b.Context(), c); err != nil || len(out.Messages) != 10 {
					b.Fatal(out, err)
				}
			}
		})
	}
}

// fastServer starts a server that sends a response to everything that ends in a
// brace, as the request of a receive does.
func fastServer(b *testing.B, response []byte) (url string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				in := make([]byte, 64<<10)
				for {
					n, err := c.Read(in)
					if err != nil {
						return
					}
					if bytes.HasSuffix(in[:n], []byte("}")) {
						_, _ = c.Write(response)
					}
				}
			}()
		}
	}()
	return "http://" + l.Addr().String()
}
