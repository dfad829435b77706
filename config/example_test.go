package config_test

import (
	"context"
	"fmt"

	"scout/config"
)

// noVariables is an empty environment, so that the examples print the same anywhere.
func noVariables(string) (string, bool) { return "", false }

func ExampleLoader_Load() {
	loader := config.Loader{Env: noVariables}
	c, err := loader.Load(context.Background(), `
redis: {url: "rediss://user:secret@redis.internal:6379/0"}
aws: {region: us-east-1}
queue:
  name: shop
  topics:
    orders: OrderWorker
    refunds: {class: Refunds::SyncJob, queue: critical, retry: 5, active_job: true}
`)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(c)
	// Output:
	// redis:
	//   url: rediss://redis.internal:6379/0
	//   queue: default
	//   timestamps: seconds
	//   dedup_ttl: 24h
	// aws:
	//   region: us-east-1
	// queue:
	//   name: shop
	//   wait_time: 20s
	//   visibility_timeout: 0s
	//   max_messages: 10
	//   concurrency: 64
	//   topics:
	//     orders:
	//       - class: OrderWorker
	//         queue: default
	//     refunds:
	//       - class: Refunds::SyncJob
	//         queue: critical
	//         retry: 5
	//         active_job: true
	// max_bytes: 64MiB
	// trace: true
	// shutdown_timeout: 25s
}

func ExampleLoader_Load_invalid() {
	loader := config.Loader{Env: noVariables}
	_, err := loader.Load(context.Background(), `
redis: {urll: "rediss://user:secret@redis.internal:6379/0"}
queue:
  name: shop
  wait_time: 30s
  topics: {orders: orderWorker}
`)
	fmt.Println(err)
	// Output:
	// --config:2: redis.url: is required unless redis.host or the environment variable REDIS_URL is set
	// --config:2: redis.urll: unknown key; did you mean "url"? allowed: url, host, password, tls, sentinels, sentinel_username, sentinel_password, iam, wait, namespace, queue, sidekiq, timestamps, dedup_ttl
	// --config:5: queue.wait_time: must be a duration in whole seconds from 0s to 20s, such as 20s
	// --config:6: queue.topics.orders: must be a Ruby class, such as FooWorker or Orders::SyncJob
}
