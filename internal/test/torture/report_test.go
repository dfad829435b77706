//go:build torture

package torture

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// finish waits until all messages are handled, stops everything, and collects the
// remaining messages.
func (r *run) finish() {
	r.logf("no more faults; waiting until everything is handled")
	rejected := 0
	for n := range r.history.published() {
		if r.history.fate(n) == becomesDeadLetter {
			rejected++
		}
	}
	left := func(queue string) int {
		_, all, err := r.sqs.depth(queue)
		r.must(err)
		return all
	}
	var logged time.Time
	handled := func() bool {
		standard, fifo := left(standardQueue), left(fifoQueue)
		if time.Since(logged) > 30*time.Second {
			logged = time.Now()
			r.logf("%d messages left in %s, of which %d are rejected, and %d in %s", standard, standardQueue, rejected, fifo, fifoQueue)
		}
		n := r.history.published()
		return standard <= rejected && fifo == 0 && r.history.receivedOf(0, n) == n
	}
	if !r.await("all messages are handled", 20*time.Minute, handled) {
		n := r.history.published()
		r.history.violate(ruleUnhandled, -1, "%d messages are left in %s, want %d; %d are left in %s; no Scout has received %d",
			left(standardQueue), standardQueue, rejected, left(fifoQueue), fifoQueue, n-r.history.receivedOf(0, n))
	}
	rng := r.newRand()
	for _, d := range r.daemons {
		d.terminate(rng, true)
	}
	for _, m := range r.mappings {
		m.stop()
	}
	r.drain("")
	r.collectDeadSet()
	r.checkKeys()
	r.checkLogs()
	for _, queue := range []string{standardQueue, fifoQueue} {
		r.collectDeadLetters(queue)
	}
}

// checkLogs looks for Scouts that have crashed: a function that does is started again,
// and nothing else tells.
func (r *run) checkLogs() {
	logs, err := filepath.Glob(filepath.Join(r.dir, "*.log"))
	r.must(err)
	for _, log := range logs {
		text, err := os.ReadFile(log)
		r.must(err)
		if at := crashed.FindIndex(text); at != nil {
			r.history.violate(ruleExit, -1, "a Scout has crashed, says %s: %.300q", log, text[at[0]:])
		}
	}
}

// crashed is what the Go runtime and Lambda's write.
var crashed = regexp.MustCompile(`(?m)^(panic|fatal error): |resulted in a panic`)

// collectDeadLetters moves the remaining messages of a queue to its dead-letter queue,
// and records each with the reason why Scout has rejected it. It does not wait until
// Scout would receive the messages again, which can take 15 minutes.
func (r *run) collectDeadLetters(queue string) {
	once := map[string]string{"RedrivePolicy": redrivePolicy(queue, 1)}
	r.must(r.sqs.call("SetQueueAttributes", map[string]any{"QueueUrl": queue, "Attributes": once}, nil))
	if queue == standardQueue {
		for _, handle := range r.history.handles() {
			in := map[string]any{"QueueUrl": queue, "ReceiptHandle": handle, "VisibilityTimeout": 0}
			_ = r.sqs.call("ChangeMessageVisibility", in, nil) // fails if it is visible
		}
	}
	r.await("the queue is empty", 5*time.Minute, func() bool {
		_ = r.receive(queue)
		_, all, err := r.sqs.depth(queue)
		r.must(err)
		return all == 0
	})
	var bodies []string
	for messages := r.receive("dead-" + queue); len(messages) > 0; messages = r.receive("dead-" + queue) {
		for _, m := range messages {
			bodies = append(bodies, m.Body)
			r.must(r.sqs.call("DeleteMessage", map[string]any{"QueueUrl": "dead-" + queue, "ReceiptHandle": m.ReceiptHandle}, nil))
		}
	}
	for i, reason := range r.explain(queue, bodies) {
		n := -1
		if found := numberInBody.FindStringSubmatch(bodies[i]); found != nil {
			_, _ = fmt.Sscan(found[1], &n)
		}
		r.history.update(n, "dead letter: "+reason, func(m *message) { m.deadLetters = append(m.deadLetters, reason) })
	}
}

type sqsMessage struct{ ReceiptHandle, Body string }

func (r *run) receive(queue string) []sqsMessage {
	var out struct{ Messages []sqsMessage }
	r.must(r.sqs.call("ReceiveMessage", map[string]any{"QueueUrl": queue, "MaxNumberOfMessages": 10}, &out))
	return out.Messages
}

// explain returns why Scout rejects each message of a queue, "" if it does not.
func (r *run) explain(queue string, bodies []string) []string {
	if len(bodies) == 0 {
		return nil
	}
	type record map[string]string
	records := []record{}
	for i, body := range bodies {
		records = append(records, record{"messageId": fmt.Sprint(i), "body": body, "eventSource": "aws:sqs", "eventSourceARN": arn(queue)})
	}
	event, err := json.Marshal(map[string]any{"Records": records})
	r.must(err)
	cmd := exec.Command(scoutBinary, "explain", "-c", r.daemons[0].config, "-")
	cmd.Env, cmd.Stdin = []string{}, bytes.NewReader(event)
	output, err := cmd.CombinedOutput()
	if err != nil {
		r.Fatalf("scout explain: %v\n%s", err, output)
	}
	reasons := make([]string, len(bodies))
	i := -1
	for line := range strings.Lines(string(output)) {
		if strings.HasPrefix(line, "message ") {
			i++
		} else if reason, ok := strings.CutPrefix(line, "  rejected "); ok && i >= 0 && i < len(reasons) {
			reasons[i] = strings.TrimSpace(reason)
		}
	}
	return reasons
}

// report checks the history and prints a summary of the run.
func (r *run) report() {
	violations := r.history.judge()
	n := r.history.published()
	fmt.Printf("\nfaults:\n%v\n\n", r.faults)
	fmt.Printf("seed %d, %v: %d messages, %d kills of Scout, %d kills of Redis, %d failovers\n",
		r.seed, time.Since(r.history.start).Round(time.Second), n, r.kills.Load(), r.redisKills, r.failedOver)
	fmt.Printf("%d lost, %d doubled, %d order violations, %d other violations\n",
		count(violations, ruleLost), count(violations, ruleDoubled), count(violations, ruleOrder),
		len(violations)-count(violations, ruleLost)-count(violations, ruleDoubled)-count(violations, ruleOrder))
	fmt.Printf("longest recovery %v (%s); a message was received at most %d times\n",
		r.longest.Round(time.Millisecond), r.longestAfter, r.history.maxReceives())
	if len(violations) == 0 {
		return
	}
	for i, v := range violations {
		if before := count(violations[:i], v.rule); before < 10 {
			fmt.Printf("violation: %v\n", v)
		} else if before == 10 {
			fmt.Printf("violations of the rule %s: %d in all\n", v.rule, count(violations, v.rule))
		}
	}
	file := filepath.Join(r.dir, "history.txt")
	r.must(r.history.write(file, violations))
	r.Errorf("%d violations; their history is in %s, beside the logs. To repeat the schedule: "+
		"make torture SEED=%d MESSAGES=%d KILLS=%d REDIS_KILLS=%d FAILOVERS=%d WAIT=%d FAULTS='%s'",
		len(violations), file, r.seed, r.messages, r.minKills, r.minRedisKills, r.failovers, r.wait, *flagFaults)
}
