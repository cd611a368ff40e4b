-- Messages that this service has to send: one row per event and subscriber, gone once the subscriber has it.
CREATE TABLE outbox (
    event_id TEXT NOT NULL,
    destination TEXT NOT NULL,
    event_type TEXT NOT NULL,
    -- What the event is about (the order's id): events of one subject go out one after the other.
    subject TEXT NOT NULL,
    seq BIGINT NOT NULL,
    body TEXT NOT NULL,
    -- The `create` span's context, and the baggage as JSON.
    traceparent TEXT NOT NULL,
    tracestate TEXT NOT NULL,
    baggage TEXT NOT NULL,
    created_unix_ms BIGINT NOT NULL,
    due_unix_ms BIGINT NOT NULL,
    attempts BIGINT NOT NULL DEFAULT 0,
    -- 1: the subscriber says that it will never take it. Tried on, rarely, and in nobody's way.
    refused BIGINT NOT NULL DEFAULT 0,
    last_error TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (event_id, destination)
);
CREATE INDEX outbox_due ON outbox (destination, due_unix_ms);
CREATE INDEX outbox_order ON outbox (destination, subject, seq);

-- Messages that this service was given. A row outlives its work, so that a repeated delivery is recognised.
CREATE TABLE inbox (
    source TEXT NOT NULL,
    event_id TEXT NOT NULL,
    event_type TEXT NOT NULL,
    subject TEXT NOT NULL,
    seq BIGINT NOT NULL,
    body TEXT NOT NULL,
    traceparent TEXT NOT NULL,
    tracestate TEXT NOT NULL,
    baggage TEXT NOT NULL,
    received_unix_ms BIGINT NOT NULL,
    due_unix_ms BIGINT NOT NULL,
    delivery BIGINT NOT NULL DEFAULT 1,
    -- open | done | dead (handled in vain, needs a human)
    state TEXT NOT NULL DEFAULT 'open',
    last_error TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (source, event_id)
);
CREATE INDEX inbox_due ON inbox (due_unix_ms) WHERE state = 'open';
CREATE INDEX inbox_order ON inbox (subject, seq) WHERE state = 'open';
