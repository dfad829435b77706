//go:build integration

package deadletter

import (
	"testing"

	"scout/internal/test/env"
)

func TestOnMoto(t *testing.T) {
	conformance(t, env.Moto(t), false)
}
