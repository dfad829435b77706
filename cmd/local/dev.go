package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/spf13/cobra"

	"scout/config"
	"scout/events"
	"scout/handler"
	"scout/internal/devstack"
	"scout/internal/sqsclient"
	"scout/sidekiq"
)

// A dev is the command that runs Scout with all that it needs in one process.
type dev struct {
	*options
	listen      string
	listenRedis string
	demo, once  bool
}

func newDevCommand(o *options) *cobra.Command {
	d := &dev{options: o}
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run the whole loop on this machine: SNS, SQS, Redis and Scout, without AWS",
		Long: `Run SNS, SQS, Scout and, unless REDIS_URL is set, a Redis in this process, and
show each job that Scout pushes. Nothing is sent to AWS: of the configuration
only the queue's name and topics and the form of the jobs are used. Without a
configuration, that of the sample events is.`,
		Args: cobra.NoArgs,
		RunE: runs(d.run),
	}
	cmd.Flags().StringVar(&d.listen, "listen", "127.0.0.1:4566", "`ADDRESS` for SNS and SQS; port 0 takes a free one")
	cmd.Flags().StringVar(&d.listenRedis, "listen-redis", "127.0.0.1:6380", "`ADDRESS` for the Redis; port 0 takes a free one")
	cmd.Flags().BoolVar(&d.demo, "demo", false, "publish the sample events")
	cmd.Flags().BoolVar(&d.once, "once", false, "with --demo: exit when the samples are handled; on free ports")
	return cmd
}

func (d *dev) run(cmd *cobra.Command, _ []string) error {
	if d.once && !d.demo {
		return &failedError{errors.New("--once goes with --demo"), exitUsage}
	}
	if d.once {
		d.listen, d.listenRedis = "127.0.0.1:0", "127.0.0.1:0"
	}
	ctx, stop := untilSignal(cmd.Context())
	defer stop()
	log, err := d.logger(cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	redisURL, closeRedis, err := d.redis()
	if err != nil {
		return err
	}
	defer closeRedis()
	c, err := d.load(ctx, redisURL)
	if err != nil {
		return err
	}
	stack, err := startStack(ctx, d.listen, c, log)
	if err != nil {
		return err
	}
	defer stack.close()
	show := newShow(cmd.OutOrStdout())
	consumers, err := stack.consumers(ctx, show, log)
	if err != nil {
		return err
	}
	show.printf("%s", stack.instructions())
	return d.loop(ctx, consumers, stack, show)
}

// loop polls until a signal or, with --once, until the demo is over.
func (d *dev) loop(ctx context.Context, consumers []*consumer, stack *stack, show *show) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	result := make(chan error, 1)
	go func() {
		var err error
		if d.demo {
			err = stack.demo(ctx, show)
		}
		if d.once || err != nil {
			cancel()
		}
		result <- err
	}()
	var running sync.WaitGroup
	for _, c := range consumers {
		running.Go(func() { c.poller.Run(ctx) })
	}
	running.Wait()
	return <-result
}

// redis returns the URL of the Redis at REDIS_URL or of one that it starts:
// also if REDIS_URL is what an earlier run said to put there.
func (d *dev) redis() (url string, closeRedis func(), err error) {
	if url := os.Getenv("REDIS_URL"); url != "" && url != "redis://"+d.listenRedis {
		return url, func() {}, nil
	}
	server, err := devstack.StartRedis(d.listenRedis)
	if err != nil {
		return "", nil, fmt.Errorf("starting a Redis: %w; is scout dev running already? See --listen-redis", err)
	}
	return "redis://" + server.Addr(), server.Close, nil
}

// load loads the configuration, or that of the samples if there is none.
func (d *dev) load(ctx context.Context, redisURL string) (*config.Config, error) {
	o := *d.options
	if o.config == "" && os.Getenv("SCOUT_CONFIG") == "" {
		text, err := events.Files.ReadFile("scout.yml")
		if err != nil {
			return nil, err
		}
		o.config = string(text)
	}
	c, err := o.load(ctx, config.Loader{LocalRedis: redisURL})
	if err != nil || !d.demo {
		return c, err
	}
	for _, q := range c.Queues {
		if strings.HasSuffix(queueKey(q), ".fifo") {
			return nil, &failedError{errors.New("--demo: the samples are for a standard queue, and this one is FIFO"), exitUsage}
		}
	}
	return c, nil
}

// A stack is SNS and SQS in this process, with the configured queues and topics.
type stack struct {
	config *config.Config
	server *devstack.Server
	http   *http.Server
	arns   []string // of the queues
	client *sqs.Client
	log    *slog.Logger
}

