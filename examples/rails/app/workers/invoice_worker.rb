# Handles the messages of the topic invoices.
class InvoiceWorker
  include Sidekiq::Job
  sidekiq_options dead: false, backtrace: 10

  def perform(invoice)
    logger.info("invoice #{invoice["id"]}")
  end
end
