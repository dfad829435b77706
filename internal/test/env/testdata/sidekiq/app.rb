# The app of env.Sidekiq. Each time one of its workers is performed, it appends a
# line of JSON to the file $EXECUTIONS.
require "active_job"
require "json"
require "sidekiq"

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

Sidekiq.configure_server do |config|
  config.server_middleware { |chain| chain.add KeepJob }
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

# Its jobs fail; Sidekiq retries them after the end of the test.
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
  sidekiq_retry_in { 3600 }
end

class MailJob < ActiveJob::Base
  include Recording
end

# Sidekiq retries it.
class FailingJob < MailJob
  include Failing
end
ActiveJob::QueueAdapters::SidekiqAdapter::JobWrapper.sidekiq_retry_in { 3600 }

# ActiveJob retries it: it enqueues a new job with arguments that it serialized.
class RetriedJob < FailingJob
  retry_on StandardError, wait: 3600
end

# Takes the messages that Scout rejected, as docs/operations.md suggests.
module Scout
  class RejectedMessage < PlainWorker; end
end
