# Writes the manifest of the classes below with the rake task that the input names,
# and pushes a job of each, [options of set, class, argument, ...], as a Rails app does.
require_relative "app"
require "rake"

Sidekiq.public_send(Sidekiq.respond_to?(:default_job_options=) ? :default_job_options= : :default_worker_options=, { "backtrace" => 7 })
ActiveJob::Base.include(Sidekiq::Worker::Options) unless ActiveJob::Base.respond_to?(:sidekiq_options) # as Sidekiq's engine for Rails does
ActiveJob::QueueAdapters::SidekiqAdapter::JobWrapper.sidekiq_options(wrapped_by: "app")

module Twin
  class PlainWorker
    include Sidekiq::Worker

    def perform(message); end
  end

  class OptionsWorker
    include Sidekiq::Worker
    sidekiq_options queue: :critical, retry: 5, backtrace: true, tags: ["a", "ü", "😀"], dead: false,
                    retry_queue: "low", "custom" => { a: [1, 1.5, nil, :symbol], "b" => "</b>\u2028" }

    def perform(message, metadata = nil); end
  end

  class ChildWorker < OptionsWorker
    sidekiq_options retry: false, dead: true

    def perform(*); end
  end

  class PatientWorker
    include Sidekiq::Worker
    sidekiq_options retry_for: 3600, queue: "low"

    def perform(message, *rest, key: nil); end
  end

  class OddWorker
    include Sidekiq::Worker
    sidekiq_options retry: nil, backtrace: nil, tags: [], lock: :until_executed, lock_args: ->(args) { args }

    def perform(message, required); end
  end

  class KeywordWorker
    include Sidekiq::Worker

    def perform(message, order_id:, shop: nil); end
  end

  class PlainJob < ActiveJob::Base
    def perform(message); end
  end

  class OptionsJob < ActiveJob::Base
    queue_as :low
    queue_with_priority 0
    sidekiq_options retry: 3, tags: ["active"], queue: "ignored"

    def perform(message, metadata = {}); end
  end

  class BlockJob < ActiveJob::Base
    queue_as { arguments.first["paid"] ? :paid : :unpaid }

    def perform(message); end
  end

  class PrefixedJob < ActiveJob::Base
    self.queue_name_prefix = "shop"

    def perform(...); end
  end

  class AbstractJob < ActiveJob::Base; end
end

input = JSON.parse($stdin.read)
Rake.application.init("rake", ["--quiet"])
load input["rake"]
ENV.update("FILE" => input["file"], "QUEUES" => "default,low")
Rake::Task["scout:manifest"].invoke

input["calls"].each do |options, name, *arguments|
  worker = Object.const_get(name)
  push = worker < ActiveJob::Base ? :perform_later : :perform_async
  worker.set(options.transform_keys(&:to_sym)).public_send(push, *arguments)
end
