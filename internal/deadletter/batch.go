package deadletter

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"scout/internal/printable"
)

const (
	maxBatch      = 10      // entries of a batch request
	maxBatchBytes = 1 << 20 // bodies and attributes of a batch request
	attempts      = 4       // to send or delete a message
)

// entryID is the id of an entry in a batch request.
func entryID(i int) *string { return aws.String(strconv.Itoa(i)) }

// A failure is the reason why SQS did not execute an entry of a batch request.
type failure = types.BatchResultErrorEntry

// failures returns the failure of each of the n entries of a batch request. It is nil
// only if the response reports the entry as successful and not as failed. Ids that were
// not in the request are ignored.
func failures[E any](n int, successful []E, idOf func(*E) *string, failed []failure) []*failure {
	all := slices.Repeat([]*failure{{Message: aws.String("the response does not name it")}}, n)
	set := func(id *string, f *failure) {
		if i, err := strconv.Atoi(aws.ToString(id)); err == nil && i >= 0 && i < n {
			all[i] = f
		}
	}
	for i := range successful {
		set(idOf(&successful[i]), nil)
	}
	for i := range failed {
		set(failed[i].Id, &failed[i])
	}
	return all
}

// An attempted holds the items of a batch by outcome.
type attempted[T any] struct {
	done   []T
	failed []T    // SQS rejected them, or they failed in each attempt
	left   []T    // not done when a whole call failed or the context ended
	reason string // of the last item in failed
}

// attempt makes a call for the items, at most 10. It repeats the call for items that
// failed for a temporary reason. It finishes a call even if ctx ends. An error means
// that a whole call failed, and that the next one would fail, too.
func attempt[T any](ctx context.Context, items []T, call func(context.Context, []T) ([]*failure, error)) (a attempted[T], err error) {
	a.left = items
	for n := 0; len(a.left) > 0; n++ {
		if n > 0 && pause(ctx, 100*time.Millisecond<<n) != nil {
			return a, nil
		}
		var again []T
		results, err := detached(ctx, func(ctx context.Context) ([]*failure, error) { return call(ctx, a.left) })
		if err != nil {
			return a, err
		}
		for i, item := range a.left {
			f := results[i]
			if f == nil {
				a.done = append(a.done, item)
				continue
			}
			if !f.SenderFault && n < attempts-1 {
				again = append(again, item)
				continue
			}
			a.failed = append(a.failed, item)
			a.reason = printable.Text(fmt.Sprintf("%s: %s", cmp.Or(aws.ToString(f.Code), "SQS"), aws.ToString(f.Message)), 300)
		}
		a.left = again
	}
	return a, nil
}

// pause waits for d. It returns an error if ctx ends first.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
	return ctx.Err()
}

// detached makes a call that is finished even if ctx ends.
func detached[T any](ctx context.Context, call func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	return call(ctx)
}

// eachBatch calls do for the items in batches of up to 10. It returns when all calls
// have, of which at most the given number run at a time.
func eachBatch[T any](items []T, calls int, do func([]T)) {
	running := make(chan struct{}, calls)
	var wait sync.WaitGroup
	for batch := range slices.Chunk(items, maxBatch) {
		running <- struct{}{}
		wait.Go(func() {
			do(batch)
			<-running
		})
	}
	wait.Wait()
}
