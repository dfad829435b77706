# Handles the messages of the topic signups.
class WelcomeJob < ApplicationJob
  queue_as :mailers
  sidekiq_options retry: 3

  def perform(user)
    Sidekiq.logger.info("welcome, #{user["name"]}")
  end
end
