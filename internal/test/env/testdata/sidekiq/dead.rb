# Prints the dead set as the Web UI shows it. With the input true, also does what its
# button "Retry now" does, for each entry.
require_relative "app"
require "sidekiq/api"

# Versions of Sidekiq before 8 have no such method, and read no milliseconds.
def failed_at(entry)
  entry.respond_to?(:failed_at) ? entry.failed_at.to_f : entry["failed_at"]
end

retry_now = JSON.parse($stdin.read)
entries = Sidekiq::DeadSet.new.map do |entry|
  {
    class: entry.display_class, args: entry.display_args, queue: entry.queue, jid: entry.jid, retry: entry["retry"],
    error_class: entry["error_class"], error_message: entry["error_message"],
    died_ago: Time.now - entry.at, failed_ago: Time.now.to_f - failed_at(entry)
  }
end
Sidekiq::DeadSet.new.each(&:retry) if retry_now
puts JSON.generate(entries: entries, left: Sidekiq::DeadSet.new.size)
