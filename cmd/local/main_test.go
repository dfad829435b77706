package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/gomodule/redigo/redis"
	"github.com/rogpeppe/go-internal/testscript"

	"scout/internal/devstack"
	"scout/internal/earlysignal"
)

func TestMain(m *testing.M) {
	if os.Getenv(runScout) != "" {
		main()
	}
	earlysignal.Restore()
	testscript.Main(m, map[string]func(){"scout": main, "waitjobs": waitJobs, "utf16": convertText})
}

// TestScripts runs the real command in the scripts of testdata/script.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":  exits,
			"stack":  startTestStack,
			"send":   send,
			"deny":   deny,
			"called": called,
		},
		Setup: func(env *testscript.Env) error {
			env.Vars = append(env.Vars, "AWS_REGION=us-east-1", "AWS_ACCESS_KEY_ID=x", "AWS_SECRET_ACCESS_KEY=x", "AWS_EC2_METADATA_DISABLED=true")
			return nil
		},
	})
}

// exits runs a command and checks its exit code: exits 2 scout check
func exits(ts *testscript.TestScript, _ bool, args []string) {
	want, _ := strconv.Atoi(args[0])
	err := ts.Exec(args[1], args[2:]...)
	got := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// startTestStack starts SNS, SQS and Redis, sets AWS_ENDPOINT_URL, REDIS_URL and
// STACK (host and port of the endpoint), and creates the named queues with their
// attributes: stack app VisibilityTimeout=60 -- app_dead. They are subscribed to the
// topic orders, and undelivered is the dead-letter queue of the subscriptions.
func startTestStack(ts *testscript.TestScript, _ bool, args []string) {
	redisServer, err := devstack.StartRedis("127.0.0.1:0")
	ts.Check(err)
	ts.Defer(redisServer.Close)
	server := devstack.NewServer()
	denied, called := &sync.Map{}, &sync.Map{}
	endpoint := httptest.NewServer(denying(denied, called, server))
	ts.Defer(func() { server.Close(); endpoint.Close() })
	ts.Setenv("REDIS_URL", "redis://"+redisServer.Addr())
	ts.Setenv("WRONG_REDIS_URL", "redis://:wr0ng@"+redisServer.Addr())
	ts.Setenv("AWS_ENDPOINT_URL", endpoint.URL)
	ts.Setenv("STACK", endpoint.Listener.Addr().String())
	topic, err := server.CreateTopic("orders", nil)
	ts.Check(err)
	undelivered, err := server.CreateQueue("undelivered", map[string]string{"Policy": snsPolicy})
	ts.Check(err)
	for queue := range strings.SplitSeq(strings.Join(args, " "), " -- ") {
		words := strings.Fields(queue)
		attributes := map[string]string{"Policy": snsPolicy}
		for _, word := range words[1:] {
			key, value, _ := strings.Cut(word, "=")
			attributes[key] = value
		}
		queueARN, err := server.CreateQueue(words[0], attributes)
		ts.Check(err)
		_, err = server.Subscribe(topic, queueARN, map[string]string{"RedrivePolicy": fmt.Sprintf(`{"deadLetterTargetArn":%q}`, undelivered)})
		ts.Check(err)
	}
	ts.Setenv("TOPIC", topic)
	servers.Store(ts, server)
	deniedActions.Store(ts, denied)
	calledActions.Store(ts, called)
	ts.Defer(func() { servers.Delete(ts); deniedActions.Delete(ts); calledActions.Delete(ts) })
}

// snsPolicy is the policy of a queue for messages of the topic orders.
const snsPolicy = `{"Statement":[
	{"Effect":"Deny","Principal":"*","Action":"sqs:*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"false"}}},
	{"Effect":"Allow","Principal":{"Service":"sns.amazonaws.com"},"Action":"sqs:SendMessage","Resource":"*",
	 "Condition":{"ArnEquals":{"aws:SourceArn":"arn:aws:sns:us-east-1:000000000000:orders"}}}]}`

// servers are the stacks of the running scripts, by *testscript.TestScript.
var servers sync.Map

// deniedActions are the actions of SQS and SNS that the stacks deny, by script.
var deniedActions sync.Map

// calledActions are the actions that were called, by script.
var calledActions sync.Map

// called checks which actions of the stack were called since its last use: called
// ReceiveMessage DeleteMessage
func called(ts *testscript.TestScript, _ bool, args []string) {
	actions, _ := calledActions.Load(ts)
	var got []string
	actions.(*sync.Map).Range(func(action, _ any) bool {
		got = append(got, action.(string))
		return true
	})
	actions.(*sync.Map).Clear()
	slices.Sort(got)
	if want := strings.Join(args, " "); strings.Join(got, " ") != want {
		ts.Fatalf("called %v, want %s", got, want)
	}
}

// deny makes the stack deny actions, and only those, on any queue or on one:
// deny ListSubscriptions GetQueueAttributes/app_dead
func deny(ts *testscript.TestScript, _ bool, args []string) {
	denied, _ := deniedActions.Load(ts)
	denied.(*sync.Map).Clear()
	for _, action := range args {
		denied.(*sync.Map).Store(action, true)
	}
}

// denying responds to denied actions as SQS and SNS do if the IAM policy does not allow
// them. It passes all other requests on to h. It adds each action to called.
func denying(denied, called *sync.Map, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		const message = "User: arn:aws:iam::1:user/u is not authorized to perform: %s because no identity-based policy allows the action"
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		form, _ := url.ParseQuery(string(body))
		var queue struct {
			QueueURL string `json:"QueueUrl"`
		}
		_ = json.Unmarshal(body, &queue)
		action, isSQS := strings.CutPrefix(r.Header.Get("X-Amz-Target"), "AmazonSQS.")
		if !isSQS {
			action = form.Get("Action")
		}
		_, isDenied := denied.Load(action)
		_, isDeniedHere := denied.Load(action + "/" + path.Base(queue.QueueURL))
		called.Store(action, true)
		switch {
		case !isDenied && !isDeniedHere:
			h.ServeHTTP(w, r)
		case isSQS:
			w.Header().Set("Content-Type", "application/x-amz-json-1.0")
			w.Header().Set("X-Amzn-Query-Error", "AccessDenied;Sender")
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprintf(w, `{"__type":"com.amazon.coral.service#AccessDeniedException","Message":"`+message+`"}`, "sqs:"+action)
		default:
			w.Header().Set("Content-Type", "text/xml")
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprintf(w, `<ErrorResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><Error><Type>Sender</Type><Code>AuthorizationError</Code><Message>`+message+`</Message></Error></ErrorResponse>`, "SNS:"+action)
		}
	})
}

