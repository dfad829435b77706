// Command bench measures the daemon on this machine: how many messages it moves
// from SQS to Redis, and what a message costs.
//
// Scout runs alone on processor 0. The other processors run a real redis-server
// and, in this process, an SQS that costs as little as possible (see stub), so
// that Scout is the bottleneck: the report says how much of its processor it
// used, which should be nearly all. The messages are SNS envelopes of 1 KB, or of
// -size bytes, each with its own ids, and Scout de-duplicates them, as it does by
// default. Jobs and markers are continuously removed from Redis.
//
// Scout reaches both without TLS, Redis through a unix socket. With -tls, Scout
// over https and rediss takes turns with Scout over http and redis, both over TCP,
// and the report ends with what TLS costs. Only Scout's side of it is measured.
//
// There are three modes:
//
//   - throughput (the default): the queue is never empty. With -latency, each
//     SQS call takes that much longer, as over a network. With -baseline, Scout
//     takes turns with a bare loop on the AWS SDK that does the minimum:
//     receive, push, delete.
//   - -rate N: N messages per second are published to an otherwise empty queue,
//     and bench measures how long each takes to become a job in Redis.
//   - -soak: throughput over a long time, with everything that may leak.
//
// CPU times differ between machines and with the machine's other work. Compare
// medians of runs in turns: -scout takes several binaries, separated by commas.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"time"
)

func main() {
	log.SetFlags(0)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		log.Fatalf("bench: %v", err)
	}
}

// options are the options of the command line.
type options struct {
	contenders []contender
	duration   time.Duration
	rounds     int
	latency    time.Duration
	size       int
	maxBytes   string
	rate       int
	soak       bool
}

func parse(args []string) (o options, err error) {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	scouts := flags.String("scout", "bin/scout", "the scout binary, or several, separated by commas")
	baseline := flags.Bool("baseline", false, "also measure a bare loop on the AWS SDK")
	withTLS := flags.Bool("tls", false, "measure scout with TLS to SQS and Redis, and without")
	flags.DurationVar(&o.duration, "duration", 5*time.Second, "how long to measure")
	flags.IntVar(&o.rounds, "rounds", 3, "how many times to measure")
	flags.DurationVar(&o.latency, "latency", 0, "how much longer each SQS call takes")
	flags.IntVar(&o.size, "size", defaultSize, "size of a message in bytes")
	flags.StringVar(&o.maxBytes, "max-bytes", "", "max_bytes in Scout's configuration")
	flags.IntVar(&o.rate, "rate", 0, "publish so many messages per second, and measure how soon they are jobs")
	flags.BoolVar(&o.soak, "soak", false, "measure once, and report every 30 s")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 || o.rounds < 1 || o.rate < 0 || o.rate > 0 && o.soak || *baseline && *withTLS {
		flags.Usage()
		return o, errors.New("invalid arguments: there are only flags; -rounds must be positive; -rate excludes -soak, and -baseline excludes -tls")
	}
	for path := range strings.SplitSeq(*scouts, ",") {
		c := contender{name: path, command: scoutCommand(path)}
		if *withTLS {
			o.contenders = append(o.contenders, contender{path + " with TLS", c.command, overTLS})
			c.link = overTCP
		}
		o.contenders = append(o.contenders, c)
	}
	if *baseline {
		o.contenders = append(o.contenders, bareLoop())
	}
	return o, nil
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	if len(args) > 0 && args[0] == bareCommand {
		return runBare(ctx, args[1:])
	}
	o, err := parse(args)
	if err != nil {
		return err
	}
	if err := leaveProcessor0(); err != nil {
		return err
	}
	switch {
	case o.rate > 0:
		return trickle(ctx, o, stdout)
	case o.soak:
		return soak(ctx, o, stdout)
	default:
		return throughput(ctx, o, stdout)
	}
}

// leaveProcessor0 moves this process, and the processes that it starts, to the
// other processors.
func leaveProcessor0() error {
	if runtime.NumCPU() < 2 {
		return errors.New("bench needs at least two processors, because Scout runs alone on one")
	}
	others := fmt.Sprintf("1-%d", runtime.NumCPU()-1)
	out, err := exec.Command("taskset", "--all-tasks", "--pid", "--cpu-list", others, strconv.Itoa(os.Getpid())).CombinedOutput()
	if err != nil {
		return fmt.Errorf("taskset: %w: %s", err, out)
	}
	return nil
}
