// Package sidekiq makes Sidekiq jobs and pushes each of them exactly once.
// Start at Worker, which builds jobs, and Client, which pushes them.
package sidekiq
