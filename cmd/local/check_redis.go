package main

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"scout/config"
	"scout/internal/audit"
	"scout/internal/daemon"
	"scout/internal/redisiam"
	"scout/internal/sqsclient"
	"scout/sidekiq"
)

// redisTimeout is the maximum duration of the checks of Redis.
const redisTimeout = 30 * time.Second

func checkRedisOnline(ctx context.Context, c *config.Config, r *report) {
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	r.begin(audit.AreaRedis, "redis", "Redis")
	options := redisiam.ClientOptions(c.Redis, sqsclient.AWSConfig)
	client, err := sidekiq.NewClient(options)
	if err != nil {
		r.Fail("", "%v", err)
		return
	}
	defer client.Close()
	if options.TLS.SkipVerify {
		r.Warn("set redis.tls.ca to the authority of Redis's certificate, or to the certificate itself", "redis.tls.verify is false, so anyone who can redirect the connection can read the jobs and the password")
	}
	info, err := client.Info(ctx)
	if err != nil {
		r.Fail("", "%v", err)
		return
	}
	switch {
	case info.Sentinel:
		r.Fail("list it in redis.sentinels, and make the name of its master the host of redis.url, such as redis://mymaster/0", "%s is a Sentinel, which takes no jobs", client.Address())
		return
	case info.Cluster:
		r.Fail("use a Redis without cluster mode; ElastiCache Serverless and MemoryDB always use it", "Redis at %s runs in cluster mode, which neither Sidekiq nor Scout supports", client.Address())
		return
	case info.Role == "slave":
		r.Fail("make its master the host of redis.url, or set redis.sentinels", "%s at %s is a replica, which takes no jobs", info.Name, client.Address())
		return
	}
	r.OK("%s %s at %s answers%s", info.Name, info.Version, client.Address(), sidekiqAdvice(info.Redis))
	checkSentinels(ctx, client, options, r)
	checkReplicas(info, options.Wait.Replicas, r)
	checkMemory(info, r)
	queues := config.SidekiqQueues(c.Queues...)
	if err := client.Ready(ctx, queues...); err != nil {
		r.Fail("", "Redis would accept no jobs: %v", err)
		return
	}
	r.OK("Redis accepts jobs for the queues %s", strings.Join(queues, ", "))
	if slices.ContainsFunc(c.Queues, func(q config.Queue) bool { return q.DeadSet }) {
		checkDeadSet(ctx, client, r)
	}
	if c.Limits != (config.Limits{}) {
		checkLimits(ctx, client, c.Limits, queues, r)
	}
}

// checkSentinels asks each of the configured sentinels for the master that client,
// which has asked one of them, is connected to.
func checkSentinels(ctx context.Context, client *sidekiq.Client, options sidekiq.Options, r *report) {
	for _, sentinel := range options.Sentinels {
		alone := options
		alone.Sentinels = []string{sentinel}
		other, err := sidekiq.NewClient(alone)
		if err != nil {
			r.Fail("", "%v", err)
			return
		}
		_, err = other.Info(ctx)
		switch {
		case err != nil:
			r.Warn("", "%v", err)
		case other.Address() != client.Address():
			r.Warn("", "the sentinel at %s names another master: %s", sentinel, other.Address())
		default:
			r.OK("the sentinel at %s names this master", sentinel)
		}
		other.Close()
	}
	for _, sentinel := range client.Sentinels() {
		if !slices.Contains(options.Sentinels, sentinel) {
			r.OK("the sentinels know one more, at %s", sentinel)
		}
	}
}

// checkReplicas compares the replicas that are connected with those that must
// have a job.
func checkReplicas(info sidekiq.Info, wait int, r *report) {
	connected := len(info.Replicas)
	setWait := "set redis.wait.replicas to " + strconv.Itoa(connected)
	has := "the master has " + plural(connected, "replica")
	if connected > 0 {
		has += " (" + strings.Join(info.Replicas, ", ") + ")"
	}
	switch {
	case wait > connected:
		r.Fail("", "redis.wait needs %s to have each job, but %s: polling pauses until more are connected", plural(wait, "replica"), has)
	case connected == 0:
		r.OK("%s", has)
	case wait == connected:
		r.OK("%s, and Scout waits until all of them have a job", has)
	case wait > 0:
		r.Warn("set redis.wait.replicas to the number that can be promoted", "%s, but Scout waits for only %d of them to have a job: if another one is promoted, jobs may be lost", has, wait)
	case info.NeedsReplicas:
		r.Warn(setWait, "%s, but Scout does not wait until they have a job: a failover may lose jobs, though min-replicas-to-write limits how many", has)
	default:
		r.Warn(setWait+", or at least min-replicas-to-write in Redis, so that a master without replicas accepts no jobs", "%s, but Scout does not wait until they have a job: a failover may lose jobs", has)
	}
}

func checkMemory(info sidekiq.Info, r *report) {
	switch {
	case info.Eviction == "" || info.Eviction == "noeviction":
		r.OK("Redis evicts no keys")
	case strings.HasPrefix(info.Eviction, "allkeys"):
		r.Fail("", "maxmemory-policy is %s: %s", info.Eviction, daemon.EvictionAdvice(info.Eviction))
	default:
		r.Warn("", "maxmemory-policy is %s: %s", info.Eviction, daemon.EvictionAdvice(info.Eviction))
	}
	if info.Max > 0 && info.Used > info.Max*8/10 {
		r.Warn("", "Redis uses %d %% of its memory", info.Used*100/info.Max)
	}
}

// checkDeadSet checks what rejected: dead needs.
func checkDeadSet(ctx context.Context, client *sidekiq.Client, r *report) {
	const stay = "rejected messages stay in their queue in spite of rejected: dead"
	entries, err := client.DeadSet(ctx)
	switch {
	case err != nil:
		r.Fail("the Redis user needs ~dead +zadd +zcard", "%s: %v", stay, err)
	case entries >= sidekiq.MaxDeadSet:
		r.Fail("retry or delete its entries", "%s, because Sidekiq's dead set holds %d entries", stay, entries)
	case entries >= sidekiq.MaxDeadSet*8/10:
		r.Warn("retry or delete its entries", "Sidekiq's dead set holds %d entries, and Scout adds no more from %d on", entries, sidekiq.MaxDeadSet)
	default:
		r.OK("rejected messages go to Sidekiq's dead set, which holds %d entries", entries)
	}
}

func checkLimits(ctx context.Context, client *sidekiq.Client, limits config.Limits, queues []string, r *report) {
	usage, err := client.Usage(ctx, queues)
	if err != nil {
		r.Fail("the Redis user needs +llen +lindex +info", "limits would have no effect: %v", err)
		return
	}
	r.OK("Scout can measure what limits refer to")
	if limits.RedisMemory > 0 && usage.MemoryMax == 0 {
		r.Warn("", "the limit redis_memory has no effect: Redis has no maxmemory")
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
