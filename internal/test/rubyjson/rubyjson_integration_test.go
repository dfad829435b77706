//go:build integration

// Package rubyjson tests what Scout accepts against many versions of Ruby's json:
// a job that is pushed must be one that each of them loads, saves again after a
// failure, and reads as the message meant it.
package rubyjson

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"scout/handler"
	"scout/internal/test/env"
	"scout/sidekiq"
)

const texts = 30_000

// TestRubyJSON generates messages, and gives each that becomes a job to each
// version of json. SCOUT_SEED makes other messages; SCOUT_RUBY_JSON names further
// versions: directories, separated by colons, that have json.rb and its extension.
func TestRubyJSON(t *testing.T) {
	seed, err := strconv.ParseUint(os.Getenv("SCOUT_SEED"), 10, 64)
	if err != nil {
		seed = 1
	}
	t.Logf("SCOUT_SEED=%d", seed)
	accepted, rejected := acceptedJobs(t, &generator{rand.New(rand.NewPCG(seed, 0))})
	t.Logf("%d messages accepted, %d rejected", len(accepted), rejected)
	if len(accepted) < texts/2 || rejected < texts/20 {
		t.Error("too few messages of one kind to show anything")
	}
	for _, ruby := range env.Rubies(t) {
		t.Run(ruby.Name, func(t *testing.T) {
			t.Parallel()
			check(t, ruby, accepted)
		})
	}
}

// A job is an accepted message.
type job struct {
	message string
	payload []byte
	want    string // what its arguments are, as check.rb prints them
}

// acceptedJobs returns the messages that Scout would push, and how many it rejects.
func acceptedJobs(t *testing.T, g *generator) (jobs []job, rejected int) {
	t.Helper()
	router := handler.NewRouter(handler.Routes{Topics: []handler.Route{{Key: "topic", Outcome: handler.Worker{JobTemplate: sidekiq.JobTemplate{Class: "Worker", Queue: "default"}}}}})
	for range texts {
		message := g.value(0)
		body, err := json.Marshal(map[string]string{
			"Type": "Notification", "TopicArn": "arn:aws:sns:us-east-1:123456789012:topic", "MessageId": "1", "Message": message,
		})
		if err != nil {
			t.Fatal(err)
		}
		translated, err := router.Translate(&events.SQSMessage{MessageId: "1", Body: string(body)}, time.Now())
		if err != nil {
			rejected++
			continue
		}
		payload := translated.Jobs[0].Payload
		jobs = append(jobs, job{message, payload, want(t, message, bytes.Contains(payload, []byte(`"args":["`)))})
	}
	return jobs, rejected
}

// check gives the jobs to a version of json.
func check(t *testing.T, ruby env.Ruby, jobs []job) {
	var input bytes.Buffer
	for _, j := range jobs {
		input.WriteString(base64.StdEncoding.EncodeToString(j.payload) + "\n")
	}
	cmd := ruby.Command(filepath.Join("testdata", "check.rb"))
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = &input, &stderr
	output, err := cmd.Output()
	version, output, _ := bytes.Cut(output, []byte("\n"))
	t.Logf("json %s, %s", version, ruby.Name)
	lines := strings.Split(strings.TrimSuffix(string(output), "\n"), "\n")
	if err != nil || len(lines) != len(jobs) {
		t.Fatalf("%d lines for %d jobs: %v\n%.4096s", len(lines), len(jobs), err, &stderr)
	}
	wrong := 0
	for i, j := range jobs {
		if lines[i] == j.want {
			continue
		}
		if wrong++; wrong <= 10 {
			t.Errorf("%.200s\n got  %.200s\n want %.200s", j.message, lines[i], j.want)
		}
	}
	if wrong > 0 {
		t.Errorf("%d of %d jobs are wrong", wrong, len(jobs))
	}
}

// want returns what check.rb must print for a message. It reads the message with
// the standard library, independently of Scout's scanner. A message that is not
// JSON becomes a string, and so may a number on its own: pushed says whether the
// argument that Scout made is a string.
func want(t *testing.T, message string, pushed bool) string {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(message))
	decoder.UseNumber()
	isNumber := strings.IndexAny(strings.TrimLeft(message, " \t\n"), "-0123456789") == 0
	if !json.Valid([]byte(message)) || isNumber && pushed {
		return "[s" + hex.EncodeToString([]byte(message)) + ",]"
	}
	return "[" + describe(t, decoder) + ",]"
}

// describe describes the next value in order, as a map would not.
func describe(t *testing.T, d *json.Decoder) string {
	t.Helper()
	token, err := d.Token()
	if err != nil {
		t.Fatal(err)
	}
	switch v := token.(type) {
	case json.Delim:
		text := v.String()
		for d.More() {
			text += describe(t, d)
			if v == '{' {
				text += ":" + describe(t, d)
			}
			text += ","
		}
		end, err := d.Token()
		if err != nil {
			t.Fatal(err)
		}
		return text + fmt.Sprint(end)
	case string:
		return "s" + hex.EncodeToString([]byte(v))
	case json.Number:
		if n, ok := new(big.Int).SetString(v.String(), 10); ok {
			return "i" + n.String()
		}
		f, _ := strconv.ParseFloat(v.String(), 64) // out of range: infinite, which no Ruby may read
		return fmt.Sprintf("f%016x", math.Float64bits(f))
	case bool:
		return strconv.FormatBool(v)
	default:
		return "nil"
	}
}
