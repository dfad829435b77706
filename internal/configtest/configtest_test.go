package configtest

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"scout/config"
)

// run runs one test, written in YAML. It returns its differences, one a line.
func run(t *testing.T, test string) string {
	t.Helper()
	c, err := config.Loader{LocalRedis: "redis://localhost", Tests: true}.Load(t.Context(), `
queue:
  name: q
  topics:
    orders: {class: OrderWorker, args: [message, metadata]}
    ledger: {class: LedgerJob, active_job: true}
    arn:aws:sns:eu-west-1:123456789012:users: UserWorker
    users: ignore
    arn:aws:sns:eu-west-1:123456789012:mails: MailWorker
    arn:aws:sns:eu-west-1:123456789012:twice: W
    arn:aws:sns:eu-west-2:123456789012:twice: W
  plain: PlainWorker
tests: [`+test+"]\n")
	if err != nil {
		t.Fatal(err)
	}
	results, err := Run(c, c.Tests)
	if errs, ok := errors.AsType[config.Errors](err); ok {
		return errs[0].Key + ": " + errs[0].Message
	}
	var lines []string
	for _, d := range results[0].Differences {
		lines = append(lines, fmt.Sprintf("%d %d %s: %s, %s", d.Message, d.Job, d.Key, d.Expected, d.Actual))
	}
	return strings.Join(lines, "\n")
}

func TestRun(t *testing.T) {
	for name, c := range map[string]struct{ test, want string }{
		"the same":             {`{topic: orders, message: {b: [1.50, x], a: null}, jobs: [{queue: default, args: [{a: null, b: [1.50, x]}, {topic: orders}]}]}`, ""},
		"digits":               {`{topic: orders, message: [1, 100, 12345678901234567890], jobs: [{args: [[1.0, 1e2, 12345678901234567891], {}]}]}`, "0 1 args[0][0]: 1.0, 1\n0 1 args[0][1]: 1e2, 100\n0 1 args[0][2]: 12345678901234567891, 12345678901234567890"},
		"escapes":              {`{topic: orders, message: '{"a": "\u00e9<\/b>"}', jobs: [{args: [{a: é</b>}, {}]}]}`, ""},
		"keys of an argument":  {`{topic: orders, message: {a: 1}, jobs: [{args: [{b: 1}, {}]}]}`, "0 1 args[0].a: , 1\n0 1 args[0].b: 1, "},
		"kinds":                {`{topic: orders, message: {a: 1}, jobs: [{args: [[1], {}], retry: [true]}]}`, `0 1 args[0]: [1], {"a":1}` + "\n0 1 retry: [true], true"},
		"metadata":             {`{topic: orders, message: 1, jobs: [{args: [1, {topic: order, nothing: 1}]}]}`, "0 1 args[1].nothing: 1, \n" + `0 1 args[1].topic: "order", "orders"`},
		"no metadata":          {`{body: '{"source": "x", "n": 1}', jobs: [{args: [{source: x}]}]}`, "0 1 args[0].n: , 1"},
		"an ActiveJob":         {`{topic: ledger, message: {a: 1}, jobs: [{class: LedgerJob, args: [{a: 1}], wrapped: LedgerJob}]}`, ""},
		"name of an ARN":       {`{topic: mails, message: x, jobs: [{class: MailWorker}]}`, ""},
		"ARN":                  {`{topic: "arn:aws:sns:eu-west-1:123456789012:users", message: x, jobs: [{class: UserWorker}]}`, ""},
		"name of several ARNs": {`{topic: twice, message: x, jobs: [{class: W}]}`, "tests[0].topic: is the name of several topics in the configuration; use a full ARN"},
		"attributes":           {`{topic: orders, message: x, attributes: {a: "1"}, jobs: [{args: [x, {attributes: {a: "1"}}]}]}`, ""},
		"endless event":        {`{event: /dev/zero, ignored: true}`, "tests[0].event: cannot be read: the input is larger than 64 MiB; the path is relative to the file of the test"},
		"more jobs":            {`{topic: mails, message: x, jobs: [{}, {class: W}]}`, `0 2 : {"class":"W"}, `},
		"ignored instead":      {`{topic: users, message: x, jobs: [{}]}`, `1 0 : "job", "ignored"`},
	} {
		t.Run(name, func(t *testing.T) {
			if got := run(t, c.test); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}
