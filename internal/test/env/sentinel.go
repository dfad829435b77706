package env

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
)

// MasterName is what the sentinels of a Replication call its master.
const MasterName = "mymaster"

// A Replication is a master with replicas, and three sentinels that watch it.
type Replication struct {
	Nodes     []*RedisServer // master and replicas; Master says which is which
	Sentinels []*RedisServer

	t        testing.TB
	options  ReplicationOptions
	replicas int
}

// ReplicationOptions say how the servers of a Replication are protected. The zero
// value does not protect them.
type ReplicationOptions struct {
	Password         string     // of the nodes, for clients and for each other
	SentinelPassword string     // of the sentinels
	TLS              *KeyPair   // of all servers, which then accept only TLS
	Authority        *Authority // signed TLS; all servers require clients to have a certificate of it
	Durable          bool       // the nodes write every change to disk, and restart with their data
}

// NewReplication starts a master, its replicas and three sentinels, and returns
// when they have found each other. They are stopped when the test ends. Unless
// they are durable, data is kept only in memory, so a node that was killed gets it
// from another.
func NewReplication(t testing.TB, replicas int, options ReplicationOptions) *Replication {
	t.Helper()
	r := &Replication{t: t, options: options, replicas: replicas}
	for i := range 1 + replicas {
		r.Nodes = append(r.Nodes, r.startNode(i))
	}
	for range 3 {
		r.Sentinels = append(r.Sentinels, r.startSentinel())
	}
	t.Cleanup(func() {
		for _, s := range r.Sentinels {
			if t.Failed() {
				t.Logf("the end of what the sentinel at %s wrote:\n%s", s.Addr, s.Log())
			}
		}
	})
	r.WaitUntilWhole()
	return r
}

// startNode starts a node. The first one is the master.
func (r *Replication) startNode(number int) *RedisServer {
	r.t.Helper()
	config := []string{
		`save ""`, "repl-diskless-sync-delay 0", "repl-ping-replica-period 1", "repl-timeout 5",
	}
	if r.options.Durable {
		config = append(config, "appendonly yes", "appendfsync always")
	}
	if r.options.Password != "" {
		config = append(config, "requirepass "+r.options.Password, "masterauth "+r.options.Password)
	}
	if number > 0 {
		config = append(config, "replicaof 127.0.0.1 "+r.Nodes[0].port())
	}
	return r.start(r.options.Password, config)
}

func (r *Replication) startSentinel() *RedisServer {
	r.t.Helper()
	config := []string{
		fmt.Sprintf("sentinel monitor %s 127.0.0.1 %s 2", MasterName, r.Nodes[0].port()),
		fmt.Sprintf("sentinel down-after-milliseconds %s %d", MasterName, patience.Milliseconds()),
		fmt.Sprintf("sentinel failover-timeout %s 10000", MasterName),
		fmt.Sprintf("sentinel parallel-syncs %s 2", MasterName),
	}
	if r.options.Password != "" {
		config = append(config, fmt.Sprintf("sentinel auth-pass %s %s", MasterName, r.options.Password))
	}
	if r.options.SentinelPassword != "" {
		config = append(config, "requirepass "+r.options.SentinelPassword, "sentinel sentinel-pass "+r.options.SentinelPassword)
	}
	s := r.start(r.options.SentinelPassword, config, "--sentinel")
	// Sentinels do most of their work every few seconds. A test should not wait that
	// long until a killed master becomes a replica.
	s.Must("SENTINEL", "DEBUG", "INFO-PERIOD", 250, "PUBLISH-PERIOD", 250, "ASK-PERIOD", 250, "PING-PERIOD", 250,
		"MIN-LINK-RECONNECT-PERIOD", 500, "TILT-TRIGGER", 10_000)
	return s
}

// start starts a server with a configuration file, which Sentinel rewrites.
func (r *Replication) start(password string, config []string, args ...string) *RedisServer {
	r.t.Helper()
	s := newRedisServer(r.t, redisProgram(r.t))
	s.password = password
	config = append(config, "bind 127.0.0.1", "unixsocket "+s.Socket, "dir "+s.dir)
	if pair := r.options.TLS; pair == nil {
		config = append(config, "port "+s.port())
	} else {
		s.tls = true
		config = append(config, "port 0", "tls-port "+s.port(), "tls-replication yes", "tls-auth-clients yes",
			"tls-cert-file "+pair.Cert, "tls-key-file "+pair.Key, "tls-ca-cert-file "+r.options.Authority.File)
	}
	file := filepath.Join(s.dir, "redis.conf")
	if err := os.WriteFile(file, []byte(strings.Join(config, "\n")+"\n"), 0o600); err != nil {
		r.t.Fatal(err)
	}
	s.args = append([]string{file}, args...)
	s.Start()
	return s
}

