-- What the customers were told: one row per event.
CREATE TABLE pushes (
    event_id TEXT PRIMARY KEY,
    event_type TEXT NOT NULL,
    order_id TEXT NOT NULL,
    -- sent | unregistered (the customer cannot be reached)
    state TEXT NOT NULL,
    -- The push provider's own reference.
    push_id TEXT NOT NULL,
    created_unix_ms BIGINT NOT NULL
);
CREATE INDEX pushes_order ON pushes (order_id, created_unix_ms);
