CREATE TABLE accounts (
    user_id       TEXT PRIMARY KEY,
    -- As typed, and folded for comparison.
    name          TEXT NOT NULL,
    name_key      TEXT NOT NULL UNIQUE,
    -- Argon2id in PHC string format.
    password_hash TEXT NOT NULL,
    created_ms    BIGINT NOT NULL
);

-- The key that signs tokens: made at the first start, never leaves this database.
CREATE TABLE signing_keys (
    key_id     TEXT PRIMARY KEY,
    secret     TEXT NOT NULL,
    created_ms BIGINT NOT NULL
);
