package main

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// A stub is an SQS with a queue that is never empty.
type stub struct {
	latency   time.Duration
	next      atomic.Int64 // message
	deleted   atomic.Int64
	receiving atomic.Int64
}

func (s *stub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	request, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	receive := r.Header.Get("X-Amz-Target") == "AmazonSQS.ReceiveMessage"
	if receive {
		s.receiving.Add(1)
		defer s.receiving.Add(-1)
	}
	time.Sleep(s.latency)
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	if receive {
		_, _ = w.Write(s.batch())
		return
	}
	n := strings.Count(string(request), `"ReceiptHandle"`)
	s.deleted.Add(int64(n))
	var ids []string
	for i := range n {
		ids = append(ids, `{"Id":"`+strconv.Itoa(i)+`"}`)
	}
	fmt.Fprintf(w, `{"Failed":[],"Successful":[%s]}`, strings.Join(ids, ","))
}

var (
	message = `{\"id\":%d,\"lines\":[` + strings.Repeat(`{\"sku\":\"A-12345\",\"quantity\":2},`, 15) + `null]}`
	padding = strings.Repeat("A", 200)
)

// batch is an answer with ten messages.
func (s *stub) batch() []byte {
	b := append(make([]byte, 0, 20_000), `{"Messages":[`...)
	for i := range 10 {
		if i > 0 {
			b = append(b, ',')
		}
		n := s.next.Add(1)
		body := fmt.Sprintf(`{"Type":"Notification","MessageId":"00000000-0000-0000-0000-%012d","TopicArn":"arn:aws:sns:us-east-1:123456789012:bench","Message":"`+message+`","Timestamp":"2026-01-02T03:04:05.678Z","SignatureVersion":"1","Signature":"%s"}`, n, n, padding)
		sum := md5.Sum([]byte(body))
		b = fmt.Appendf(b, `{"MessageId":"m-%d","ReceiptHandle":"handle-%d","MD5OfBody":"%s","Attributes":{"ApproximateReceiveCount":"1","SentTimestamp":"1767323045678"},"Body":%q}`,
			n, n, hex.EncodeToString(sum[:]), body)
	}
	return append(b, "]}"...)
}
