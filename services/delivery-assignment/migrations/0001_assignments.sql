-- One row per order that needs a courier.
CREATE TABLE assignments (
    order_id TEXT PRIMARY KEY,
    -- The message `order.accepted`, as it came.
    accepted TEXT NOT NULL,
    -- searching | assigned | riding | failed | dropped
    state TEXT NOT NULL,
    reason TEXT NOT NULL DEFAULT '',
    assignment_id TEXT NOT NULL DEFAULT '',
    courier_id TEXT NOT NULL DEFAULT '',
    ride_ms BIGINT NOT NULL DEFAULT 0,
    -- The order's trace and baggage.
    context TEXT NOT NULL,
    -- 1: the fleet has to be told that nobody need ride.
    cancel BIGINT NOT NULL DEFAULT 0,
    attempts BIGINT NOT NULL DEFAULT 0,
    due_unix_ms BIGINT NOT NULL,
    created_unix_ms BIGINT NOT NULL,
    updated_unix_ms BIGINT NOT NULL
);
CREATE INDEX assignments_due ON assignments (due_unix_ms) WHERE cancel = 1 OR state = 'dropped';
CREATE INDEX assignments_open ON assignments (state, created_unix_ms);
