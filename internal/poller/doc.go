// Package poller feeds a handler from an SQS queue, as AWS's event source mapping feeds a Lambda
// function. Start at [Poller].
//
// # Guarantees
//
//   - A message is deleted only if Handle returned no error and did not report it as a batch item
//     failure.
//   - A long poll is never cancelled, unless it outlasts StopTimeout. SQS may already have sent its
//     messages, and they would stay hidden until their visibility timeout ends.
//   - The visibility timeout of a batch is extended for as long as Handle works on it.
//   - When Handle returns an error, its batch goes back to the queue with a delay that grows with
//     the receive count, and no receive starts until Ready returns nil. So an outage costs a
//     message one receive.
//   - An idle queue costs one long poll at a time. A busy queue has up to Concurrency polls in
//     flight.
//   - When the context of Run ends, no receive starts. The polls in flight finish within
//     StopTimeout: their messages are handled and deleted, or go back to the queue at once.
//
// Delivery is at least once, as with SQS itself: a message whose deletion fails is redelivered.
//
// # How the parts fit
//
// Each part answers one question and has a file of its own:
//
//   - loop: what happens next? It waits for events (the end of the context, a tick, room in the
//     budget, a receive, the end of a poll, the answer of Ready), passes them to the breaker and the
//     demand, and starts polls. It is one goroutine, so neither of them needs a lock.
//   - breaker: may messages be received, and if not, why not? It is a pure value.
//   - demand: how many polls should be in flight? It is a pure value.
//   - poll: one receive, one call of Handle, and what happens to the messages afterwards. Polls run
//     on workers, which are goroutines that are reused.
//   - lease: until when are the messages of a batch hidden from other consumers?
//   - deleter: which handled messages still have to be deleted?
package poller
