//go:build aws

package main

import (
	"testing"

	"scout/config"
	"scout/internal/sqsclient"
)

// TestOnAWS needs an AWS account: credentials and a region where the AWS CLI finds
// them, with permission to create and delete queues and topics named scout-test-*.
// A run costs less than a cent.
func TestOnAWS(t *testing.T) {
	c, err := sqsclient.AWSConfig(t.Context(), config.AWS{})
	if err != nil {
		t.Fatal(err)
	}
	testCloud(t, c)
}
