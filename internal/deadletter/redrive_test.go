package deadletter

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &Redrive{Scan: &Scan{}, Rate: 5}
		start := time.Now()
		for i, n := range []int{10, 5, 1, 1} {
			if err := r.wait(t.Context(), n); err != nil {
				t.Fatal(err)
			}
			want := []time.Duration{0, 2 * time.Second, 3 * time.Second, 3200 * time.Millisecond}[i]
			if got := time.Since(start); got != want {
				t.Errorf("batch %d was sent after %v, want %v", i, got, want)
			}
		}
		time.Sleep(time.Hour) // idle time allows no burst
		start = time.Now()
		for range 2 {
			_ = r.wait(t.Context(), 10)
		}
		if got := time.Since(start); got != 2*time.Second {
			t.Errorf("after an hour, two batches were sent within %v", got)
		}
	})
}
