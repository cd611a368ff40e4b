-- What the outside world remembers. A card network never forgets a charge.
CREATE TABLE replies (
    partner     TEXT NOT NULL,
    key         TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    status      INTEGER NOT NULL,
    body        TEXT NOT NULL,
    order_id    TEXT,
    reference   TEXT,
    PRIMARY KEY (partner, key)
) WITHOUT ROWID;

CREATE TABLE charges (
    seq             INTEGER PRIMARY KEY AUTOINCREMENT,
    charge_id       TEXT NOT NULL UNIQUE,
    idempotency_key TEXT NOT NULL UNIQUE,
    reference       TEXT NOT NULL,
    amount_minor    INTEGER NOT NULL,
    currency        TEXT NOT NULL,
    status          TEXT NOT NULL,
    decline_code    TEXT,
    created_ms      INTEGER NOT NULL
);
CREATE INDEX charges_reference ON charges (reference);

CREATE TABLE refunds (
    refund_id    TEXT PRIMARY KEY,
    charge_id    TEXT NOT NULL REFERENCES charges (charge_id),
    amount_minor INTEGER NOT NULL,
    reason       TEXT NOT NULL,
    created_ms   INTEGER NOT NULL
);
CREATE INDEX refunds_charge ON refunds (charge_id);

CREATE TABLE tickets (
    ticket_id     TEXT PRIMARY KEY,
    order_id      TEXT NOT NULL,
    restaurant_id TEXT NOT NULL,
    accepted      INTEGER NOT NULL,
    reason        TEXT,
    created_ms    INTEGER NOT NULL
);
CREATE INDEX tickets_order ON tickets (order_id);

-- A cancelled order has a row too, even when the cancellation came before the request it cancels.
CREATE TABLE assignments (
    order_id      TEXT PRIMARY KEY,
    assignment_id TEXT,
    courier_id    TEXT,
    zone          TEXT,
    ride_ms       INTEGER,
    status        TEXT NOT NULL,
    created_ms    INTEGER NOT NULL
);

CREATE TABLE pushes (
    push_id     TEXT PRIMARY KEY,
    customer_id TEXT NOT NULL,
    order_id    TEXT NOT NULL,
    title       TEXT NOT NULL,
    body        TEXT NOT NULL,
    created_ms  INTEGER NOT NULL
);
CREATE INDEX pushes_customer ON pushes (customer_id);
CREATE INDEX pushes_order ON pushes (order_id);

CREATE TABLE log (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms           INTEGER NOT NULL,
    partner         TEXT NOT NULL,
    method          TEXT NOT NULL,
    path            TEXT NOT NULL,
    trace_id        TEXT,
    idempotency_key TEXT,
    order_id        TEXT,
    reference       TEXT,
    status          INTEGER,
    outcome         TEXT NOT NULL
);
CREATE INDEX log_trace ON log (trace_id);
CREATE INDEX log_order ON log (partner, order_id);
