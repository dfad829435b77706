require "rails"
require "active_job/railtie"
require "sidekiq"

module Shop
  class Application < Rails::Application
    config.load_defaults Rails::VERSION::STRING.to_f
    config.eager_load = false
    config.active_job.queue_adapter = :sidekiq
  end
end
