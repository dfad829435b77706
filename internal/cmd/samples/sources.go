package main

import (
	"fmt"
	"strings"

	"scout/internal/uuid"
)

// bridgeEvents are events as a rule of EventBridge sends them to a queue.
func bridgeEvents() []sample {
	paid := sample{body: bridgeEvent("shop.billing", "Invoice Paid", `{"invoice":42,"total":19.90}`)}
	paid.trace = "Root=1-6957383d-4bf92f3577b34da6a3ce929d;Parent=00f067aa0ba902b7;Sampled=1"
	return []sample{
		paid,
		{body: bridgeEvent("aws.s3", "Object Created",
			`{"version":"0","bucket":{"name":"shop-uploads"},"object":{"key":"invoices/2026-01.pdf","size":1024},"request-id":"C3D13FE58DE4C810","reason":"PutObject"}`)},
		{body: bridgeEvent("aws.events", "Scheduled Event", "{}")}, // which the configuration ignores
	}
}

// bridgeEvent returns an event of EventBridge.
func bridgeEvent(source, detailType, detail string) string {
	return fmt.Sprintf(`{"version":"0","id":%q,"detail-type":%q,"source":%q,`+
		`"account":"000000000000","time":"2026-01-02T03:04:05Z","region":"us-east-1","resources":[],"detail":%s}`,
		uuid.New(), detailType, source, detail)
}

// notificationsOfS3 are event notifications as a bucket sends them to a queue,
// after the test event that S3 sends when they are configured.
func notificationsOfS3() []sample {
	const bucket = "shop-uploads"
	return []sample{
		{body: `{"Service":"Amazon S3","Event":"s3:TestEvent","Time":"2026-01-02T03:04:05.678Z","Bucket":"` + bucket + `","RequestId":"5582815E1AEA5ADF","HostId":"8cLeGAmw098X5cv4Zkwcmo8vvZa3eH3eKxsPzbB9wrR="}`},
		{body: notification(
			record(bucket, "ObjectCreated:Put", "invoices/January+2026.pdf", "0055AED6DCD90281E5"),
			record(bucket, "ObjectCreated:CompleteMultipartUpload", "photos/Zo%C3%AB.jpg", "0055AED6DCD90281E6"),
		)},
		{body: notification(record(bucket, "ObjectRemoved:Delete", "invoices/January+2026.pdf", "0055AED6DCD90281E7"))}, // which the configuration ignores
	}
}

func notification(records ...string) string {
	return `{"Records":[` + strings.Join(records, ",") + `]}`
}

// record returns a record of an event notification. The key is URL-encoded.
func record(bucket, event, key, sequencer string) string {
	return fmt.Sprintf(`{"eventVersion":"2.1","eventSource":"aws:s3","awsRegion":"us-east-1","eventTime":"2026-01-02T03:04:05.678Z",`+
		`"eventName":%q,"userIdentity":{"principalId":"AWS:AIDAEXAMPLE"},"requestParameters":{"sourceIPAddress":"192.0.2.1"},`+
		`"responseElements":{"x-amz-request-id":"C3D13FE58DE4C810","x-amz-id-2":"FMyUVURIY8xAMPLE"},`+
		`"s3":{"s3SchemaVersion":"1.0","configurationId":"uploads",`+
		`"bucket":{"name":%q,"ownerIdentity":{"principalId":"A3NL1KOEXAMPLE"},"arn":"arn:aws:s3:::%s"},`+
		`"object":{"key":%q,"size":1024,"eTag":"d41d8cd98f00b204e9800998ecf8427e","sequencer":%q}}}`,
		event, bucket, bucket, key, sequencer)
}
