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
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"scout/config"
	"scout/events"
	"scout/handler"
	"scout/internal/daemon"
	"scout/internal/devstack"
	"scout/internal/printable"
	"scout/internal/sqsclient"
	"scout/sidekiq"
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
--config and SCOUT_CONFIG, the configuration is ./scout.yml or, if that does not
exist, the one of the sample events.

With --demo, Scout publishes the sample events and always uses its own Redis.

SNS and SQS reject requests from web pages of other origins. They serve localhost,
loopback addresses and the host in --listen; with --listen 0.0.0.0:4566 also other
IP addresses, names without a dot, and host.docker.internal.`,
		Example: `  scout dev
  scout dev --demo --once`,
		Args: cobra.NoArgs,
		RunE: untilSignal(d.run),
	}
	cmd.Flags().StringVar(&d.listen, "listen", "127.0.0.1:4566", "`ADDRESS` of SNS and SQS; a port alone is on 127.0.0.1, port 0 is a free port")
	cmd.Flags().StringVar(&d.listenRedis, "listen-redis", "127.0.0.1:6380", "`ADDRESS` of Redis; a port alone is on 127.0.0.1, port 0 is a free port")
	cmd.Flags().BoolVar(&d.demo, "demo", false, "publish the sample events, with a Redis in this process")
	cmd.Flags().BoolVar(&d.once, "once", false, "with --demo: use free ports, and exit once the sample events are handled")
	return cmd
}

func (d *devCommand) run(ctx context.Context, cmd *cobra.Command) error {
	if d.once && !d.demo {
		return &failedError{errors.New("--once: requires --demo"), exitUsage}
	}
	if d.once {
		d.listen, d.listenRedis = "0", "0"
	}
	var err error
	if d.listen, err = listenAddress("listen", 4566, d.listen); err != nil {
		return err
	}
	if d.listenRedis, err = listenAddress("listen-redis", 6380, d.listenRedis); err != nil {
		return err
	}
	log, err := d.openLog(cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	defer log.close()
	redis, redisErr := d.startRedis()
	defer redis.close()
	source, c, err := d.loadConfig(ctx, redis.url)
	if err = cmp.Or(err, redisErr); err != nil { // the error of the configuration first
		return err
	}
	if redis.external {
		if err := checkRedis(ctx, c); err != nil {
			return err
		}
		log.Warn("jobs go to the Redis in REDIS_URL", "address", c.Redis.Address())
	}
	stack, err := startStack(ctx, d.listen, c, log.Logger)
	if err != nil {
		return err
	}
	defer stack.close()
	printer := newJobPrinter(cmd.OutOrStdout())
	printer.printf("%s", stack.instructions(source, redis.external))
	return d.serve(ctx, stack, printer)
}

// serve runs Scout on the stack until a signal or, with --once, until the demo
// is over.
func (d *devCommand) serve(ctx context.Context, stack *stack, printer *jobPrinter) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	result := make(chan error, 1)
	go func() {
		var err error
		if d.demo {
			err = stack.runDemo(ctx, printer)
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
		DecoratePusher: printer.decorate,
		Observe:        printer.observe,
	}
	if err := service.Run(ctx); err != nil {
		cancel()
		<-result
		return err
	}
	return <-result
}

// A devRedis is the Redis that jobs are pushed to.
type devRedis struct {
	url      string
	external bool // it is the one in REDIS_URL
	close    func()
}

// startRedis returns the Redis in REDIS_URL or, if that is empty or for the demo, a
// Redis that it starts. A REDIS_URL from the instructions of an earlier run counts
// as empty. With an error, it returns a Redis that is not running.
func (d *devCommand) startRedis() (devRedis, error) {
	own := "redis://" + d.listenRedis
	if url := os.Getenv("REDIS_URL"); url != "" && url != own && !d.demo {
		return devRedis{url: url, external: true, close: func() {}}, nil
	}
	server, err := devstack.StartRedis(d.listenRedis)
	if err != nil {
		return devRedis{url: own, close: func() {}}, listenError("Redis", "listen-redis", err)
	}
	return devRedis{url: "redis://" + server.Addr(), close: server.Close}, nil
}

// checkRedis returns an error unless the Redis in REDIS_URL accepts jobs.
func checkRedis(ctx context.Context, c *config.Config) error {
	client, err := sidekiq.NewClient(c.Redis.ClientOptions())
	if err == nil {
		defer client.Close()
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		err = client.Ready(ctx)
	}
	if err != nil {
		return fmt.Errorf("REDIS_URL: %w; or unset REDIS_URL to use a Redis in this process", err)
	}
	return nil
}

// listenError is the error of a server that could not listen at the address in a flag.
func listenError(server, flag string, err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("starting %s: %w; is another scout dev running? Choose another port with --%s", server, err, flag)
	}
	return fmt.Errorf("starting %s: %w; see --%s", server, err, flag)
}

// loadConfig loads the configuration and returns where it comes from.
func (d *devCommand) loadConfig(ctx context.Context, redisURL string) (source string, c *config.Config, err error) {
	o := *d.options
	if source, err = o.findConfig(); err != nil {
		return "", nil, err
	}
	c, err = o.load(ctx, config.Loader{LocalRedis: redisURL})
	if err != nil || !d.demo {
		return source, c, err
	}
	for _, q := range c.Queues {
		if strings.HasSuffix(q.Label(), ".fifo") {
			return "", nil, &failedError{errors.New("--demo: requires a standard queue, and the configured one is FIFO"), exitUsage}
		}
	}
	return source, c, nil
}

// findConfig returns where the configuration comes from: --config, SCOUT_CONFIG,
// ./scout.yml or the sample events. It sets o.config for the latter two.
func (o *options) findConfig() (source string, err error) {
	const file = "./scout.yml"
	switch {
	case strings.Contains(o.config, "\n"):
		return "--config", nil
	case o.config != "":
		return printable.Text(o.config, 0), nil
	case os.Getenv("SCOUT_CONFIG") != "":
		return "SCOUT_CONFIG", nil
	}
	if _, err := os.Stat(file); err == nil {
		o.config = file
		return file, nil
	}
	text, err := events.Files.ReadFile("scout.yml")
	o.config = string(text)
	return "the configuration of the sample events", err
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
		return nil, listenError("SNS and SQS", "listen", err)
	}
	s := &stack{config: adaptConfig(c, localAddress(listener.Addr())), server: devstack.NewServer(), log: log}
	s.server.Log = log
	s.server.OnTopic = s.subscribe
	s.http = &http.Server{Handler: devstack.LocalOnly(s.server, address), ReadHeaderTimeout: 5 * time.Second}
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

// localAddress returns the address at which this machine reaches a listener.
func localAddress(addr net.Addr) string {
	if tcp, ok := addr.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", strconv.Itoa(tcp.Port))
	}
	return addr.String()
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
			if topic := &q.Topics[j].Key; strings.HasPrefix(*topic, "arn:") && !strings.ContainsAny(*topic, "*?") {
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
			if strings.ContainsAny(route.Key, "*?") {
				continue // subscribed to when such a topic is created
			}
			if _, err := s.createTopic(handler.TopicName(route.Key)); err != nil {
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
		if handler.TopicName(route.Key) == topic {
			return true
		}
	}
	_, ok := handler.NewRouter(handler.Routes{Topics: q.Topics}).Topic(topic)
	return ok
}

// instructions describes the stack, whose configuration comes from source, and says
// how to point an app at it. externalRedis is whether its Redis is the one in
// REDIS_URL.
func (s *stack) instructions(source string, externalRedis bool) string {
	var b strings.Builder
	// A REDIS_URL that is set may contain a password, and need not be set again.
	whose, exportRedis := "", "  export REDIS_URL="+s.config.Redis.Address()+"\n"
	if externalRedis {
		whose, exportRedis = "  (yours, from REDIS_URL)", ""
	}
	fmt.Fprintf(&b, `Config       %s
