# Handles no messages: the app itself enqueues its jobs.
class CleanupWorker
  include Sidekiq::Job

  def perform; end
end
