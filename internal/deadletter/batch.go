package deadletter

import (
	"slices"
	"strconv"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
)

const (
	maxBatch      = 10      // entries of a batch request
	maxBatchBytes = 1 << 20 // bodies and attributes of a batch request
)

// entryID is the id of an entry in a batch request.
func entryID(i int) *string { return aws.String(strconv.Itoa(i)) }

// entryIndex returns the index of the entry, of n, that a response names. It reports
// false if the request had no such entry.
func entryIndex(id *string, n int) (int, bool) {
	i, err := strconv.Atoi(aws.ToString(id))
	return i, err == nil && i >= 0 && i < n
}

// eachBatch calls do for the items in batches, by a number of goroutines.
func eachBatch[T any](items []T, goroutines int, do func([]T)) {
	batches := make(chan []T)
	var wait sync.WaitGroup
	for range min(goroutines, (len(items)+maxBatch-1)/maxBatch) {
		wait.Go(func() {
			for batch := range batches {
				do(batch)
			}
		})
	}
	for batch := range slices.Chunk(items, maxBatch) {
		batches <- batch
	}
	close(batches)
	wait.Wait()
}
