# The app of env.Sidekiq. Each time one of its workers is performed, it appends a
# line of JSON to the file $EXECUTIONS.
require "active_job"
require "json"
require "sidekiq"
require "sidekiq/scheduled"

# From 7.3.3 on, Sidekiq has an adapter of its own, which its Rails engine loads.
adapter = File.expand_path("../../active_job/queue_adapters/sidekiq_adapter.rb", Sidekiq.const_source_location(:VERSION).first)
require adapter if File.exist?(adapter)
ActiveJob::Base.queue_adapter = :sidekiq
ActiveJob::Base.logger = nil
Redis.silence_deprecations = true if defined?(Redis.silence_deprecations)

# Server middleware that keeps the job as Sidekiq loaded it, for Recording.
class KeepJob
  def call(_worker, job, queue)
    Thread.current[:job] = job
    Thread.current[:queue] = queue
    yield
  end
end

redis = ENV["NAMESPACE"].to_s.empty? ? {} : { namespace: ENV["NAMESPACE"] }
Sidekiq.configure_client do |config|
  config.redis = redis
  config.logger = Logger.new($stderr) # scripts print to $stdout
end
Sidekiq.configure_server do |config|
  config.redis = redis
  config.server_middleware { |chain| chain.add KeepJob }
end

# Nothing is retried by itself, however long a test takes.
class Sidekiq::Scheduled::Poller
  def enqueue; end
end

module Recording
  def perform(*arguments)
    job = Thread.current[:job]
    execution = {
      class: self.class.name, jid: job["jid"], job_id: (job_id if respond_to?(:job_id)),
      queue: Thread.current[:queue], arguments: arguments, job: job
    }
    line = JSON.generate(execution, max_nesting: 0) + "\n"
    File.write(ENV.fetch("EXECUTIONS"), line, mode: "a")
  end
end

# Its jobs fail.
module Failing
  def perform(*)
    super
    raise "failing on purpose"
  end
end

class PlainWorker
  include Sidekiq::Worker
  include Recording
end

module Orders
  class SyncWorker < PlainWorker; end
end

class FailingWorker < PlainWorker
  include Failing
end

class MailJob < ActiveJob::Base
  include Recording
end

# Sidekiq retries it.
class FailingJob < MailJob
  include Failing
end

# ActiveJob retries it: it enqueues a new job with arguments that it serialized.
class RetriedJob < FailingJob
  retry_on StandardError, wait: 3600
end

# Runs until Sidekiq stops, which then puts its job back.
class EndlessWorker < PlainWorker
  def perform(*)
    super
    sleep
  end
end

# Takes the messages that Scout rejected, as docs/operations.md suggests.
module Scout
  class RejectedMessage < PlainWorker; end
end
