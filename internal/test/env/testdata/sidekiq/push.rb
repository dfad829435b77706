# Pushes jobs as a Rails app does. Reads [class, options, arguments] for each.
require_relative "app"

JSON.parse($stdin.read).each do |name, options, arguments|
  worker = Object.const_get(name)
  push = worker < ActiveJob::Base ? :perform_later : :perform_async
  worker.set(options.transform_keys(&:to_sym)).public_send(push, *arguments)
end
