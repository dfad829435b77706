package devstack

import "regexp"

const maxBatch = 10

// entryID is embedded in the entries of a batch request.
type entryID struct {
	ID string `json:"Id"`
}

func (e entryID) id() string { return e.ID }

// batchFailure is the error of one entry of a batch. SQS sends it in JSON, SNS in XML.
type batchFailure struct {
	ID          string `json:"Id" xml:"Id"`
	Code        string
	Message     string
	SenderFault bool
}

var validEntryID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,80}$`)

// checkBatch returns the error with which AWS rejects a batch as a whole, or nil if each entry can be
// tried on its own.
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

// runBatch calls do for each entry and collects the results and the failures, in the order of the
// entries. Both slices are non-nil, so that they encode as empty lists: responses require both.
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
