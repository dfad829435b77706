// Package sidekiq makes Sidekiq jobs and pushes each of them to Redis exactly
// once. Start at [JobTemplate], which turns each [Call] into a [Job], and at
// [Client.Push], which sends many jobs at a time.
//
// # What Push guarantees
//
// Each job is in its queue exactly once, however often it is pushed within
// [Options].DedupTTL. A Lua script pushes a job and then, atomically with that,
// sets a marker, the key scout:JID, which expires after DedupTTL. A job whose
// marker exists is a [Duplicate]. A push whose reply was lost can therefore be
// repeated, by Push itself or by a caller that receives the message again. The
// marker comes second because a marker without a job would lose a message. If
// Redis pushes a job but does not set its marker, the job is [Unmarked]: it is in
// its queue, but another push of it would make a second job. [Client.Failing] is
// then true, and Push fails, until Redis sets markers again. With a DedupTTL of 0
// there are no markers, and each push makes a job.
//
// Jobs are queued in the order in which they are pushed, unless Redis takes only
// some of them at first: the others are then pushed later. Jobs of the same Group
// always keep their order: once a job of a group fails, the later ones are not
// pushed, and their error is [ErrHeldBack].
//
// A job is pushed when its Redis has it. If Redis then fails and a replica takes
// its place, the replica may not have the job. [Options].Wait makes a job count
// only when replicas have it too.
//
// A queue that is at fault fails alone. If the Redis key of a job's queue is not
// a list, the job fails with [ErrQueue], and jobs for other queues are pushed.
//
// # Sidekiq's dead set
//
// A [Job] with Dead is entries of Sidekiq's dead set, where a message goes that
// cannot become jobs that run. Push adds them once, all together (dead.go,
// dead.lua). An entry has a marker of its own, scout:JID:dead, so it does not keep
// the job with its id from being pushed later. Push never trims the dead set: from
// [MaxDeadSet] entries on, and if Redis does not allow it, the job fails with
// [ErrDeadSet], and other jobs are pushed.
//
// # Errors
//
// Push retries after failures that may pass by themselves, with growing pauses,
// for up to [Options].RetryFor and within the context. These are a connection that
// is refused, cut or silent, and a Redis that is loading, failing over or short of
// replicas. All other errors are returned at once. [ErrCredentials] means that Redis rejects the user
// or password; new credentials may help. [ErrUnusable] means that this Redis
// cannot work until somebody changes its setup or Scout's. [ErrUnconfirmed] means
// that fewer replicas have confirmed the jobs than [Options].Wait requires. Any
// other error, such as that of a Redis whose memory is full, may go away by
// itself: wait until [Client.Ready] returns nil, and push the failed jobs again.
//
// When a context ends, its calls return at once. If no attempt has failed before,
// the error of the jobs that were not pushed wraps the context's error.
//
// # Sidekiq's format
//
// Jobs look like those of Sidekiq's own client (sidekiq/client.rb), so Sidekiq 5
// to 8 run, retry and show them as usual. A push is SADD queues NAME and LPUSH
// queue:NAME JSON. [Options].Namespace, for Sidekiq 6 and older, is the prefix of
// every key. By default, times are float seconds, which all versions read; Sidekiq
// 8 itself writes integer milliseconds and reads every integer as such. "retry" is
// always present, because Sidekiq would lose a failed job of an unknown class
// without it. ActiveJobs are wrapped as by ActiveJob's own adapter.
// Neither Sidekiq nor Scout supports Redis Cluster.
//
// # The parts
//
// A [JobTemplate] (template.go, job.go) is pure and does no I/O. A [Client] has a
// pool of connections (conn.go), whose replies are checked and bounded (resp.go).
// A server (server.go) opens them, with TLS (tls.go) and, with Sentinel, to the
// current master (sentinel.go).
// Push (push.go) cuts jobs into chunks, sends windows of several chunks in one
// round trip, runs push.lua on each chunk, and retries if errors.go says that it
// may help. [Client.Ready] finds out whether a push would work, [Client.Usage]
// measures how much work is waiting, and [Client.Info] describes the Redis.
package sidekiq
