package poller

import (
	"errors"
	"fmt"
	"math/bits"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"scout/internal/printable"
)

// maxText is the maximum length in bytes of text from SQS or Handle in the log and in Stats.
const maxText = 1000

// entryID is the id of an entry in a batch request.
func entryID(i int) *string { return aws.String(strconv.Itoa(i)) }

// entryIndex returns the index of the entry, of n, with an id in a response.
func entryIndex(id *string, n int) (i int, ok bool) {
	i, err := strconv.Atoi(aws.ToString(id))
	return i, err == nil && i >= 0 && i < n
}

// A bitset is a set of entries of a batch. SQS permits 10 entries, so 64 are enough.
type bitset uint64

func (s bitset) has(i int) bool { return s&(1<<i) != 0 }
func (s bitset) len() int       { return bits.OnesCount64(uint64(s)) }

// succeeded returns the entries, of n, that a response reports as successful and not as failed. An
// entry that it does not report has not succeeded. An error means that the response has an id that was
// not in the request.
func succeeded[E any](n int, successful []E, idOf func(*E) *string, failed []types.BatchResultErrorEntry) (done bitset, err error) {
	find := func(id *string) bitset {
		i, ok := entryIndex(id, n)
		if !ok && err == nil {
			err = fmt.Errorf("the response of SQS has the id %q, which was not in the request", printable.Text(aws.ToString(id), maxText))
		}
		if !ok {
			return 0
		}
		return 1 << i
	}
	for i := range successful {
		done |= find(idOf(&successful[i]))
	}
	for i := range failed {
		done &^= find(failed[i].Id)
	}
	return done, err
}

// bounded returns err if its text is short and printable, and otherwise an error whose text is. It
// returns nil for nil.
func bounded(err error) error {
	if err == nil {
		return nil
	}
	if text := printable.Text(err.Error(), maxText); text != err.Error() {
		return errors.New(text)
	}
	return err
}
