package devstack

import "regexp"

const maxBatch = 10

// entryID is embedded in the entries of a batch request.
type entryID struct {
	ID string `json:"Id"`
}

func (e entryID) id() string { return e.ID }

// batchFailure says why an entry of a batch failed, by SQS in JSON and by SNS in XML.
type batchFailure struct {
	ID          string `json:"Id" xml:"Id"`
	Code        string
	Message     string
	SenderFault bool
}

var validEntryID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,80}$`)

// checkBatch returns the error for which AWS refuses a batch as a whole, nil if its entries can be tried one by one.
func checkBatch[E interface{ id() string }](entries []E) error {
	if len(entries) == 0 {
		return errBatch("EmptyBatchRequest", "There should be at least one entry in the request.")
	}
	if len(entries) > maxBatch {
		return errBatch("TooManyEntriesInBatchRequest",
			"Maximum number of entries per request are %d. You have sent %d.", maxBatch, len(entries))
	}
	seen := make(map[string]bool)
	for _, e := range entries {
		if !validEntryID.MatchString(e.id()) {
			return errBatch("InvalidBatchEntryId",
				"A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters long.")
		}
		if seen[e.id()] {
			return errBatch("BatchEntryIdsNotDistinct", "Id %s repeated.", e.id())
		}
		seen[e.id()] = true
	}
	return nil
}

// runBatch does each entry by itself and collects what succeeded and what failed, in the entries' order.
// Both results are non-nil, to be encoded as empty lists: they are required members of the answers.
func runBatch[E interface{ id() string }, R any](entries []E, do func(E) (R, error)) ([]R, []batchFailure) {
	successful, failed := []R{}, []batchFailure{}
	for _, e := range entries {
		result, err := do(e)
		if err != nil {
			err := asAPIError(err)
			failed = append(failed, batchFailure{ID: e.id(), Code: err.query, Message: err.message, SenderFault: true})
			continue
		}
		successful = append(successful, result)
	}
	return successful, failed
}
