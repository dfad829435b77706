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
		Short: "Validate the configuration and, with --online, check Redis and SQS",
		Long: `Validate the configuration and print it with its defaults and without secrets.

With --online, also connect to Redis and SQS, and say what to change there. The
exit code is 1 if something there would keep Scout from working or lose messages.`,
		Args: cobra.NoArgs,
		RunE: withExitCode(func(cmd *cobra.Command, _ []string) error {
			c, err := o.load(cmd.Context(), config.Loader{AWS: sqsclient.AWSConfig})
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "# The configuration is valid.\n%s", c)
			if c.Queues[0].Label() == "" {
				fmt.Fprintln(cmd.OutOrStdout(), "# It names no SQS queue: scout run needs one, the Lambda function does not.")
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
				return fmt.Errorf("%d checks failed", report.failed)
			}
			return nil
		}),
	}
	cmd.Flags().BoolVar(&online, "online", false, "also connect to Redis and SQS")
	return cmd
}

// A report prints one finding per line.
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
	r.ok("Redis %s at %s answers%s", info.Version, client.Address(), sidekiqAdvice(info.Version))
	if info.Cluster {
		r.fail("Redis runs in cluster mode, which Sidekiq does not support: use a Redis without cluster mode")
		return
	}
	switch {
	case info.Eviction == "" || info.Eviction == "noeviction":
		r.ok("Redis evicts no keys")
	case strings.HasPrefix(info.Eviction, "allkeys"):
		r.fail("maxmemory-policy is %s: %s", info.Eviction, daemon.EvictionAdvice(info.Eviction))
	default:
		r.warn("maxmemory-policy is %s: %s", info.Eviction, daemon.EvictionAdvice(info.Eviction))
	}
	if info.Max > 0 && info.Used > info.Max*8/10 {
		r.warn("Redis uses %d %% of its memory", info.Used*100/info.Max)
	}
	queues := config.SidekiqQueues(c.Queues...)
	if err := client.Ready(ctx, queues...); err != nil {
		r.fail("Redis would accept no jobs: %v", err)
		return
	}
	r.ok("Redis accepts jobs for the queues %s", strings.Join(queues, ", "))
	if c.Limits != (config.Limits{}) {
		checkLimits(ctx, client, c.Limits, queues, r)
	}
}

func checkLimits(ctx context.Context, client *sidekiq.Client, limits config.Limits, queues []string, r *report) {
	usage, err := client.Usage(ctx, queues)
	if err != nil {
		r.fail("limits would have no effect: %v; the Redis user needs +llen +lindex +info", err)
		return
	}
	r.ok("Scout can measure what limits refer to")
	if limits.RedisMemory > 0 && usage.MemoryMax == 0 {
		r.warn("the limit redis_memory has no effect: Redis has no maxmemory")
	}
}

// sidekiqAdvice returns which versions of Sidekiq need a newer Redis: 6 needs
// Redis 4.0, 7 needs 6.2, and 8 needs 7.0.
func sidekiqAdvice(version string) string {
	major, minor, _ := strings.Cut(version, ".")
	minor, _, _ = strings.Cut(minor, ".")
	x, _ := strconv.Atoi(major)
	y, _ := strconv.Atoi(minor)
	switch {
	case x >= 7:
		return ""
	case x == 6 && y >= 2:
		return "; Sidekiq 8 needs Redis 7.0"
	case x >= 4:
		return "; Sidekiq 7 needs Redis 6.2, Sidekiq 8 needs Redis 7.0"
	default:
		return "; Sidekiq 6 and newer need Redis 4.0 or newer"
	}
}

func checkQueuesOnline(ctx context.Context, c *config.Config, r *report) {
	if c.Queues[0].Label() == "" {
		r.ok("no SQS queue is configured; the Lambda function needs none")
		return
	}
	client, err := sqsclient.New(ctx, c.AWS, slog.New(slog.DiscardHandler))
	if err != nil {
		r.fail("%v", err)
		return
	}
	for _, q := range c.Queues {
		checkQueueOnline(ctx, client, q, r)
	}
}

func checkQueueOnline(ctx context.Context, client *sqsclient.Client, q config.Queue, r *report) {
	url, err := client.QueueURL(ctx, q)
	if err != nil {
		r.fail("%v", err)
		return
	}
	out, err := client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll}})
	if err != nil {
		r.fail("reading the attributes of %s: %v", url, err)
		return
	}
	r.ok("the SQS queue %s exists and holds %s messages", url, out.Attributes["ApproximateNumberOfMessages"])
	checkDeadLetters(out.Attributes["RedrivePolicy"], r)
	checkVisibility(q, out.Attributes["VisibilityTimeout"], r)
}

func checkDeadLetters(policy string, r *report) {
	var redrive struct {
		DeadLetterTargetArn string
		MaxReceiveCount     json.Number
	}
	if err := json.Unmarshal([]byte(policy), &redrive); err != nil || redrive.DeadLetterTargetArn == "" {
		r.fail("the queue has no dead-letter queue: a message that Scout rejects returns to the queue until its retention period ends, and is then lost; set a RedrivePolicy")
		return
	}
	if n, _ := redrive.MaxReceiveCount.Int64(); n < 5 {
		r.warn("messages go to the dead-letter queue after %d receives: with fewer than 5, a short outage of Redis moves them there; raise maxReceiveCount", n)
		return
	}
	r.ok("rejected messages go to %s after %s receives", redrive.DeadLetterTargetArn, redrive.MaxReceiveCount)
}

func checkVisibility(q config.Queue, attribute string, r *report) {
	seconds, _ := strconv.Atoi(attribute)
	visibility := time.Duration(seconds) * time.Second
	if q.VisibilityTimeout > 0 {
		visibility = q.VisibilityTimeout
	}
	if visibility < 30*time.Second {
		r.warn("failed messages are redelivered after %v: a slow Redis may need longer, and messages are then received twice; set the visibility timeout to 30s or more", visibility)
		return
	}
	r.ok("failed messages are redelivered after %v", visibility)
}
