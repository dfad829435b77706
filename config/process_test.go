package config

import (
	"strings"
	"testing"
)

func TestMaxBytes(t *testing.T) {
	for text, want := range map[string]int64{"1MiB": 1 << 20, "1048576": 1 << 20, "1048577B": 1<<20 + 1, "2048KiB": 2 << 20, "3GiB": 3 << 30, `"64MiB"`: 64 << 20} {
		t.Run(text, func(t *testing.T) {
			c := mustLoad(t, minimal+"max_bytes: "+text)
			check(t, "MaxBytes", c.MaxBytes, want)
			check(t, "again", mustLoad(t, c.String()).MaxBytes, want)
		})
	}
	for _, text := range []string{"0", "1MiB-1", "1023KiB", "64MB", "64M", "64 MiB", "64mib", "1.5MiB", "-1MiB", "MiB", "B", "1025GiB", "9223372036854775808", "99999999999GiB", "lots", "[]"} {
		t.Run(text, func(t *testing.T) {
			if _, err := load(t, minimal+"max_bytes: "+text); err == nil || !strings.Contains(err.Error(), "max_bytes: must be a") {
				t.Errorf("the error is %v", err)
			}
		})
	}
	checkInvalid(t, minimal+"max_bytes: 1", "4: max_bytes: must be a size from 1MiB to 1024GiB, such as 64MiB; the units are B, KiB, MiB and GiB")
}

func TestTrace(t *testing.T) {
	for text, want := range map[string]bool{"": false, "trace: true": false, "trace: false": true} {
		c := mustLoad(t, minimal+text)
		check(t, text, c.OmitTrace, want)
		check(t, text+" of the router", c.Router(c.Queues[0]).OmitTrace, want)
		check(t, text+" again", mustLoad(t, c.String()).OmitTrace, want)
	}
	checkInvalid(t, minimal+"trace: maybe", "4: trace: must be true or false")
}
