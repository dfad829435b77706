//go:build integration

package sqswire

import (
	"testing"

	"scout/internal/testparts"
)

func TestMotoConforms(t *testing.T) {
	conformance(t, testparts.Moto(t))
}
