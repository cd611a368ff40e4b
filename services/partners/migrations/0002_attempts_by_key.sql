-- A request that names no order, such as a refund, is counted by its idempotency key.
CREATE INDEX log_key ON log (partner, idempotency_key);
