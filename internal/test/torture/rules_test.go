package torture

import (
	"cmp"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"
)

// The rules of a history.
const (
	ruleLost      = "lost"      // an acknowledged message has become neither a job nor a dead letter, or was not received
	ruleDoubled   = "doubled"   // a message has become more than one job or dead letter
	ruleOrder     = "order"     // jobs of a FIFO group are in another order than their messages
	ruleReason    = "reason"    // a dead letter without a reason
	ruleMisplaced = "misplaced" // the outcome of a message differs from the configuration
	ruleContent   = "content"   // a job has another class or other arguments than its message says
	ruleInvented  = "invented"  // a job of a message that was not published
	ruleStranded  = "stranded"  // a Scout that stopped has left a message in flight
	ruleCutPoll   = "cut poll"  // a Scout gave up a long poll, whose messages SQS may have hidden
	ruleDelete    = "delete"    // a Scout did not repeat a deletion that had failed
	ruleOutage    = "outage"    // a Scout received messages although it had found Redis unusable
	ruleExit      = "exit"      // a Scout ended by itself, or ended incorrectly
	ruleUnhandled = "unhandled" // messages remain in the queue at the end
	ruleRecovery  = "recovery"  // Scout did not work again after Redis did
)

// A violation says that a rule was broken, and by which message; -1 for none.
type violation struct {
	rule    string
	message int
	text    string
}

func (v violation) String() string {
	if v.message < 0 {
		return fmt.Sprintf("%s: %s", v.rule, v.text)
	}
	return fmt.Sprintf("%s: message %d: %s", v.rule, v.message, v.text)
}

// judge returns the violations in a history that has ended.
func (h *history) judge() []violation {
	h.mu.Lock()
	defer h.mu.Unlock()
	found := slices.Clone(h.violations)
	for n, m := range h.messages {
		if rule, text := m.judge(); rule != "" {
			found = append(found, violation{rule, n, text})
		}
	}
	return append(found, h.checkOrder()...)
}

// judge returns the rule that a message breaks regardless of other messages, or "".
func (m *message) judge() (rule, text string) {
	jobs, letters, entries := len(m.jobs), len(m.deadLetters), len(m.deadEntries)
	outcomes := map[fate]int{becomesJob: jobs, becomesDeadLetter: letters, becomesDeadEntry: entries}
	got := fmt.Sprintf("%d jobs, %d dead letters, %d entries of the dead set", jobs, letters, entries)
	total := jobs + letters + entries
	switch {
	case total > 1:
		return ruleDoubled, got
	case total == 0 && m.fate != becomesNothing:
		return ruleLost, got
	case m.receives == 0: // nobody has ignored or rejected it
		return ruleLost, got + ", and no Scout has received it"
	case m.fate == becomesNothing && total > 0, m.fate != becomesNothing && outcomes[m.fate] == 0:
		return ruleMisplaced, fmt.Sprintf("%s; want: %s", got, m.fate)
	case jobs == 1 && m.jobs[0].list != m.list:
		return ruleMisplaced, fmt.Sprintf("a job in %s, want it in %s", m.jobs[0].list, m.list)
	case slices.Contains(m.deadLetters, ""), slices.Contains(m.deadEntries, ""):
		return ruleReason, got
	}
	return "", ""
}

// checkOrder returns a violation for each job that Sidekiq could have taken before the
// job of an earlier message of its group.
func (h *history) checkOrder() (found []violation) {
	type earlier struct {
		place
		n int
	}
	latest := map[string]map[string]earlier{} // by group and list: the job that was taken last
	for n, m := range h.messages {
		if m.group == "" || len(m.jobs) == 0 {
			continue
		}
		at := slices.MinFunc(m.jobs, comparePlaces)
		lists := latest[m.group]
		if lists == nil {
			lists = map[string]earlier{}
			latest[m.group] = lists
		}
		for _, before := range lists {
			sameList := before.list == at.list
			if at.drain < before.drain || sameList && comparePlaces(at, before.place) < 0 {
				found = append(found, violation{ruleOrder, n, fmt.Sprintf("its job is before that of message %d of the same group", before.n)})
			}
		}
		if before, ok := lists[at.list]; !ok || comparePlaces(at, before.place) > 0 {
			lists[at.list] = earlier{at, n}
		}
	}
	return found
}

func comparePlaces(a, b place) int {
	return cmp.Or(cmp.Compare(a.drain, b.drain), cmp.Compare(a.index, b.index))
}

// count returns the number of violations of a rule.
func count(violations []violation, rule string) (n int) {
	for _, v := range violations {
		if v.rule == rule {
			n++
		}
	}
	return n
}

const a, b = "queue:a", "queue:b"

