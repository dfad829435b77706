# Gets no messages: the app itself enqueues it.
class CleanupWorker
  include Sidekiq::Job

  def perform; end
end
