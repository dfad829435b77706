# Prints what Sidekiq's API, which the Web UI uses, reads from Redis.
require_relative "app"
require "sidekiq/api"

def describe(job)
  {
    display_class: job.display_class, display_args: job.display_args, queue: job.queue, jid: job.jid,
    tags: job.tags, retry: job["retry"], backtrace: job["backtrace"], dead: job["dead"], latency: job.latency,
    created_ago: Time.now - job.created_at, enqueued_ago: job.enqueued_at && Time.now - job.enqueued_at
  }
end

# Adds what the entries of a set have.
def describe_entry(entry)
  describe(entry).merge(
    error_class: entry["error_class"], error_message: entry["error_message"], retry_count: entry["retry_count"],
    retried: !entry["retried_at"].nil?, error_lines: entry.error_backtrace&.size
  )
end

stats = Sidekiq::Stats.new
queues = Sidekiq::Queue.all.map do |queue|
  { name: queue.name, size: queue.size, latency: queue.latency, jobs: queue.map { |job| describe(job) } }
end
sets = { retry: Sidekiq::RetrySet, dead: Sidekiq::DeadSet, schedule: Sidekiq::ScheduledSet }
puts JSON.generate(
  enqueued: stats.enqueued, sizes: stats.queues, retries: stats.retry_size, dead: stats.dead_size, queues: queues,
  sets: sets.transform_values { |set| set.new.map { |entry| describe_entry(entry) } }
)