// URL returns the URL with which clients of the sentinels find the master.
func (r *Replication) URL() string {
	u := url.URL{Scheme: "redis", Host: MasterName, Path: "/0"}
	if r.options.TLS != nil {
		u.Scheme = "rediss"
	}
	if r.options.Password != "" {
		u.User = url.UserPassword("default", r.options.Password)
	}
	return u.String()
}

// SentinelAddrs returns the addresses of the sentinels.
func (r *Replication) SentinelAddrs() []string {
	var addrs []string
	for _, s := range r.Sentinels {
		addrs = append(addrs, s.Addr)
	}
	return addrs
}

// Master returns the node that the sentinels and the node itself call the master,
// or nil if they do not agree.
func (r *Replication) Master() *RedisServer {
	var master *RedisServer
	for _, sentinel := range r.Sentinels {
		node := r.masterOf(sentinel)
		if node == nil || master != nil && master != node {
			return nil
		}
		master = node
	}
	if role, err := redis.Values(master.Do("ROLE")); err != nil || string(role[0].([]byte)) != "master" {
		return nil
	}
	return master
}

// masterOf returns the node that one sentinel calls the master; nil if it names
// none.
func (r *Replication) masterOf(sentinel *RedisServer) *RedisServer {
	addr, err := redis.Strings(sentinel.Do("SENTINEL", "GET-MASTER-ADDR-BY-NAME", MasterName))
	if err != nil || len(addr) != 2 {
		return nil
	}
	for _, node := range r.Nodes {
		if node.Addr == net.JoinHostPort(addr[0], addr[1]) {
			return node
		}
	}
	return nil
}

// IsWhole reports whether the sentinels know of each other and agree on a master
// that sends all its changes to all other nodes, so that another failover can
// succeed.
func (r *Replication) IsWhole() bool {
	master := r.Master()
	if master == nil {
		return false
	}
	info, err := redis.String(master.Do("INFO", "replication"))
	if err != nil || strings.Count(info, "state=online") != r.replicas {
		return false
	}
	for _, sentinel := range r.Sentinels {
		state, err := redis.StringMap(sentinel.Do("SENTINEL", "MASTER", MasterName))
		if err != nil || state["flags"] != "master" || state["num-other-sentinels"] != "2" || state["num-slaves"] != fmt.Sprint(r.replicas) {
			return false
		}
		replicas, err := redis.Values(sentinel.Do("SENTINEL", "REPLICAS", MasterName))
		if err != nil {
			return false
		}
		for _, replica := range replicas {
			state, err := redis.StringMap(replica, nil)
			if err != nil || state["flags"] != "slave" || state["master-link-status"] != "ok" {
				return false
			}
		}
	}
	return true
}

// WaitUntilWhole returns when IsWhole.
func (r *Replication) WaitUntilWhole() {
	r.t.Helper()
	r.wait("the sentinels, the master and its replicas are not connected", r.IsWhole)
}

// Failover makes the sentinels promote a replica, as an administrator would, and
// returns when they have.
func (r *Replication) Failover() {
	r.t.Helper()
	former := r.master()
	r.wait("the sentinels have not promoted another master", func() bool {
		if r.masterOf(r.Sentinels[0]) == former {
			// An error means that a failover is under way, or that there is no
			// replica for it yet. The sentinel does not retry one that it was told.
			_, _ = r.Sentinels[0].Do("SENTINEL", "FAILOVER", MasterName)
			return false
		}
		master := r.Master()
		return master != nil && master != former
	})
}

// patience is how long the sentinels wait for a silent server unless it has
// crashed. On a busy machine, servers are silent for some time.
const patience = time.Minute

// CrashMaster kills the master, and returns it when the sentinels have promoted a
// replica. After Start, they make it a replica.
func (r *Replication) CrashMaster() (former *RedisServer) {
	r.t.Helper()
	return r.ReplaceMaster((*RedisServer).Kill)
}

// ReplaceMaster calls stop to stop the master. It returns the former master once the
// sentinels have promoted a replica.
func (r *Replication) ReplaceMaster(stop func(*RedisServer)) (former *RedisServer) {
	r.t.Helper()
	former = r.master()
	stop(former)
	r.setPatience(time.Second)
	r.wait("the sentinels have not promoted another master", func() bool {
		master := r.Master()
		return master != nil && master != former
	})
	r.setPatience(patience)
	return former
}

func (r *Replication) setPatience(d time.Duration) {
	r.t.Helper()
	for _, s := range r.Sentinels {
		s.Must("SENTINEL", "SET", MasterName, "down-after-milliseconds", d.Milliseconds())
	}
}

func (r *Replication) master() (master *RedisServer) {
	r.t.Helper()
	r.wait("the sentinels do not agree on a master", func() bool {
		master = r.Master()
		return master != nil
	})
	return master
}

// wait returns when done returns true. The sentinels retry a failed failover
// after twice its timeout.
func (r *Replication) wait(what string, done func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(90 * time.Second); !done(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatalf("after 90 s, %s", what)
		}
	}
}
