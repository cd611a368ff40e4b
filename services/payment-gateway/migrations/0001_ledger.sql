-- Where the money of each order is now.
CREATE TABLE payments (
    seq               INTEGER PRIMARY KEY AUTOINCREMENT,
    payment_id        TEXT NOT NULL UNIQUE,
    -- The idempotency key: an order is paid once.
    order_id          TEXT NOT NULL UNIQUE,
    -- What the customer finds on the statement.
    reference         TEXT NOT NULL UNIQUE,
    -- pending | charged | declined | refunding | refunded
    status            TEXT NOT NULL,
    amount_minor      BIGINT NOT NULL,
    currency          TEXT NOT NULL,
    card_token        TEXT NOT NULL,
    network_reference TEXT,
    refund_reference  TEXT,
    decline_code      TEXT,
    -- Asked for; a pending payment is refunded as soon as it turns out charged.
    refund_reason     TEXT,
    -- The trace of the order, in which the card network is asked again.
    traceparent       TEXT NOT NULL,
    tracestate        TEXT NOT NULL,
    attempts          BIGINT NOT NULL,
    next_ms           BIGINT NOT NULL,
    created_ms        BIGINT NOT NULL,
    updated_ms        BIGINT NOT NULL
);
CREATE INDEX payments_due ON payments (next_ms) WHERE status IN ('pending', 'refunding');

-- What happened, line by line. Nothing here is ever changed or removed.
CREATE TABLE entries (
    seq          INTEGER PRIMARY KEY AUTOINCREMENT,
    payment_id   TEXT NOT NULL,
    -- asked | charged | declined | refund_asked | refunded
    kind         TEXT NOT NULL,
    -- Money that came in (above 0) or went out (below 0) with this line.
    amount_minor BIGINT NOT NULL,
    note         TEXT NOT NULL,
    at_ms        BIGINT NOT NULL
);
CREATE INDEX entries_payment ON entries (payment_id);
CREATE TRIGGER entries_stay BEFORE UPDATE ON entries BEGIN SELECT RAISE(ABORT, 'entries are append-only'); END;
CREATE TRIGGER entries_last BEFORE DELETE ON entries BEGIN SELECT RAISE(ABORT, 'entries are append-only'); END;
