// Package deadletter reads dead-letter queues, predicts the outcome that their messages
// would have now, and deletes messages or sends them back to the queue that they came
// from. Start at [Find], which finds a queue, and [Scan], which reads it.
//
// # Guarantees
//
//   - A message is deleted only after SQS has acknowledged that it is in the other
//     queue, or because the user asked to drop it.
//   - A message that stays is visible again when a scan ends, even by an error. Only
//     if the process is killed do messages stay hidden, for [Scan].Hide at most.
//   - A message may be sent back twice, if the process is killed between the send
//     and the deletion. That makes one job, because a job's id comes from the
//     message's own identity. Messages whose identity is the id that SQS gave them
//     are therefore sent back only if [Redrive].NewIDs says so.
//   - The body of a message is in memory only while the message is looked at. A scan
//     keeps the ids and receipt handles of at most 100,000 messages.
//
// Reading a message raises its receive count by one. A FIFO queue shows no more of a
// message group than its first receive returns, because the received messages hide
// those behind them.
package deadletter
