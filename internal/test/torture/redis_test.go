//go:build torture

package torture

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gomodule/redigo/redis"

	"scout/internal/test/env"
)

// lists are the Redis keys of the Sidekiq queues.
var lists = []string{"queue:default", "queue:steps", "queue:low"}

// A node is a connection to the master that fails the test if it is lost: the test
// itself decides when Redis fails.
type node struct {
	*run
	conn redis.Conn
}

func (r *run) connect() node {
	r.Helper()
	conn, err := redis.Dial("unix", r.master().Socket, redis.DialReadTimeout(time.Minute), redis.DialWriteTimeout(time.Minute))
	if err != nil {
		r.Fatal(err)
	}
	return node{r, conn}
}

// master returns the master. It polls, because a sentinel may be slow to report it.
func (r *run) master() *env.RedisServer {
	r.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		if master := r.redis.Master(); master != nil {
			return master
		}
		if time.Now().After(deadline) {
			r.Fatal("there is no master")
		}
	}
}

func (n node) do(command string, args ...any) any {
	n.Helper()
	reply, err := n.conn.Do(command, args...)
	if err != nil {
		n.Fatalf("%s: %v", command, err)
	}
	return reply
}

// takeScript empties the lists and returns their jobs. It then replaces the list
// ARGV[1] by a string, unless ARGV[1] is empty.
var takeScript = `
local taken = {}
for i, key in ipairs(KEYS) do
  taken[i] = {}
  if redis.call('TYPE', key).ok == 'list' then
    taken[i] = redis.call('LRANGE', key, 0, -1)
    redis.call('DEL', key)
  end
  if key == ARGV[1] then redis.call('SET', key, 'not a list') end
end
return taken`

// drain takes all jobs, as Sidekiq would, and records them. It requires a working
// Redis, and waits until no failover can bring the jobs back. If broken is not empty,
// the list of that name then has another type until the next drain.
func (r *run) drain(broken string) {
	r.Helper()
	master := r.connect()
	defer master.conn.Close()
	args := []any{takeScript, len(lists)}
	for _, list := range lists {
		args = append(args, list)
	}
	reply := master.do("EVAL", append(args, broken)...).([]any)
	for deadline := time.Now().Add(time.Minute); master.do("WAIT", replicas, 5000).(int64) < replicas; {
		if time.Now().After(deadline) {
			r.Fatal("the replicas do not confirm that the jobs were taken")
		}
	}
	found := map[string][]int{}
	for i, list := range lists {
		payloads, err := redis.Strings(reply[i], nil)
		if err != nil {
			r.Fatal(err)
		}
		slices.Reverse(payloads)
		for _, payload := range payloads {
			n := numberOf(payload)
			found[list] = append(found[list], n)
			var job struct {
				Class string
				Args  []json.RawMessage
			}
			_ = json.Unmarshal([]byte(payload), &job)
			r.history.foundJob(n, job.Class, job.Args)
		}
	}
	r.history.found(found)
}

// numberOf returns the number of the message of a job or an entry of the dead set;
// -1 if it has none.
func numberOf(payload string) int {
	var job struct{ Args []json.RawMessage }
	if json.Unmarshal([]byte(payload), &job) != nil || len(job.Args) == 0 {
		return -1
	}
	text := job.Args[0]
	var quoted string // a message that Ruby could not load
	if json.Unmarshal(text, &quoted) == nil {
		text = []byte(quoted)
	}
	n := -1
	if _, err := fmt.Sscanf(string(text), `{"n":%d`, &n); err != nil {
		return -1
	}
	return n
}

// collectDeadSet records the entries of Sidekiq's dead set.
func (r *run) collectDeadSet() {
	r.Helper()
	master := r.connect()
	defer master.conn.Close()
	entries, err := redis.Strings(master.do("ZRANGE", "dead", 0, -1), nil)
	if err != nil {
		r.Fatal(err)
	}
	for _, entry := range entries {
		var dead struct {
			Reason string `json:"error_message"`
		}
		_ = json.Unmarshal([]byte(entry), &dead)
		r.history.update(numberOf(entry), "entry of the dead set: "+dead.Reason, func(m *message) {
			m.deadEntries = append(m.deadEntries, dead.Reason)
		})
	}
}

// checkKeys looks for jobs where drain and collectDeadSet do not: only the keys of a
// Sidekiq without jobs may be left, and the markers.
func (r *run) checkKeys() {
	r.Helper()
	master := r.connect()
	defer master.conn.Close()
	keys, err := redis.Strings(master.do("KEYS", "*"), nil)
	if err != nil {
		r.Fatal(err)
	}
	for _, key := range keys {
		if key != "queues" && key != "dead" && !strings.HasPrefix(key, "scout:") {
			r.history.violate(ruleMisplaced, -1, "Redis has the key %q", key)
		}
	}
}

// A redisFault is one fault of Redis.
type redisFault struct {
	name string
	play func(r *run) (undo func())
}

func (r *run) others() (replicas []*env.RedisServer) {
	master := r.master()
	for _, n := range r.redis.Nodes {
		if n != master {
			replicas = append(replicas, n)
		}
	}
	return replicas
}

