// Command invoke runs the Lambda function on one event, without AWS and
// without docker: what sam local invoke does, and it shows the jobs, too. It
// is what make invoke runs.
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

// Options are what the command line says.
type options struct {
	function, event, config string
	timeout                 time.Duration
}

func parse(args []string, stderr io.Writer) (o options, err error) {
	flags := flag.NewFlagSet("invoke", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.function, "function", "", "the function's bootstrap, built for this machine")
	flags.StringVar(&o.event, "event", "", "the file with the event")
	flags.StringVar(&o.config, "config", "", "the file with the configuration; without one, that of the sample events")
	flags.DurationVar(&o.timeout, "timeout", 30*time.Second, "how long the function may take")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if o.function == "" || o.event == "" || flags.NArg() > 0 {
		flags.Usage()
		return o, errors.New("-function and -event are needed, and nothing else but flags")
	}
	return o, nil
}

// run invokes the function, with a Redis of its own unless REDIS_URL is set.
// It writes the function's log to stderr, and its response and the jobs to
// stdout. An error is the function's, or says why it could not be invoked.
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
	jobs, err := watch(redisURL, c.Redis.Namespace)
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
	f.Close() // all is logged then
	if failure == nil {
		fmt.Fprintf(stdout, "\nRESPONSE\n%s\n", response)
	} else {
		failure = fmt.Errorf("the function failed: %w", failure)
	}
	return errors.Join(failure, jobs.print(stdout))
}

// startRedis returns the URL of the Redis at REDIS_URL or of one that it starts.
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

// configuration loads a configuration with another Redis than it names, and
// returns it with its text for the function, which finds that Redis at REDIS_URL.
func configuration(ctx context.Context, file, redisURL string) (text string, c *config.Config, err error) {
	if file == "" {
		sample, err := events.Files.ReadFile("scout.yml")
		if err != nil {
			return "", nil, err
		}
		file = string(sample) // which is where it is, too
	}
	c, err = config.Loader{LocalRedis: redisURL}.Load(ctx, file)
	if err != nil {
		return "", nil, err
	}
	return strings.Replace(c.String(), c.Redis.Address(), "env:REDIS_URL", 1), c, nil
}
