// Package handler turns a batch of SQS messages into Sidekiq jobs and reports
// which messages failed. Lambda's event source mapping and Scout's own poller
// both call it.
//
// Start at [Handler]: its Handle method has the signature of a Lambda function
// for SQS with partial batch responses, and its Process method also returns
// [Stats]. [Router.Translate] shows what a single message becomes. It does no
// I/O.
//
// # From message to job
//
// The body of a message is an SNS notification, an EventBridge event, an S3
// notification, or anything else (plain); see [Source]. The [Router] looks up the
// [Route] for its topic, its event or its buckets, which names the [Worker]s that
// get a job, or says that the message is ignored. A job's id is a digest of the
// message's identity, so that a message that is delivered again makes the same job
// and Redis recognizes it.
//
// # Guarantees
//
//   - Each message ends in exactly one way: all its jobs are in Redis, the
//     configuration says that it is ignored, or it is in the response and stays in
//     its SQS queue. No message is dropped.
//   - A message selects among the classes, Sidekiq queues and options that the
//     configuration names, and can bring no others.
//   - A message is taken whole or not at all: if one of its jobs is not
//     acceptable, none is pushed.
//   - Sidekiq can load every job, run it, and save it again when it fails. A
//     message that Ruby's json could not read back is rejected, see
//     [ReasonUnacceptable].
//   - The order of the batch is the order in Redis. In a FIFO queue, nothing is
//     pushed after a failed message of its group.
//   - A message without an id, or a panic, does not lose the rest of the batch.
//   - The handler stops in time to answer before its context's deadline.
//
// If the configuration says so, rejected messages go to Sidekiq's dead set, once
// like a job, and are deleted; see [Router.DeadSet] and [Stats.Dead].
//
// A message that fails before any I/O is at fault itself: its error is a
// [Rejection]. What fails later is reported by the errors of package sidekiq.
// [Reason] names both in a word for metrics.
package handler
