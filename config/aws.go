package config

import (
	"errors"
	"strings"
)

// section reads and shows a. An endpoint that is not configured comes from the
// environment variable of the service.
func (a *AWS) section(service string) value {
	keys := []key{
		{name: "region", value: single(&a.Region, scout1Region), scout1: true, example: "us-east-1",
			doc: "The AWS region of the queues and parameters; the region in queue.url, AWS_REGION or AWS_DEFAULT_REGION if absent."},
		{name: "access_key", value: single(&a.AccessKey, secret), scout1: true, example: "env:ACCESS_KEY",
			doc: "An AWS access key ID; the AWS SDK's default credentials are used if absent."},
		{name: "secret_key", value: single(&a.SecretKey, secret), scout1: true, example: "ssm:/myapp/secret-key",
			doc: "The secret access key that belongs to access_key."},
		{name: "endpoint", value: single(&a.Endpoint, httpURL), example: "http://localhost:4566",
			doc: "The URL of an endpoint for SQS, SNS and Parameter Store other than AWS's own; AWS_ENDPOINT_URL_SQS, AWS_ENDPOINT_URL_SNS, AWS_ENDPOINT_URL_SSM or AWS_ENDPOINT_URL if absent, else the host of a queue.url that is not one of AWS."},
	}
	return section(keys, func(n node) {
		switch access, secret := n.child("access_key"), n.child("secret_key"); {
		case access.isSet() && !secret.isSet():
			secret.fail("is required with aws.access_key")
		case secret.isSet() && !access.isSet():
			access.fail("is required with aws.secret_key")
		}
		if !n.child("region").isSet() {
			readInto(n.variable("AWS_REGION", "AWS_DEFAULT_REGION"), &a.Region, region)
		}
		// The SDK obeys this variable, too, but not for an endpoint that it is given.
		ignored, _ := n.env("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")
		if n.child("endpoint").value == nil && !strings.EqualFold(ignored, "true") {
			readInto(n.variable("AWS_ENDPOINT_URL_"+service, "AWS_ENDPOINT_URL"), &a.Endpoint, httpURL)
		}
	})
}

// region is the name of a region; AWS makes hosts of it.
var region = matching(`^[a-z0-9-]+$`, 64, "must be the name of an AWS region, such as us-east-1")

// scout1Region corrects the spelling "us_east_1", as Scout 1.x does.
var scout1Region = form[string]{shape: shape{pattern: "^[a-z0-9._-]+$"}, parse: func(text string) (string, error) {
	return region.parse(strings.NewReplacer(".", "-", "_", "-").Replace(text))
}}

// sqsClient is the value of SCOUT_SQS_CLIENT.
var sqsClient = form[bool]{parse: func(text string) (bool, error) {
	if text != "sdk" {
		return false, errors.New("must be sdk, to use the AWS SDK's client for SQS, or unset")
	}
	return true, nil
}}
