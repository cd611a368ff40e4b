CREATE TABLE restaurants (
    restaurant_id    TEXT PRIMARY KEY,
    -- UTC hours, 0 to 24.
    opens_h          BIGINT NOT NULL,
    closes_h         BIGINT NOT NULL,
    kitchen_capacity BIGINT NOT NULL
);

CREATE TABLE stock (
    sku           TEXT PRIMARY KEY,
    restaurant_id TEXT NOT NULL,
    portions      BIGINT NOT NULL
);

-- An order that was told yes: it is in the kitchen, and its portions are spoken for, while the window lasts.
CREATE TABLE held_orders (
    restaurant_id TEXT NOT NULL,
    order_id      TEXT NOT NULL,
    at_ms         BIGINT NOT NULL,
    PRIMARY KEY (restaurant_id, order_id)
);
CREATE INDEX held_orders_time ON held_orders (restaurant_id, at_ms);

CREATE TABLE held_portions (
    sku      TEXT NOT NULL,
    order_id TEXT NOT NULL,
    portions BIGINT NOT NULL,
    at_ms    BIGINT NOT NULL,
    PRIMARY KEY (sku, order_id)
);
CREATE INDEX held_portions_time ON held_portions (sku, at_ms, portions);
CREATE INDEX held_orders_age ON held_orders (at_ms);
CREATE INDEX held_portions_age ON held_portions (at_ms);
