// Command bench measures the daemon on this machine: what it moves from SQS to
// Redis, and what that costs.
//
// Scout runs alone on processor 0. On the others are a real redis-server and,
// in this process, an SQS that costs as little as it can (see stub), so that
// Scout is what is measured: the report says how much of its processor it
// used, which should be nearly all. The messages are SNS envelopes of 1 KB,
// each with ids of its own, and Scout remembers them all, as it does by
// default. The jobs and what is remembered are removed from Redis all the time.
//
// There are three ways to measure:
//
//   - throughput: the queue is never empty. With -latency, each call of SQS
//     takes that much longer, as over a network. -baseline measures in turns
//     with Scout a bare loop on the AWS SDK that does the least that can be
//     done: receive, push, delete.
//   - -rate N: N messages a second are published to a queue that is empty
//     otherwise, and it is measured when each is a job in Redis.
//   - -soak: throughput for a long time, with what may leak.
//
// Times of processors differ between machines and with their other work.
// Compare what was measured in turns, by its medians: -scout takes several
// binaries, separated by commas.
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

// Options are what the command line says.
type options struct {
	contenders []contender
	duration   time.Duration
	rounds     int
	latency    time.Duration
	rate       int
	soak       bool
}

func parse(args []string) (o options, err error) {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	scouts := flags.String("scout", "bin/scout", "the scout binary, or several, separated by commas")
	baseline := flags.Bool("baseline", false, "measure a bare loop on the AWS SDK, too")
	flags.DurationVar(&o.duration, "duration", 5*time.Second, "how long to measure")
	flags.IntVar(&o.rounds, "rounds", 3, "how often to measure")
	flags.DurationVar(&o.latency, "latency", 0, "what each call of SQS takes longer")
	flags.IntVar(&o.rate, "rate", 0, "publish that many messages a second, and measure how soon they are jobs")
	flags.BoolVar(&o.soak, "soak", false, "measure once, and report every 30 s")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 || o.rounds < 1 || o.rate < 0 || o.rate > 0 && o.soak {
		flags.Usage()
		return o, errors.New("these arguments make no sense")
	}
	for path := range strings.SplitSeq(*scouts, ",") {
		o.contenders = append(o.contenders, scout(path))
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

// leaveProcessor0 moves this process, and with it what it will start, to the
// other processors.
func leaveProcessor0() error {
	if runtime.NumCPU() < 2 {
		return errors.New("at least two processors are needed, one of them for Scout alone")
	}
	others := fmt.Sprintf("1-%d", runtime.NumCPU()-1)
	out, err := exec.Command("taskset", "--all-tasks", "--pid", "--cpu-list", others, strconv.Itoa(os.Getpid())).CombinedOutput()
	if err != nil {
		return fmt.Errorf("taskset: %w: %s", err, out)
	}
	return nil
}
