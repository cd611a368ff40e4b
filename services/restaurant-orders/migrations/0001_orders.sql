-- The orders, from `Place` to their end. The state is the truth; what has to happen next follows from it.
CREATE TABLE orders (
    order_id TEXT PRIMARY KEY,
    customer_id TEXT NOT NULL,
    restaurant_id TEXT NOT NULL,
    zone TEXT NOT NULL,
    amount_minor BIGINT NOT NULL,
    currency TEXT NOT NULL,
    -- JSON, as the till takes them.
    items TEXT NOT NULL,
    payment_id TEXT NOT NULL,
    payment_reference TEXT NOT NULL,
    -- received | accepted | tracking | delivered | failing | refunded
    state TEXT NOT NULL,
    reason TEXT NOT NULL DEFAULT '',
    -- The till's own reference.
    ticket_id TEXT NOT NULL DEFAULT '',
    -- The order's trace and baggage.
    context TEXT NOT NULL,
    -- Of what is to be done in this state.
    attempts BIGINT NOT NULL DEFAULT 0,
    due_unix_ms BIGINT NOT NULL,
    last_error TEXT NOT NULL DEFAULT '',
    created_unix_ms BIGINT NOT NULL,
    updated_unix_ms BIGINT NOT NULL
);
CREATE INDEX orders_due ON orders (due_unix_ms) WHERE state IN ('received', 'failing');
CREATE INDEX orders_open ON orders (state, created_unix_ms);