// pause sleeps for a random time.
func (r *run) pause(minimum, maximum time.Duration) {
	time.Sleep(minimum + time.Duration(r.rng.Int64N(int64(maximum-minimum))))
}

// kill kills the master, or sometimes a replica, and restarts it before a failover.
func kill(r *run) func() {
	victim := r.master()
	if r.rng.IntN(5) == 0 {
		victim = r.others()[r.rng.IntN(2)]
	}
	victim.Kill()
	r.redisKills++
	r.pause(0, 1500*time.Millisecond)
	return victim.Start
}

// stop freezes the master.
func stop(r *run) func() {
	master := r.master()
	master.Pause()
	r.pause(500*time.Millisecond, 6*time.Second)
	return master.Resume
}

// fill fills the memory of the master.
func fill(r *run) func() {
	master := r.master()
	master.Must("CONFIG", "SET", "maxmemory", "1", "maxmemory-policy", "noeviction")
	r.pause(time.Second, 4*time.Second)
	return func() { master.Must("CONFIG", "SET", "maxmemory", "0") }
}

// readOnly redirects the processes of Scout with a fixed address to a replica.
func readOnly(r *run) func() {
	r.proxyAway = true
	r.proxy.Retarget(r.others()[0].Addr)
	r.pause(time.Second, 4*time.Second)
	return nil
}

// swallow loses replies after Redis has executed the command, cut loses requests.
func swallow(r *run) func() {
	r.swallow.Store(250)
	r.pause(time.Second, 4*time.Second)
	return func() { r.swallow.Store(0) }
}

func cut(r *run) func() {
	r.cut.Store(250)
	r.pause(time.Second, 4*time.Second)
	return func() { r.cut.Store(0) }
}

// breakQueue gives the list of a Sidekiq queue another type. Messages of a group behind
// a message for this queue must wait.
func breakQueue(r *run) func() {
	r.drain("queue:low")
	first := r.publishBursts()
	r.await("messages of the bursts are received", time.Minute, func() bool { return r.history.receivedOf(first, 100) > 20 })
	r.pause(time.Second, 3*time.Second)
	return func() {
		r.drain("") // a job that has overtaken one that is held back is seen before it
		r.master().Must("DEL", "queue:low")
	}
}

// outage kills all Redis servers until a process of Scout has given up.
func outage(r *run) func() {
	// A Scout that does not poll because of SQS has no messages that it can return.
	r.sqs.works.Store(true)
	defer r.sqs.works.Store(false)
	if _, works := r.waitForWork("no fault"); !works {
		return nil
	}
	r.scoutFaults.Lock() // a killed Scout does not get as far
	defer r.scoutFaults.Unlock()
	master := r.master()
	r.resetGaveUp()
	for _, n := range r.redis.Nodes {
		n.Kill()
		r.redisKills++
	}
	r.sqs.redisAway.Store(true)
	r.publish(100)
	for deadline := time.Now().Add(time.Minute); !r.anyGaveUp() && time.Now().Before(deadline); {
		time.Sleep(100 * time.Millisecond)
	}
	if r.anyGaveUp() {
		r.faults.add("outages in which a daemon gave up")
	}
	r.publish(100)
	r.pause(2*time.Second, 3*time.Second)
	r.sqs.redisAway.Store(false)
	return func() {
		master.Start()
		for _, n := range r.redis.Nodes {
			if n != master {
				n.Start()
			}
		}
	}
}

// The failovers.

func administer(r *run) func() {
	r.redis.Failover()
	return nil
}

func crash(r *run) func() {
	r.redisKills++
	return r.redis.CrashMaster().Start
}

// freeze leaves a former master that still considers itself the master for a moment.
func freeze(r *run) func() { return r.redis.ReplaceMaster((*env.RedisServer).Pause).Resume }

// isolate cuts the master off from its replicas while it works, and then crashes it.
// The jobs that it has accepted since are lost.
func isolate(r *run) func() {
	replicas := r.others()
	return r.redis.ReplaceMaster(func(master *env.RedisServer) {
		for _, n := range replicas {
			n.Kill()
		}
		r.publish(200)
		r.pause(2*time.Second, 3*time.Second)
		master.Kill()
		r.redisKills += 3
		for _, n := range replicas {
			n.Start()
		}
	}).Start
}

var (
	failovers = []redisFault{
		{"failover by an administrator", administer},
		{"failover after kill -9 of the master", crash},
		{"failover after SIGSTOP of the master", freeze},
		{"failover to replicas that were away", isolate},
	}
	otherFaults = []redisFault{
		{"Redis stopped", stop}, {"Redis full", fill}, {"Redis read-only", readOnly},
		{"replies of Redis lost", swallow}, {"requests to Redis cut", cut}, {"Sidekiq queue of another type", breakQueue},
	}
	outageFault = redisFault{"all of Redis killed until Scout gives up", outage}
	killFault   = redisFault{"Redis killed and restarted", kill}
)

func allFaults() []redisFault {
	return slices.Concat(failovers, otherFaults, []redisFault{outageFault, killFault})
}
