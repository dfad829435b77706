// Command invoke runs the Lambda function on one event, like sam local invoke but
// without Docker, and shows the jobs that it pushed. make invoke runs it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"scout/config"
	"scout/events"
	"scout/internal/devstack"
	"scout/internal/test/lambdaruntime"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdout, os.Stderr); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "invoke:", err)
		}
		os.Exit(1)
	}
}

// options are the command line's.
type options struct {
	function, event, config string
	timeout                 time.Duration
}

func parse(args []string, stderr io.Writer) (o options, err error) {
	flags := flag.NewFlagSet("invoke", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.function, "function", "", "path of the function's bootstrap, built for this machine")
	flags.StringVar(&o.event, "event", "", "path of the event")
	flags.StringVar(&o.config, "config", "", "path of the configuration (default: the sample events' own)")
	flags.DurationVar(&o.timeout, "timeout", 30*time.Second, "timeout of the function")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if o.function == "" || o.event == "" || flags.NArg() > 0 {
		flags.Usage()
		return o, errors.New("invalid arguments: -function and -event are required, and there are only flags")
	}
	return o, nil
}

// run invokes the function with a Redis of its own, unless REDIS_URL is set. It
// writes the function's log to stderr, and the response and the jobs to stdout.
// The error is the function's, or says why it could not be invoked.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	event, err := os.ReadFile(o.event)
	if err != nil {
		return err
	}
	redisURL, closeRedis, err := startRedis()
	if err != nil {
		return err
	}
	defer closeRedis()
	text, c, err := configuration(ctx, o.config, redisURL)
	if err != nil {
		return err
	}
	jobs, err := watchJobs(redisURL, c.Redis.Namespace)
	if err != nil {
		return err
	}
	defer jobs.close()

	fmt.Fprintln(stderr, "LOG")
	f := &lambdaruntime.Function{
		Path:    o.function,
		Env:     append(os.Environ(), "SCOUT_CONFIG="+text, "REDIS_URL="+redisURL),
		Timeout: o.timeout,
		Log:     stderr,
	}
	response, failure := f.Invoke(ctx, event)
	f.Close() // returns when everything is logged
	if failure == nil {
		fmt.Fprintf(stdout, "\nRESPONSE\n%s\n", response)
	} else {
		failure = fmt.Errorf("the function failed: %w", failure)
	}
	return errors.Join(failure, jobs.print(stdout))
}

// startRedis returns REDIS_URL or, if that is unset, the URL of a Redis that it
// starts.
func startRedis() (url string, closeRedis func(), err error) {
	if url := os.Getenv("REDIS_URL"); url != "" {
		return url, func() {}, nil
	}
	server, err := devstack.StartRedis("127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	return "redis://" + server.Addr(), server.Close, nil
}

// configuration loads a configuration with redisURL in place of the Redis that it
// names, and returns it together with its text for the function, which refers to
// REDIS_URL.
func configuration(ctx context.Context, file, redisURL string) (text string, c *config.Config, err error) {
	if file == "" {
		sample, err := events.Files.ReadFile("scout.yml")
		if err != nil {
			return "", nil, err
		}
		file = string(sample) // Load takes the text itself, too
	}
	c, err = config.Loader{LocalRedis: redisURL}.Load(ctx, file)
	if err != nil {
		return "", nil, err
	}
	return strings.Replace(c.String(), c.Redis.Address(), "env:REDIS_URL", 1), c, nil
}
