//go:build integration

package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"scout/internal/test/env"
)

// TestDevCommandsWork runs the commands that scout dev prints in a shell. Each command
// of the AWS CLI makes a job.
func TestDevCommandsWork(t *testing.T) {
	aws := env.AWSCLI(t)
	for name, test := range map[string]struct {
		config string
		want   []string // jobs
	}{
		"topic":         {"topics: {orders: OrderWorker}", []string{"orders .* OrderWorker"}},
		"ARN":           {`topics: {"arn:aws:sns:eu-west-1:123456789012:orders": OrderWorker}`, []string{"orders .* OrderWorker"}},
		"pattern":       {`topics: {"audit-*-?": AuditWorker}`, []string{"audit-example-x .* AuditWorker"}},
		"FIFO topic":    {`topics: {ledger.fifo: LedgerWorker}`, []string{"ledger.fifo .* LedgerWorker"}},
		"the best one":  {`topics: {"a*": A, b.fifo: B, c: {by: "attribute:x", to: {y: C}}, d: D}`, []string{"d .* D"}},
		"EventBridge":   {`eventbridge: {"shop.billing/Invoice Paid": PaidWorker}`, []string{"shop.billing/Invoice Paid .* PaidWorker"}},
		"plain":         {"topics: {orders: OrderWorker}\n  plain: PlainWorker", []string{"orders .* OrderWorker", "plain .* PlainWorker"}},
		"event pattern": {`eventbridge: {"aws.s3/Object *": UploadWorker}`, []string{"aws.s3/Object example .* UploadWorker"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("REDIS_URL", "")
			t.Setenv("SCOUT_CONFIG", "queue:\n  name: app\n  "+test.config+"\n")
			_, stdout, _ := runDev(t)
			script, commands := "", 0
			for stdout.Scan() {
				line := strings.TrimSpace(stdout.Text())
				if strings.HasPrefix(line, "export ") || strings.HasPrefix(line, "aws ") {
					script += line + "\n"
				}
				if strings.HasPrefix(line, "aws ") {
					commands++
				}
				if line == "" && commands > 0 {
					break
				}
			}
			cmd := exec.CommandContext(t.Context(), "sh", "-euc", script)
			cmd.Env = []string{"PATH=" + filepath.Dir(aws) + ":/usr/bin:/bin", "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null", "AWS_EC2_METADATA_DISABLED=true"}
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v:\n%s\n%s", err, script, out)
			}
			for _, want := range test.want {
				waitLine(t, stdout, " ✓ "+want+" ")
			}
			if strings.Count(script, "--endpoint-url http://127.0.0.1:") != commands || strings.Contains(script, "TOPIC") {
				t.Errorf("the commands are\n%s", script)
			}
		})
	}
}
