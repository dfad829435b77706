package redisiam

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"scout/config"
	"scout/sidekiq"
)

// The tokens are those of botocore 1.44 (RequestSigner.generate_presigned_url for
// the service elasticache, of a GET to https://CACHE/?Action=connect&User=USER
// that expires in 900 s, without the protocol), with its clock set to at.
func TestToken(t *testing.T) {
	at := time.Date(2026, 11, 26, 1, 2, 3, 0, time.UTC)
	credentials := aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}
	ofRole := credentials
	ofRole.SessionToken = "session/token+=="
	for name, c := range map[string]struct {
		credentials  aws.Credentials
		region, user string
		want         string
	}{
		"keys": {credentials, "us-east-1", "scout", "shop-cache/?Action=connect&User=scout" +
			"&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20261126%2Fus-east-1%2Felasticache%2Faws4_request" +
			"&X-Amz-Date=20261126T010203Z&X-Amz-Expires=900&X-Amz-SignedHeaders=host" +
			"&X-Amz-Signature=602ced79ab919b3c0c1d742299816b2629acf04fed62aea3ef2d7fb9b94d5903"},
		"role": {ofRole, "eu-central-1", "scout user+1", "shop-cache/?Action=connect&User=scout%20user%2B1" +
			"&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20261126%2Feu-central-1%2Felasticache%2Faws4_request" +
			"&X-Amz-Date=20261126T010203Z&X-Amz-Expires=900&X-Amz-SignedHeaders=host&X-Amz-Security-Token=session%2Ftoken%2B%3D%3D" +
			"&X-Amz-Signature=393f5e126a4c5789fd40ca7caaa590c02c9ccaf221afa64497c02214532a5575"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := token(t.Context(), c.credentials, c.region, "shop-cache", c.user, at)
			// Only the order of the parameters may differ.
			if err != nil || !slices.Equal(parts(got), parts(c.want)) {
				t.Errorf("token = %s, %v\nwant %s", got, err, c.want)
			}
		})
	}
}

func parts(token string) []string {
	parts := strings.Split(token, "&")
	slices.Sort(parts)
	return parts
}

// Every call of Password asks for the credentials again, which may have changed,
// and loads the configuration of AWS only once.
func TestClientOptions(t *testing.T) {
	loads, calls := 0, 0
	load := func(_ context.Context, c config.AWS) (aws.Config, error) {
		if loads++; loads == 1 {
			return aws.Config{}, errors.New("no such profile")
		}
		return aws.Config{Region: c.Region, Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			calls++
			return aws.Credentials{AccessKeyID: "AKID" + strings.Repeat("X", calls), SecretAccessKey: "secret"}, nil
		})}, nil
	}
	r := config.Redis{URL: "rediss://scout@cache.internal:6379", IAM: config.IAM{Cache: "shop", AWS: config.AWS{Region: "eu-west-1"}}}
	options := ClientOptions(r, load)
	if options.MaxConnAge >= 12*time.Hour || options.MaxConnAge == 0 {
		t.Errorf("connections live for %v, want less than 12 h", options.MaxConnAge)
	}
	if _, err := options.Password(t.Context()); err == nil || !strings.Contains(err.Error(), "redis.iam") {
		t.Errorf("error = %v, want one about redis.iam", err)
	}
	for _, want := range []string{"AKIDX%2F", "AKIDXX%2F"} {
		token, err := options.Password(t.Context())
		if err != nil || !strings.HasPrefix(token, "shop/?Action=connect&User=scout&") || !strings.Contains(token, want) || !strings.Contains(token, "eu-west-1") {
			t.Errorf("token = %s, %v; want it to have %s", token, err, want)
		}
	}
	if loads != 2 {
		t.Errorf("%d loads, want 2", loads)
	}
	if _, err := sidekiq.NewClient(options); err != nil {
		t.Error(err)
	}
	if plain := ClientOptions(config.Redis{URL: "redis://h"}, nil); plain.Password != nil || plain.MaxConnAge != 0 {
		t.Errorf("options without IAM = %+v", plain)
	}
}