// ruleTests are histories of messages that all were received, and the rules that they
// break.
var ruleTests = map[string]struct {
	record func(h *history)
	want   []string
}{
	"nothing wrong": {func(h *history) {
		h.publish(becomesJob, a, "g")
		h.publish(becomesJob, a, "g")
		h.publish(becomesNothing, "", "")
		h.found(map[string][]int{a: {0, 1}})
	}, nil},
	"lost":      {func(h *history) { h.publish(becomesJob, a, "") }, []string{ruleLost}},
	"rejected":  {func(h *history) { h.publish(becomesDeadLetter, "", "") }, []string{ruleLost}},
	"misplaced": {func(h *history) { h.publish(becomesJob, a, ""); h.found(map[string][]int{b: {0}}) }, []string{ruleMisplaced}},
	"not ignored": {func(h *history) {
		h.publish(becomesNothing, "", "")
		h.found(map[string][]int{b: {0}})
	}, []string{ruleMisplaced}},
	"doubled": {func(h *history) {
		h.publish(becomesJob, a, "")
		h.found(map[string][]int{a: {0}})
		h.found(map[string][]int{a: {0}})
	}, []string{ruleDoubled}},
	"doubled in a drain": {func(h *history) {
		h.publish(becomesJob, a, "")
		h.found(map[string][]int{a: {0, 0}})
	}, []string{ruleDoubled}},
	"doubled in another list": {func(h *history) {
		h.publish(becomesJob, a, "")
		h.found(map[string][]int{a: {0}, b: {0}})
	}, []string{ruleDoubled}},
	"a job and a dead letter": {func(h *history) {
		h.publish(becomesJob, a, "")
		h.found(map[string][]int{a: {0}})
		h.update(0, "", func(m *message) { m.deadLetters = []string{"r"} })
	}, []string{ruleDoubled}},
	"in both kinds of dead letters": {func(h *history) {
		h.publish(becomesDeadEntry, "", "")
		h.update(0, "", func(m *message) { m.deadLetters, m.deadEntries = []string{"r"}, []string{"r"} })
	}, []string{ruleDoubled}},
	"the other kind of dead letter": {func(h *history) {
		h.publish(becomesDeadEntry, "", "")
		h.update(0, "", func(m *message) { m.deadLetters = []string{"r"} })
	}, []string{ruleMisplaced}},
	"an innocent dead letter": {func(h *history) {
		h.publish(becomesJob, a, "")
		h.update(0, "", func(m *message) { m.deadLetters = []string{"r"} })
	}, []string{ruleMisplaced}},
	"a job that must be rejected": {func(h *history) {
		h.publish(becomesDeadLetter, "", "")
		h.found(map[string][]int{a: {0}})
	}, []string{ruleMisplaced}},
	"no reason": {func(h *history) {
		h.publish(becomesDeadEntry, "", "")
		h.update(0, "", func(m *message) { m.deadEntries = []string{""} })
	}, []string{ruleReason}},
	"no reason in the queue": {func(h *history) {
		h.publish(becomesDeadLetter, "", "")
		h.update(0, "", func(m *message) { m.deadLetters = []string{""} })
	}, []string{ruleReason}},
	"invented":     {func(h *history) { h.found(map[string][]int{a: {5}}) }, []string{ruleInvented}},
	"no number":    {func(h *history) { h.found(map[string][]int{a: {-1}}) }, []string{ruleInvented}},
	"during a run": {func(h *history) { h.violate(ruleExit, -1, "") }, []string{ruleExit}},
	"order in a list": {func(h *history) {
		h.publish(becomesJob, a, "g")
		h.publish(becomesJob, a, "g")
		h.found(map[string][]int{a: {1, 0}})
	}, []string{ruleOrder}},
	"order across drains": {func(h *history) {
		h.publish(becomesJob, a, "g")
		h.publish(becomesJob, b, "g")
		h.found(map[string][]int{b: {1}})
		h.found(map[string][]int{a: {0}})
	}, []string{ruleOrder}},
	"order in a list after a job of another": {func(h *history) {
		h.publish(becomesJob, a, "g")
		h.publish(becomesJob, b, "g")
		h.publish(becomesJob, a, "g")
		h.found(map[string][]int{a: {2, 0}, b: {1}})
	}, []string{ruleOrder}},
	"the first of two overtakes": {func(h *history) {
		h.publish(becomesJob, a, "g")
		h.publish(becomesJob, a, "g")
		h.found(map[string][]int{a: {1, 0, 1}})
	}, []string{ruleDoubled, ruleOrder}},
	"no order between groups": {func(h *history) {
		h.publish(becomesJob, a, "g")
		h.publish(becomesJob, a, "h")
		h.found(map[string][]int{a: {1, 0}})
	}, nil},
	"no order between lists of a drain": {func(h *history) {
		h.publish(becomesJob, a, "g")
		h.publish(becomesJob, b, "g")
		h.found(map[string][]int{a: {0}, b: {1}})
	}, nil},
}

