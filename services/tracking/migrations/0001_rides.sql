-- One ride per order.
CREATE TABLE rides (
    order_id TEXT PRIMARY KEY,
    ride_id TEXT NOT NULL,
    customer_id TEXT NOT NULL,
    courier_id TEXT NOT NULL,
    zone TEXT NOT NULL,
    -- How long it takes, and how far it is: durations, so that a shifted clock moves no courier.
    ride_ms BIGINT NOT NULL,
    elapsed_ms BIGINT NOT NULL DEFAULT 0,
    -- riding | delivered
    state TEXT NOT NULL,
    -- The order's trace and baggage.
    context TEXT NOT NULL,
    started_unix_ms BIGINT NOT NULL,
    updated_unix_ms BIGINT NOT NULL
);
CREATE INDEX rides_riding ON rides (started_unix_ms) WHERE state = 'riding';
