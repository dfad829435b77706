//go:build integration

package config

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"scout/internal/test/env"
)

func TestParametersOfMoto(t *testing.T) {
	loader := Loader{Env: vars(), AWS: access(env.Moto(t))}
	cfg, err := loader.AWS(t.Context(), AWS{})
	if err != nil {
		t.Fatal(err)
	}
	client := ssm.NewFromConfig(cfg)
	put := func(name, value string, kind types.ParameterType) {
		_, err := client.PutParameter(t.Context(), &ssm.PutParameterInput{Name: &name, Value: &value, Type: kind})
		if err != nil {
			t.Fatal(err)
		}
	}
	put("/scout/url", "redis://:a@h", types.ParameterTypeSecureString)
	put("/scout/class", "W", types.ParameterTypeString)
	checkParameters(t, loader)
}
