package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/spf13/cobra"

	"scout/config"
	"scout/internal/daemon"
	"scout/internal/sqsclient"
	"scout/sidekiq"
)

func newCheckCommand(o *options) *cobra.Command {
	var online bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Validate the configuration and, with --online, what it points at",
		Long: `Validate the configuration and show it with its defaults, without its secrets.

With --online, also look at Redis and the SQS queue, and say what to change.
Exits with 1 if something there would keep Scout from working or lose jobs.`,
		Args: cobra.NoArgs,
		RunE: withExitCode(func(cmd *cobra.Command, _ []string) error {
			c, err := o.load(cmd.Context(), config.Loader{AWS: sqsclient.AWSConfig})
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "# The configuration is valid.\n%s", c)
			if c.Queues[0].Label() == "" {
				fmt.Fprintln(cmd.OutOrStdout(), "# It names no SQS queue: the Lambda function needs none, scout run does.")
			}
			if !online {
				return nil
			}
			report := &report{w: cmd.OutOrStdout()}
			ctx, cancel := context.WithTimeout(cmd.Context(), 30*time.Second)
			defer cancel()
			checkRedisOnline(ctx, c, report)
			checkQueuesOnline(ctx, c, report)
			if report.failed > 0 {
				return fmt.Errorf("%d of the checks failed", report.failed)
			}
			return nil
		}),
	}
	cmd.Flags().BoolVar(&online, "online", false, "connect to Redis and SQS as well")
	return cmd
}

// A report prints findings, one a line.
type report struct {
	w      io.Writer
	failed int
}

func (r *report) ok(format string, args ...any)   { r.line("ok  ", format, args...) }
func (r *report) warn(format string, args ...any) { r.line("warn", format, args...) }
func (r *report) fail(format string, args ...any) { r.failed++; r.line("FAIL", format, args...) }

func (r *report) line(kind, format string, args ...any) {
	fmt.Fprintf(r.w, "%s  %s\n", kind, fmt.Sprintf(format, args...))
}

func checkRedisOnline(ctx context.Context, c *config.Config, r *report) {
	client, err := sidekiq.NewClient(c.Redis.ClientOptions())
	if err != nil {
		r.fail("%v", err)
		return
	}
	defer client.Close()
	info, err := client.Info(ctx)
	if err != nil {
		r.fail("%v", err)
		return
	}
	r.ok("Redis %s at %s answers%s", info.Version, client.Address(), sidekiqGeneration(info.Version))
	if info.Cluster {
		r.fail("Redis is a cluster, which Sidekiq does not work with: use one without cluster mode")
		return
	}
	switch {
	case info.Eviction == "" || info.Eviction == "noeviction":
		r.ok("Redis evicts nothing")
	case strings.HasPrefix(info.Eviction, "allkeys"):
		r.fail("maxmemory-policy is %s: %s", info.Eviction, daemon.EvictionAdvice(info.Eviction))
	default:
		r.warn("maxmemory-policy is %s: %s", info.Eviction, daemon.EvictionAdvice(info.Eviction))
	}
	if info.Max > 0 && info.Used > info.Max*8/10 {
		r.warn("%d %% of Redis's memory is in use", info.Used*100/info.Max)
	}
	queues := config.SidekiqQueues(c.Queues...)
	if err := client.Ready(ctx, queues...); err != nil {
		r.fail("Redis would take no jobs: %v", err)
		return
	}
	r.ok("Redis takes jobs for the queues %s", strings.Join(queues, ", "))
	if c.Limits != (config.Limits{}) {
		checkLimits(ctx, client, c.Limits, queues, r)
	}
}

func checkLimits(ctx context.Context, client *sidekiq.Client, limits config.Limits, queues []string, r *report) {
	load, err := client.Usage(ctx, queues)
	if err != nil {
		r.fail("the limits would have no effect: %v; a Redis user needs +llen +lindex +info", err)
		return
	}
	r.ok("the load that the limits are about can be measured")
	if limits.RedisMemory > 0 && load.MemoryMax == 0 {
		r.warn("the limit redis_memory has no effect: Redis has no maxmemory")
	}
}

// sidekiqGeneration says which Sidekiqs a Redis is new enough for: 6 wants
// Redis 4.0, 7 wants 6.2, and 8 wants 7.0.
func sidekiqGeneration(version string) string {
	major, minor, _ := strings.Cut(version, ".")
	minor, _, _ = strings.Cut(minor, ".")
	x, _ := strconv.Atoi(major)
	y, _ := strconv.Atoi(minor)
	switch {
	case x >= 7:
		return ""
	case x == 6 && y >= 2:
		return "; Sidekiq 8 would need Redis 7.0"
	case x >= 4:
		return "; Sidekiq 7 would need Redis 6.2, and Sidekiq 8 Redis 7.0"
	default:
		return "; Sidekiq 6 and newer need at least Redis 4.0"
	}
}

func checkQueuesOnline(ctx context.Context, c *config.Config, r *report) {
	if c.Queues[0].Label() == "" {
		r.ok("no SQS queue is configured; a Lambda function needs none here")
		return
	}
	client, err := sqsclient.NewSDK(ctx, c.AWS, slog.New(slog.DiscardHandler))
	if err != nil {
		r.fail("%v", err)
		return
	}
	for _, q := range c.Queues {
		checkQueueOnline(ctx, client, q, r)
	}
}

func checkQueueOnline(ctx context.Context, client *sqs.Client, q config.Queue, r *report) {
	url, err := sqsclient.QueueURL(ctx, client, q)
	if err != nil {
		r.fail("%v", err)
		return
	}
	out, err := client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll}})
	if err != nil {
		r.fail("reading the attributes of %s: %v", url, err)
		return
	}
	r.ok("the SQS queue %s is there, with %s messages", url, out.Attributes["ApproximateNumberOfMessages"])
	checkDeadLetters(out.Attributes["RedrivePolicy"], r)
	checkVisibility(q, out.Attributes["VisibilityTimeout"], r)
}

func checkDeadLetters(policy string, r *report) {
	var redrive struct {
		DeadLetterTargetArn string
		MaxReceiveCount     json.Number
	}
	if err := json.Unmarshal([]byte(policy), &redrive); err != nil || redrive.DeadLetterTargetArn == "" {
		r.fail("the queue has no dead-letter queue: a message that Scout refuses comes back until its retention ends, and is gone then; set a RedrivePolicy")
		return
	}
	if n, _ := redrive.MaxReceiveCount.Int64(); n < 5 {
		r.warn("a message goes to the dead-letter queue after %d receives: with fewer than 5, a short outage of Redis is enough; raise maxReceiveCount", n)
		return
	}
	r.ok("refused messages go to %s after %s receives", redrive.DeadLetterTargetArn, redrive.MaxReceiveCount)
}

func checkVisibility(q config.Queue, attribute string, r *report) {
	seconds, _ := strconv.Atoi(attribute)
	visibility := time.Duration(seconds) * time.Second
	if q.VisibilityTimeout > 0 {
		visibility = q.VisibilityTimeout
	}
	if visibility < 30*time.Second {
		r.warn("messages are visible again after %v: Redis may need longer when it is in trouble, and they would be received twice; use at least 30s", visibility)
		return
	}
	r.ok("messages that failed come back after %v", visibility)
}
