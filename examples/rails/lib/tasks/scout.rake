# rake scout:manifest writes workers.json, which tells Scout the options, arguments and
# queues of the app's Sidekiq and ActiveJob classes. Environment variables set:
#
#   FILE=path           the file to write
#   CONFIG=scout.yml    only the classes that this configuration of Scout names
#   QUEUES=a,b          the queues that Sidekiq serves, if config/sidekiq.yml does not have them
#   REQUIRE=a.rb,b.rb   the files to load, for an app without Rails
#
# It works with Rails 6.1 and newer, without Rails, and with Sidekiq 5 and newer.
require "erb"
require "json"
require "yaml"

# The queues in a part of config/sidekiq.yml: at its top, of an environment, or of a capsule.
queues_in = lambda do |part|
  part.is_a?(Hash) ? part.flat_map { |key, value| key.to_s == "queues" ? Array(value).map { |name, _| name.to_s } : queues_in.(value) } : []
end

# The options that Sidekiq's client adds to jobs of the classes; later classes take precedence.
options_of = lambda do |*classes|
  options = classes.select { |c| c.respond_to?(:get_sidekiq_options) }.map(&:get_sidekiq_options).reduce({}, :merge)
  options["retry_for"] = options["retry_for"].to_i if options["retry_for"]
  options["pool"] = true if options["pool"]
  options.reject { |_, value| value.is_a?(Proc) }.sort.to_h
end

describe = lambda do |job|
  parameters = job.instance_method(:perform).parameters
  count = ->(kind) { parameters.count { |k, _| k == kind } }
  call = { args: [count.(:req), count.(:rest) > 0 ? nil : count.(:req) + count.(:opt)],
           required_keywords: parameters.select { |k, _| k == :keyreq }.map(&:last) }
  next { kind: "sidekiq", options: options_of.(job) }.merge(call) unless defined?(ActiveJob::Base) && job < ActiveJob::Base

  queue = job.queue_name
  queue = job.new.queue_name if queue.is_a?(Proc) && queue.lambda? # ActiveJob's own default; a block of queue_as is no lambda
  options = options_of.(ActiveJob::QueueAdapters::SidekiqAdapter::JobWrapper, job).reject { |key, _| key == "queue" }
  { kind: "active_job", queue: (queue.to_s unless queue.is_a?(Proc)), priority: (job.priority if job.priority.is_a?(Integer)), options: options }.merge(call)
end

namespace :scout do
  desc "Write workers.json, which tells Scout about the app's workers"
  task manifest: (defined?(Rails.application) ? :environment : []) do
    Rails.application.eager_load! if defined?(Rails.application)
    ENV.fetch("REQUIRE", "").split(",").each { |file| require File.expand_path(file) }

    bases = [Sidekiq::Worker, (ActiveJob::Base if defined?(ActiveJob::Base))].compact
    jobs = ObjectSpace.each_object(Class).select do |c|
      bases.any? { |base| c < base } && c.name && !c.name.end_with?("::JobWrapper", "ActiveJob::Wrapper") &&
        c.method_defined?(:perform) && c.instance_method(:perform).owner.name != "ActiveJob::Execution"
    end
    config = ENV["CONFIG"] && File.read(ENV["CONFIG"])
    jobs.select! { |c| config.match?(/(?<![\w:])#{c.name}(?![\w:])/) } if config

    load_yaml = YAML.respond_to?(:unsafe_load) ? :unsafe_load : :load
    settings = File.exist?("config/sidekiq.yml") && YAML.public_send(load_yaml, ERB.new(File.read("config/sidekiq.yml"), trim_mode: "-").result)
    queues = ENV["QUEUES"] ? ENV["QUEUES"].split(",") : queues_in.(settings).uniq
    head = JSON.generate(version: 1, sidekiq: Sidekiq::VERSION, queues: queues, classes: {})
    lines = jobs.sort_by(&:name).map { |c| "#{JSON.generate(c.name)}: #{JSON.generate(describe.(c))}" }
    File.write(ENV.fetch("FILE", "workers.json"), head.delete_suffix("}}") + "\n#{lines.join(",\n")}}}\n")
  end
end
