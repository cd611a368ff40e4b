//! How a service runs: settings, errors, listening, health, draining, the database and the message bus.
