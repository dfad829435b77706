package poller

import "testing"

func TestDemand(t *testing.T) {
	for name, c := range map[string]struct {
		before   demand
		received []int // in batches of at most 10
		limit    int
		polls    int
		credit   float64 // that is left
	}{
		"none is receiving":                    {demand{}, nil, 64, 1, 0},
		"one is receiving":                     {demand{inFlight: 1, receiving: 1}, nil, 64, 0, 0},
		"a full batch":                         {demand{inFlight: 1, receiving: 1}, []int{10}, 64, 2, 0},
		"half a batch":                         {demand{inFlight: 2, receiving: 2}, []int{5}, 64, 1, 0},
		"a single message, another poll waits": {demand{inFlight: 2, receiving: 2}, []int{1}, 64, 0, 0.2},
		"a single message, no other poll":      {demand{inFlight: 1, receiving: 1}, []int{1}, 64, 1, 0},
		"nothing":                              {demand{inFlight: 2, receiving: 2, credit: 1.5}, []int{0}, 64, 0, 0},
		"several batches":                      {demand{inFlight: 3, receiving: 3}, []int{10, 10, 5}, 64, 5, 0},
		"at the limit":                         {demand{inFlight: 4, receiving: 1}, []int{10}, 4, 0, 2},
		"near the limit":                       {demand{inFlight: 3, receiving: 1}, []int{10}, 4, 1, 1},
		"above the limit, which was lowered":   {demand{inFlight: 4, receiving: 1, credit: 3}, nil, 2, 0, 2},
		"credit is bounded":                    {demand{inFlight: 4, receiving: 4, credit: 3}, []int{10, 10, 10}, 4, 0, 4},
	} {
		t.Run(name, func(t *testing.T) {
			d := c.before
			for _, n := range c.received {
				d.received(n, 10)
			}
			if polls := d.take(c.limit); polls != c.polls || d.credit < c.credit-1e-9 || d.credit > c.credit+1e-9 {
				t.Errorf("%d polls, and %v left, want %d and %v", polls, d.credit, c.polls, c.credit)
			}
		})
	}
}
