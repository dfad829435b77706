//go:build integration

package sqsclient

import (
	"testing"

	"scout/internal/test/env"
)

func TestMotoConforms(t *testing.T) {
	conformance(t, env.Moto(t))
}
