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
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"scout/config"
	"scout/events"
	"scout/handler"
	"scout/internal/daemon"
	"scout/internal/devstack"
	"scout/internal/sqsclient"
)

// A devCommand is scout dev: Scout and all that it needs in one process.
type devCommand struct {
	*options
	listen      string
	listenRedis string
	demo, once  bool
}

func newDevCommand(o *options) *cobra.Command {
	d := &devCommand{options: o}
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run SNS, SQS, Redis and Scout on this machine, without AWS",
		Long: `Run SNS, SQS, Scout and, unless REDIS_URL is set, Redis in this process, and
show each job that Scout pushes. Nothing is sent to AWS: of the configuration,
only the queues' names and topics and the format of the jobs are used. Without
a configuration, the one of the sample events is used.`,
		Args: cobra.NoArgs,
		RunE: withExitCode(d.run),
	}
	cmd.Flags().StringVar(&d.listen, "listen", "127.0.0.1:4566", "`ADDRESS` of SNS and SQS; port 0 picks a free port")
	cmd.Flags().StringVar(&d.listenRedis, "listen-redis", "127.0.0.1:6380", "`ADDRESS` of Redis; port 0 picks a free port")
	cmd.Flags().BoolVar(&d.demo, "demo", false, "publish the sample events")
	cmd.Flags().BoolVar(&d.once, "once", false, "with --demo: use free ports, and exit once the sample events are handled")
	return cmd
}

func (d *devCommand) run(cmd *cobra.Command, _ []string) error {
	if d.once && !d.demo {
		return &failedError{errors.New("--once: requires --demo"), exitUsage}
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
	redisURL, closeRedis, err := d.startRedis()
	if err != nil {
		return err
	}
	defer closeRedis()
	c, err := d.loadConfig(ctx, redisURL)
	if err != nil {
		return err
	}
	stack, err := startStack(ctx, d.listen, c, log)
	if err != nil {
		return err
	}
	defer stack.close()
	show := newShow(cmd.OutOrStdout())
	show.printf("%s", stack.instructions())
	return d.serve(ctx, stack, show)
}

// serve runs Scout on the stack until a signal or, with --once, until the demo
// is over.
func (d *devCommand) serve(ctx context.Context, stack *stack, show *show) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	result := make(chan error, 1)
	go func() {
		var err error
		if d.demo {
			err = stack.runDemo(ctx, show)
		}
		if d.once || err != nil {
			cancel()
		}
		result <- err
	}()
	service := &daemon.Service{
		Config:         stack.config,
		Load:           func(context.Context) (*config.Config, error) { return stack.config, nil },
		Log:            stack.log,
		DecoratePusher: show.decorate,
		Observe:        show.observe,
	}
	if err := service.Run(ctx); err != nil {
		cancel()
		<-result
		return err
	}
	return <-result
}

// startRedis returns the URL of the Redis at REDIS_URL, or of one that it starts
// if there is none. A REDIS_URL from the instructions of an earlier run counts
// as none.
func (d *devCommand) startRedis() (url string, closeRedis func(), err error) {
	if url := os.Getenv("REDIS_URL"); url != "" && url != "redis://"+d.listenRedis {
		return url, func() {}, nil
	}
	server, err := devstack.StartRedis(d.listenRedis)
	if err != nil {
		return "", nil, fmt.Errorf("starting Redis: %w; is scout dev running already? See --listen-redis", err)
	}
	return "redis://" + server.Addr(), server.Close, nil
}

// loadConfig loads the configuration, or the one of the sample events if none is
// given.
func (d *devCommand) loadConfig(ctx context.Context, redisURL string) (*config.Config, error) {
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
		if strings.HasSuffix(q.Label(), ".fifo") {
			return nil, &failedError{errors.New("--demo: requires a standard queue, and the configured one is FIFO"), exitUsage}
		}
	}
	return c, nil
}

// A stack is SNS and SQS in this process, with the configured queues and topics.
type stack struct {
	config *config.Config // the given one, adapted to the stack
	server *devstack.Server
	http   *http.Server
	arns   []string // of the queues
	client *sqsclient.Client
	log    *slog.Logger
}

func startStack(ctx context.Context, address string, c *config.Config, log *slog.Logger) (*stack, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("starting SNS and SQS: %w; is scout dev running already? See --listen", err)
	}
	s := &stack{config: adaptConfig(c, listener.Addr().String()), server: devstack.NewServer(), log: log}
	s.server.Log = log
	s.server.OnTopic = s.subscribe
	s.http = &http.Server{Handler: s.server, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = s.http.Serve(listener) }()
	if s.client, err = sqsclient.New(ctx, s.config.AWS, log); err == nil {
		err = s.createAll()
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// adaptConfig returns c for the stack at an address: its queues are there, and a
// topic is known by its name alone, whatever account and region c says.
func adaptConfig(c *config.Config, address string) *config.Config {
	adapted := *c
	adapted.AWS = config.AWS{Region: "us-east-1", AccessKey: "scout", SecretKey: "scout", Endpoint: "http://" + address, SDKOnly: c.AWS.SDKOnly}
	adapted.Limits = config.Limits{}
	adapted.Queues = slices.Clone(c.Queues)
	for i := range adapted.Queues {
		q := &adapted.Queues[i]
		q.Name = cmp.Or(q.Label(), "scout")
		q.URL = devstack.QueueURL(address, q.Name)
		q.WaitTime = time.Second // stops soon
		q.Topics = slices.Clone(q.Topics)
		for j := range q.Topics {
			if topic := &q.Topics[j].Topic; strings.HasPrefix(*topic, "arn:") && !strings.ContainsAny(*topic, "*?") {
				*topic = devstack.TopicARN(handler.TopicName(*topic))
			}
		}
	}
	return &adapted
}

// close ends the endpoint. What is in its queues is gone.
func (s *stack) close() {
	s.server.Close()
	_ = s.http.Close()
}

// createAll creates the queues, with dead-letter queues, and the topics that
// the configuration names.
func (s *stack) createAll() error {
	for _, q := range s.config.Queues {
		arn, err := s.createQueue(q.Name)
		if err != nil {
			return err
		}
		s.arns = append(s.arns, arn)
	}
	for _, q := range s.config.Queues {
		for _, route := range q.Topics {
			if strings.ContainsAny(route.Topic, "*?") {
				continue // subscribed to when such a topic is created
			}
			if _, err := s.createTopic(handler.TopicName(route.Topic)); err != nil {
				return err
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

// subscribe subscribes the queues to a new topic: each to those that it has
// routes for, and a single queue to every topic, so that a missing route shows.
func (s *stack) subscribe(topicARN string) {
	for i, q := range s.config.Queues {
		if len(s.arns) > 1 && !hasRoute(q, handler.TopicName(topicARN)) {
			continue
		}
		if _, err := s.server.Subscribe(topicARN, s.arns[i], nil); err != nil {
			s.log.Warn("subscription failed", "queue", q.Name, "topic", topicARN, "error", err)
		}
	}
}

// hasRoute reports whether a queue has a route for a topic of the stack.
func hasRoute(q config.Queue, topic string) bool {
	for _, route := range q.Topics {
		if handler.TopicName(route.Topic) == topic {
			return true
		}
	}
	return len(handler.NewRouter(q.Topics).Route(topic).Workers) > 0
}

// instructions returns what to do to point an app at the stack.
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
	if os.Getenv("REDIS_URL") == "" { // otherwise it is set already, perhaps with a password
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
