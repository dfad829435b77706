// Command bench measures the daemon's throughput: how many messages a second
// it moves from SQS to Redis, and what it needs for that.
//
// Scout runs alone on one processor. On the others are a real redis-server and
// an SQS that does nothing but hand out messages, in SNS envelopes of 1 KB, and
// take their deletion, so that they are not what is measured.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/gomodule/redigo/redis"
)

func main() {
	log.SetFlags(0)
	scout := flag.String("scout", "bin/scout", "the scout binary")
	duration := flag.Duration("duration", 5*time.Second, "how long to measure")
	latency := flag.Duration("latency", 0, "what each call of SQS takes longer, as over a network")
	rounds := flag.Int("rounds", 3, "how often to measure")
	flag.Parse()
	for range *rounds {
		if err := measure(*scout, *duration, *latency); err != nil {
			log.Fatal(err)
		}
	}
}

// measure runs Scout for a while and prints a line.
func measure(scout string, duration, latency time.Duration) error {
	dir, err := os.MkdirTemp("", "scout-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	stub := &stub{latency: latency}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer listener.Close()
	go func() { _ = http.Serve(listener, stub) }()

	socket := filepath.Join(dir, "redis")
	server := exec.Command("redis-server", "--port", "0", "--unixsocket", socket, "--save", "", "--appendonly", "no", "--dir", dir)
	if err := server.Start(); err != nil {
		return fmt.Errorf("starting redis-server: %w", err)
	}
	defer func() { _ = server.Process.Kill(); _ = server.Wait() }()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go work(ctx, socket)

	config := filepath.Join(dir, "scout.yml")
	text := fmt.Sprintf(`
redis: {url: "unix://%s"}
aws: {region: us-east-1, access_key: x, secret_key: x, endpoint: "http://%s"}
queue: {url: "http://%s/1/bench", topics: {bench: BenchWorker}}
`, socket, listener.Addr(), listener.Addr())
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return err
	}
	return run(scout, config, stub, duration)
}

// run starts Scout, lets it warm up, and measures it.
func run(scout, config string, stub *stub, duration time.Duration) error {
	cmd := exec.Command("taskset", "-c", "0", scout, "-c", config, "-l", "warn")
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	time.Sleep(2 * time.Second)
	messages, cpu := stub.deleted.Load(), cpuTime(cmd.Process.Pid)
	start := time.Now()
	time.Sleep(duration)
	messages, cpu = stub.deleted.Load()-messages, cpuTime(cmd.Process.Pid)-cpu
	elapsed := time.Since(start)
	rss, receiving := residentMB(cmd.Process.Pid), stub.receiving.Load()
	_ = cmd.Process.Signal(syscall.SIGKILL)
	_ = cmd.Wait()
	fmt.Printf("%8.0f messages/s  %6.1f µs of CPU a message  %5.1f MB  %d receives in flight\n",
		float64(messages)/elapsed.Seconds(), float64(cpu.Microseconds())/float64(messages), rss, receiving)
	return nil
}

// work takes the jobs off the queue, as Sidekiq would, and their marks too, so
// that Redis does not grow.
func work(ctx context.Context, socket string) {
	for ctx.Err() == nil {
		time.Sleep(100 * time.Millisecond)
		conn, err := redis.Dial("unix", socket)
		if err != nil {
			continue
		}
		_, _ = conn.Do("FLUSHALL")
		conn.Close()
	}
}

// cpuTime is the processor time that a process has used; see proc(5).
func cpuTime(pid int) time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	const ticksPerSecond = 100 // sysconf(_SC_CLK_TCK) on Linux
	return time.Duration(user+system) * time.Second / ticksPerSecond
}

func residentMB(pid int) float64 {
	statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	pages, _ := strconv.Atoi(strings.Fields(string(statm))[1])
	return float64(pages*os.Getpagesize()) / 1e6
}