SNS and SQS  %s
Redis        %s%s
`, source, s.config.AWS.Endpoint, s.config.Redis.Address(), whose)
	for _, q := range s.config.Queues {
		fmt.Fprintf(&b, "Queue        %s\n", q.Name)
		for _, section := range []struct {
			name   string
			routes []handler.Route
		}{{"Topic", q.Topics}, {"EventBridge", q.EventBridge}, {"S3", q.S3}} {
			for _, route := range section.routes {
				fmt.Fprintf(&b, "%-11s  %s\n", section.name, describe(route))
			}
		}
		if q.Plain != nil {
			fmt.Fprintf(&b, "Plain        %s\n", strings.Join(describeOutcome(q.Plain), ", "))
		}
	}
	fmt.Fprintf(&b, `
Point your app at it:
  export AWS_ENDPOINT_URL=%s AWS_REGION=us-east-1 AWS_DEFAULT_REGION=us-east-1
  export AWS_ACCESS_KEY_ID=scout AWS_SECRET_ACCESS_KEY=scout
%s  bundle exec sidekiq -q %s
Publish a message:
  aws sns publish --topic-arn arn:aws:sns:us-east-1:000000000000:TOPIC --message '{"id":1}'
Send one as it is, as EventBridge and S3 do:
  aws sqs send-message --queue-url %s --message-body file://event.json

`, s.config.AWS.Endpoint, exportRedis, strings.Join(config.SidekiqQueues(s.config.Queues...), " -q "), s.config.Queues[0].URL)
	return b.String()
}
