// Package redisiam logs in to an Amazon ElastiCache with IAM instead of a
// password. Start at [ClientOptions].
package redisiam

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"scout/config"
	"scout/sidekiq"
)

// maxConnAge is less than the 12 hours after which ElastiCache cuts a connection
// that logged in with IAM.
const maxConnAge = 11 * time.Hour

// ClientOptions returns the options for a client of the configured Redis. With
// redis.iam, each connection logs in with a new token. load returns the
// credentials and the region for an AWS section. It is called for the first
// connection, and again until it succeeds.
func ClientOptions(r config.Redis, load func(context.Context, config.AWS) (aws.Config, error)) sidekiq.Options {
	options := r.ClientOptions()
	if r.IAM.Cache == "" {
		return options
	}
	user := ""
	if u, err := url.Parse(options.URL); err == nil {
		user = u.User.Username()
	}
	s := &source{config: r.IAM.AWS, load: load}
	options.MaxConnAge = maxConnAge
	options.Password = func(ctx context.Context) (string, error) {
		loaded, err := s.get(ctx)
		if err != nil {
			return "", err
		}
		credentials, err := loaded.Credentials.Retrieve(ctx)
		if err != nil {
			return "", fmt.Errorf("getting AWS credentials for redis.iam: %w", err)
		}
		return token(ctx, credentials, loaded.Region, r.IAM.Cache, user, time.Now())
	}
	return options
}

// A source calls load once and keeps the result, which caches credentials.
type source struct {
	config config.AWS
	load   func(context.Context, config.AWS) (aws.Config, error)

	mu     sync.Mutex
	loaded *aws.Config
}

func (s *source) get(ctx context.Context) (*aws.Config, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.loaded != nil {
		return s.loaded, nil
	}
	loaded, err := s.load(ctx, s.config)
	switch {
	case err != nil:
		return nil, fmt.Errorf("getting AWS credentials for redis.iam: %w", err)
	case loaded.Region == "":
		return nil, errors.New("redis.iam needs a region: set aws.region in the configuration, or AWS_REGION")
	case loaded.Credentials == nil:
		return nil, errors.New("redis.iam needs AWS credentials, and there are none; set aws.access_key and aws.secret_key, or give Scout an IAM role")
	}
	s.loaded = &loaded
	return s.loaded, nil
}

const (
	tokenLife     = "900"                                                              // seconds, the maximum
	noBodyDigest  = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" // SHA-256 of nothing
	tokenProtocol = "http://"                                                          // for the signature only, not part of the token
)

// token returns a token, which is valid for 15 minutes: a presigned request to
// connect, without its protocol. See "Authenticating with IAM" in the Amazon
// ElastiCache User Guide.
func token(ctx context.Context, credentials aws.Credentials, region, cache, user string, at time.Time) (string, error) {
	query := url.Values{"Action": {"connect"}, "User": {user}, "X-Amz-Expires": {tokenLife}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, tokenProtocol+cache+"/?"+query.Encode(), nil)
	if err != nil {
		return "", err
	}
	signed, _, err := v4.NewSigner().PresignHTTP(ctx, credentials, request, noBodyDigest, "elasticache", region, at)
	if err != nil {
		return "", fmt.Errorf("signing a token for redis.iam: %w", err)
	}
	return strings.TrimPrefix(signed, tokenProtocol), nil
}