// send publishes messages to the topic orders: send 1 2 3
func send(ts *testscript.TestScript, _ bool, args []string) {
	server, _ := servers.Load(ts)
	for _, message := range args {
		_, err := server.(*devstack.Server).Publish(ts.Getenv("TOPIC"), devstack.Notification{Message: message})
		ts.Check(err)
	}
}

// convertText is a command that writes a file as programs on Windows do, with a
// byte order mark: utf16 le|be|utf8bom FROM TO. For be, it omits the mark.
func convertText() {
	text, err := os.ReadFile(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	units := utf16.Encode([]rune(string(text)))
	var out []byte
	switch os.Args[1] {
	case "le":
		out, _ = binary.Append(nil, binary.LittleEndian, append([]uint16{0xfeff}, units...))
	case "be":
		out, _ = binary.Append(nil, binary.BigEndian, units)
	default:
		out = append([]byte("\ufeff"), text...)
	}
	if err := os.WriteFile(os.Args[3], out, 0o600); err != nil {
		log.Fatal(err)
	}
}

// waitJobs is a command that waits until the queue default of the Redis at
// $REDIS_URL has a number of jobs: waitjobs 2
func waitJobs() {
	want, _ := strconv.ParseInt(os.Args[1], 10, 64)
	conn, err := redis.DialURL(os.Getenv("REDIS_URL"))
	if err != nil {
		log.Fatal(err)
	}
	for range 1000 {
		n, err := redis.Int64(conn.Do("LLEN", "queue:default"))
		if err != nil {
			log.Fatal(err)
		}
		if n == want {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	log.Fatal("the jobs are not pushed")
}
