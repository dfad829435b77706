package sidekiq

import (
	"bytes"
	"io"
	"net"
	"reflect"
	"runtime"
	"strconv"
	"testing"
	"testing/iotest"
	"time"

	"github.com/gomodule/redigo/redis"
)

// A bytesConn is a connection to a server that sends fixed bytes.
type bytesConn struct {
	net.Conn
	reader io.Reader
}

func (c *bytesConn) Read(b []byte) (int, error)      { return c.reader.Read(b) }
func (c *bytesConn) Close() error                    { return nil }
func (c *bytesConn) SetReadDeadline(time.Time) error { return nil }

// receiveAll returns the replies that redigo reads from a connection, and the
// error after the last.
func receiveAll(c net.Conn) (replies []any, _ error) {
	conn := redis.NewConn(c, time.Minute, time.Minute)
	for {
		reply, err := conn.Receive()
		if err != nil && !isReply(err) {
			return replies, err
		}
		if err != nil {
			reply = err
		}
		replies = append(replies, reply)
	}
}

func TestRepliesPassUnchanged(t *testing.T) {
	large := bytes.Repeat([]byte("x\r\n"), maxReply/3-100)
	stream := bytes.Join([][]byte{
		[]byte("+OK\r\n-ERR text\r\n:-12\r\n$-1\r\n*-1\r\n$0\r\n\r\n*0\r\n"),
		[]byte("*3\r\n:1\r\n*2\r\n$3\r\na\r\n\r\n+\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*0\r\n"),
		[]byte("$1048276\r\n"), large, []byte("\r\n:1\r\n"),
	}, nil)
	stream = bytes.Replace(stream, []byte("1048276"), strconv.AppendInt(nil, int64(len(large)), 10), 1)
	for name, reader := range map[string]io.Reader{
		"at once":      bytes.NewReader(stream),
		"byte by byte": iotest.OneByteReader(bytes.NewReader(stream)),
	} {
		t.Run(name, func(t *testing.T) {
			want, _ := receiveAll(&bytesConn{reader: bytes.NewReader(stream)})
			got, err := receiveAll(&respConn{Conn: &bytesConn{reader: reader}, maxReply: maxReply})
			if err != io.EOF || len(want) != 10 || !reflect.DeepEqual(got, want) {
				t.Errorf("%d replies, want the same %d: %v", len(got), len(want), err)
			}
		})
	}
}

// Whatever a server sends, redigo neither panics nor allocates more than a few
// times the bound, and reads what a respConn passes on as it would without.
func FuzzReplies(f *testing.F) {
	for _, seed := range []string{
		"*2\r\n:1\r\n$9\r\nWRONGTYPE\r\n", "+OK\r\n-ERR x\r\n", "$-1\r\n*-1\r\n", "$9223372036854775807\r\n",
		"*4000000000\r\n", "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n", "$3\r\nabcd\r\n", ":+1\r\n", ":\r\n", "$\r\n", "*+1\r\n",
		"$00000000000000000000001\r\na\r\n", "HTTP/1.1 400 Bad Request\r\n\r\n", "\x15\x03\x01\x00\x02\x02\x16", "\r\n",
	} {
		f.Add([]byte(seed), uint8(1))
		f.Add([]byte(seed), uint8(64))
	}
	f.Fuzz(func(t *testing.T, data []byte, step uint8) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		reader := &bytesConn{reader: stepReader{bytes.NewReader(data), int(step)}}
		got, err := receiveAll(&respConn{Conn: reader, maxReply: 1 << 16})
		runtime.ReadMemStats(&after)
		if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 2<<20+100*uint64(len(data)) {
			t.Errorf("%d bytes allocated for %d", allocated, len(data))
		}
		if err == nil {
			t.Fatal("no error after the end")
		}
		if len(got) > 0 && err == io.EOF {
			want, _ := receiveAll(&bytesConn{reader: bytes.NewReader(data)})
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
		}
	})
}

// A stepReader reads at most step bytes at a time.
type stepReader struct {
	io.Reader
	step int
}

func (r stepReader) Read(b []byte) (int, error) {
	return r.Reader.Read(b[:min(len(b), max(1, r.step))])
}
