package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
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
	"scout/sidekiq"
)

// A devCommand is scout dev: Scout, SNS, SQS and Redis in one process.
type devCommand struct {
	*options
	listen      string
	listenRedis string
	demo, once  bool
	verbose     bool
	files       configFiles // the loaded files
}

func newDevCommand(o *options) *cobra.Command {
	d := &devCommand{options: o, files: configFiles{}}
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run SNS, SQS, Redis and Scout on this machine, without AWS",
		Long: `Run SNS, SQS, Scout and, unless REDIS_URL is set, Redis in this process, and
print the outcome of each message: its jobs, or the reason why it has none. Nothing
is sent to AWS: of the configuration, only the queues' names and topics and the
format of the jobs are used. Without --config and SCOUT_CONFIG, the configuration is
./scout.yml or, if that does not exist, the one of the sample events. It is
reloaded when its file changes, or the manifest that it names in workers.

The address of SNS and SQS is also that of a page for the browser. It shows each
message with its jobs, publishes and replays messages, and shows the jobs in
Sidekiq's queues and sets.

With --demo, Scout publishes a sample event of each kind and always uses its own
Redis.

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
	cmd.Flags().BoolVarP(&d.verbose, "verbose", "v", false, "print the JSON of each job")
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
	log, err := d.openDevLog(cmd)
	if err != nil {
		return err
	}
	defer log.close()
	redis, redisErr := d.startRedis()
	defer redis.close()
	source, err := d.findConfig()
	if err != nil {
		return err
	}
	d.files.refresh(d.options) // before they are loaded, to miss no change
	c, err := d.loadConfig(ctx, redis.url)
	if err = cmp.Or(err, redisErr); err != nil { // the error of the configuration first
		return err
	}
	if redis.external {
		if err := checkRedis(ctx, c); err != nil {
			return err
		}
		log.Warn("jobs go to the Redis in REDIS_URL", "address", c.Redis.Address())
	}
	printer := newMessagePrinter(cmd.OutOrStdout(), d.verbose)
	printer.w = &devWriter{ctx: ctx, out: printer.w}
	stack, err := startStack(d.listen, source, c, log.Logger, printer.printDeadLetter)
	if err != nil {
		return err
	}
	defer stack.close()
	printer.printf("%s", d.banner(stack, source, redis))
	return d.serve(ctx, stack, printer, redis)
}

// openDevLog opens a devLog unless flags select another format.
func (d *devCommand) openDevLog(cmd *cobra.Command) (*commandLog, error) {
	if d.json || cmd.Flags().Changed("log-level") {
		return d.openLog(cmd.ErrOrStderr())
	}
	return newLog(cmd.ErrOrStderr(), newDevLog), nil
}

// banner describes the stack. Its configuration comes from source.
func (d *devCommand) banner(stack *stack, source string, redis devRedis) string {
	c := stack.current()
	owner := ""
	if redis.external {
		owner = "  (yours, from REDIS_URL)"
	}
	text := fmt.Sprintf("Config       %s\nSNS and SQS  %s\nRedis        %s%s\n", source, stack.endpoint(), c.Redis.Address(), owner) + routesText(c)
	if !d.once {
		text += "\nSee, publish and replay messages in a browser:\n  " + stack.endpoint() + "/\n" + instructions(c, redis.external)
	}
	return text + "\n"
}

// serve runs Scout on the stack until a signal or, with --once, until the demo
// is over. It reloads the configuration when one of its files changes.
func (d *devCommand) serve(ctx context.Context, stack *stack, printer *messagePrinter, redis devRedis) error {
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
	printer.align(stack.current())
	service := &daemon.Service{
		Config: stack.current(),
		Load: func(ctx context.Context) (*config.Config, error) {
			c, err := d.loadConfig(ctx, redis.url)
			if err != nil {
				return nil, err
			}
			printer.align(c)
			return stack.apply(c)
		},
		Log: stack.log,
		Observe: func(stats handler.Stats) {
			printer.observe(stats)
			stack.page.Observe(stats)
		},
		Detailed: true,
	}
	changed := make(chan os.Signal)
	service.Reload = changed
	go d.files.watch(ctx, d.options, changed)
	err := service.Run(ctx)
	cancel()
	if err = cmp.Or(err, <-result); err == nil {
		printer.summary()
	}
	return err
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

// loadConfig loads the configuration that findConfig has found.
func (d *devCommand) loadConfig(ctx context.Context, redisURL string) (*config.Config, error) {
	c, err := d.load(ctx, config.Loader{LocalRedis: redisURL})
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
