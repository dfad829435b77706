//go:build integration

package main

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"scout/internal/test/env"
)

func TestOnMoto(t *testing.T) {
	testCloud(t, aws.Config{
		Region:       "us-east-1",
		BaseEndpoint: aws.String(env.Moto(t)),
		Credentials:  credentials.NewStaticCredentialsProvider("x", "x", ""),
	})
}

func TestAuditOnMoto(t *testing.T) {
	testAudit(t, env.Moto(t))
}
