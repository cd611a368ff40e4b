-- A cart is born with its order's id, and with the trace that the order will continue.
CREATE TABLE carts (
    cart_id       TEXT PRIMARY KEY,
    order_id      TEXT NOT NULL UNIQUE,
    restaurant_id TEXT NOT NULL,
    zone          TEXT NOT NULL,
    -- JSON: sku, name, quantity, price_minor.
    items         TEXT NOT NULL,
    amount_minor  BIGINT NOT NULL,
    currency      TEXT NOT NULL,
    traceparent   TEXT NOT NULL,
    tracestate    TEXT NOT NULL,
    created_ms    BIGINT NOT NULL
);
CREATE INDEX carts_age ON carts (created_ms);

-- An order while it is ours, from the commit before the first call to the hand-over to restaurant-orders.
CREATE TABLE orders (
    order_id          TEXT PRIMARY KEY,
    cart_id           TEXT NOT NULL UNIQUE,
    -- placing | paying | placed | declined | failed
    stage             TEXT NOT NULL,
    -- Why it is declined or failed.
    reason            TEXT NOT NULL,
    -- Empty until a token has been verified: a forged one must not take the cart.
    customer_id       TEXT NOT NULL,
    idempotency_key   TEXT NOT NULL,
    card_token        TEXT NOT NULL,
    payment_reference TEXT NOT NULL,
    -- As restaurant-orders last told: empty until placed.
    remote_state      TEXT NOT NULL,
    -- The span of POST /orders, under which everything happens, restarts included.
    traceparent       TEXT NOT NULL,
    tracestate        TEXT NOT NULL,
    synthetic         TEXT NOT NULL,
    created_ms        BIGINT NOT NULL,
    -- When the customer began to wait.
    claimed_ms        BIGINT NOT NULL,
    updated_ms        BIGINT NOT NULL
);
CREATE INDEX orders_open ON orders (stage) WHERE stage IN ('placing', 'paying');
CREATE INDEX orders_key ON orders (customer_id, idempotency_key);

-- What the customer was shown, numbered, so that an event stream can be taken up again.
CREATE TABLE order_events (
    order_id TEXT NOT NULL,
    seq      BIGINT NOT NULL,
    state    TEXT NOT NULL,
    reason   TEXT NOT NULL,
    at_ms    BIGINT NOT NULL,
    PRIMARY KEY (order_id, seq)
);
