# Handles the messages of the topic orders; metadata says where each came from.
class OrderWorker
  include Sidekiq::Job
  sidekiq_options queue: "critical", retry: 5, tags: ["orders"]

  def perform(order, metadata)
    logger.info("order #{order["id"]} from the topic #{metadata["topic"]}")
  end
end