func rulesOf(violations []violation) (rules []string) {
	for _, v := range violations {
		rules = append(rules, v.rule)
	}
	return rules
}

func TestRules(t *testing.T) {
	for name, c := range ruleTests {
		t.Run(name, func(t *testing.T) {
			h := newHistory()
			c.record(h)
			for n := range h.published() {
				h.received(n, "scout", "handle")
			}
			if got := rulesOf(h.judge()); !reflect.DeepEqual(got, c.want) {
				t.Errorf("judge() = %q, want %q", got, c.want)
			}
		})
	}
}

// A message that no Scout has received was lost on its way, whatever its outcome must
// be.
func TestNotReceived(t *testing.T) {
	h := newHistory()
	h.publish(becomesNothing, "", "")
	h.publish(becomesDeadLetter, "", "")
	h.update(1, "", func(m *message) { m.deadLetters = []string{"r"} })
	if got, want := rulesOf(h.judge()), []string{ruleLost, ruleLost}; !reflect.DeepEqual(got, want) {
		t.Errorf("judge() = %q, want %q", got, want)
	}
}

func TestContent(t *testing.T) {
	for _, c := range []struct {
		class, args string
		want        []string
	}{
		{"OrderWorker", `[{"n":0}]`, nil},
		{"StepWorker", `[{"n":0}]`, []string{ruleContent}},
		{"OrderWorker", `[{"n":0,"x":1}]`, []string{ruleContent}},
		{"OrderWorker", `[{"n":0},1]`, []string{ruleContent}},
		{"OrderWorker", `[]`, []string{ruleContent}},
	} {
		h := newHistory()
		h.publish(becomesJob, "queue:default", "")
		h.update(0, "", func(m *message) { m.text = digest(`{"n":0}`) })
		var args []json.RawMessage
		if err := json.Unmarshal([]byte(c.args), &args); err != nil {
			t.Fatal(err)
		}
		h.foundJob(0, c.class, args)
		if got := rulesOf(h.violations); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s %s: broken rules: %q, want %q", c.class, c.args, got, c.want)
		}
	}
}

// instanceTests are what a Scout has done with a message that it has received, and the
// rules that it breaks if it then ends.
var instanceTests = map[string]struct {
	do   func(i *instance)
	want []string
}{
	"nothing":                {func(i *instance) {}, []string{ruleStranded}},
	"deleted":                {func(i *instance) { i.remove("h", false) }, nil},
	"returned":               {func(i *instance) { i.hide("h", 0, false) }, nil},
	"returned with a delay":  {func(i *instance) { i.hide("h", 30, false) }, nil},
	"extended":               {func(i *instance) { i.hide("h", visibility, false) }, []string{ruleStranded}},
	"another's returned":     {func(i *instance) { i.hide("x", 0, false) }, []string{ruleStranded}},
	"another's deleted":      {func(i *instance) { i.remove("x", false) }, []string{ruleStranded}},
	"one deletion failed":    {func(i *instance) { i.remove("h", true) }, []string{ruleDelete}},
	"two deletions failed":   {func(i *instance) { i.remove("h", true); i.remove("h", true) }, []string{ruleDelete}},
	"deletion repeated":      {func(i *instance) { i.remove("h", true); i.remove("h", false) }, nil},
	"three deletions failed": {func(i *instance) { i.remove("h", true); i.remove("h", true); i.remove("h", true) }, nil},
}

func TestInstances(t *testing.T) {
	for name, c := range instanceTests {
		t.Run(name, func(t *testing.T) {
			i, start := newInstance("scout", ""), time.Now().Add(-time.Second)
			i.hold("h", 0)
			c.do(i)
			found := append(i.checkHeld(start, func(int) fate { return becomesJob }), i.checkDeletes()...)
			if got := rulesOf(found); !reflect.DeepEqual(got, c.want) {
				t.Errorf("broken rules: %q, want %q", got, c.want)
			}
		})
	}
}

// Only a return during an outage, with a delay, says that a Scout has given up.
func TestGaveUp(t *testing.T) {
	for _, c := range []struct {
		timeout int
		away    bool
		want    bool
	}{{30, true, true}, {30, false, false}, {visibility, true, false}, {0, true, false}} {
		i := newInstance("scout", "")
		i.hide("h", c.timeout, c.away)
		if i.gaveUp != c.want {
			t.Errorf("a visibility timeout of %d s, Redis away: %t; gave up: %t", c.timeout, c.away, i.gaveUp)
		}
	}
}