func startStack(ctx context.Context, address string, c *config.Config, log *slog.Logger) (*stack, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("starting SNS and SQS: %w; is scout dev running already? See --listen", err)
	}
	s := &stack{config: c, server: devstack.NewServer(), log: log}
	s.server.Log = log
	s.server.OnTopic = s.subscribe
	s.http = &http.Server{Handler: s.server, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = s.http.Serve(listener) }()
	for i := range c.Queues {
		q := &c.Queues[i]
		q.Name = cmp.Or(q.Label(), "scout")
		q.URL = devstack.QueueURL(listener.Addr().String(), q.Name)
		q.WaitTime = time.Second // so that it stops soon
	}
	c.AWS = config.AWS{Region: "us-east-1", AccessKey: "scout", SecretKey: "scout", Endpoint: "http://" + listener.Addr().String()}
	if s.client, err = sqsclient.NewSDK(ctx, c.AWS, log); err == nil {
		err = s.createAll()
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// close ends the endpoint. What is in its queue is gone.
func (s *stack) close() {
	s.server.Close()
	_ = s.http.Close()
}

// createAll creates the queues, with dead-letter queues, and the topics that
// the configuration names, and makes routes for full ARNs fit them.
func (s *stack) createAll() error {
	for _, q := range s.config.Queues {
		arn, err := s.createQueue(q.Name)
		if err != nil {
			return err
		}
		s.arns = append(s.arns, arn)
	}
	for _, q := range s.config.Queues {
		for i := range q.Topics {
			route := &q.Topics[i]
			if strings.ContainsAny(route.Topic, "*?") {
				continue // subscribed to when such a topic is created
			}
			arn, err := s.createTopic(handler.TopicName(route.Topic))
			if err != nil {
				return err
			}
			if strings.HasPrefix(route.Topic, "arn:") {
				route.Topic = arn
			}
		}
	}
	return nil
}

func (s *stack) createQueue(name string) (arn string, err error) {
	attributes := map[string]string{}
	base, fifo := strings.CutSuffix(name, ".fifo")
	suffix := ""
	if fifo {
		attributes["FifoQueue"], suffix = "true", ".fifo"
	}
	dead, err := s.server.CreateQueue(base+"_dead"+suffix, attributes)
	if err != nil {
		return "", err
	}
	attributes["RedrivePolicy"] = fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":5}`, dead)
	return s.server.CreateQueue(name, attributes)
}

func (s *stack) createTopic(name string) (arn string, err error) {
	attributes := map[string]string{}
	if strings.HasSuffix(name, ".fifo") {
		attributes["FifoTopic"] = "true"
	}
	return s.server.CreateTopic(name, attributes)
}

// subscribe subscribes to a topic that was created: the only queue to every
// topic, as others may have published to it, and several to those that they have
// routes for.
func (s *stack) subscribe(topicARN string) {
	for i, q := range s.config.Queues {
		if len(s.arns) > 1 && !hasRoute(q, handler.TopicName(topicARN)) {
			continue
		}
		if _, err := s.server.Subscribe(topicARN, s.arns[i], nil); err != nil {
			s.log.Warn("the queue does not get what is published to the topic", "queue", q.Name, "topic", topicARN, "error", err)
		}
	}
}

// hasRoute reports whether a queue has a route for a topic, which is known by
// its name here, whatever the account and region in the configuration.
func hasRoute(q config.Queue, topic string) bool {
	for _, route := range q.Topics {
		if handler.TopicName(route.Topic) == topic {
			return true
		}
	}
	return len(handler.NewRouter(q.Topics).Route(topic).Workers) > 0
}

// consumers are Scout on this stack, showing what it pushes.
func (s *stack) consumers(ctx context.Context, show *show, log *slog.Logger) ([]*consumer, error) {
	client, err := sidekiq.NewClient(s.config.Redis.ClientOptions())
	if err != nil {
		return nil, err
	}
	show.Pusher = client
	var all []*consumer
	for _, q := range s.config.Queues {
		c, err := newConsumer(ctx, s.client, q, log)
		if err != nil {
			return nil, err
		}
		c.observe = show.observe
		c.change(s.config, q, handler.Handler{Client: show, Log: log})
		c.poller.Failing = client.Failing
		c.poller.Ready = func(ctx context.Context) error { return client.Ready(ctx) }
		all = append(all, c)
	}
	return all, nil
}

// instructions say how to point an app at the stack.
func (s *stack) instructions() string {
	var b strings.Builder
	fmt.Fprintf(&b, `SNS and SQS  %s
Redis        %s
`, s.config.AWS.Endpoint, s.config.Redis.Address())
	for _, q := range s.config.Queues {
		fmt.Fprintf(&b, "Queue        %s\n", q.Name)
		for _, route := range q.Topics {
			fmt.Fprintf(&b, "Topic        %s\n", describe(route))
		}
	}
	exportRedis := ""
	if os.Getenv("REDIS_URL") == "" { // else it is set already, perhaps with a password
		exportRedis = "  export REDIS_URL=" + s.config.Redis.Address() + "\n"
	}
	fmt.Fprintf(&b, `
Point your app at it:
  export AWS_ENDPOINT_URL=%s AWS_REGION=us-east-1 AWS_DEFAULT_REGION=us-east-1
  export AWS_ACCESS_KEY_ID=scout AWS_SECRET_ACCESS_KEY=scout
%s  bundle exec sidekiq -q %s
Publish a message:
  aws sns publish --topic-arn arn:aws:sns:us-east-1:000000000000:TOPIC --message '{"id":1}'

`, s.config.AWS.Endpoint, exportRedis, strings.Join(config.SidekiqQueues(s.config.Queues...), " -q "))
	return b.String()
}
