//! Step 1, the front door: sessions, carts, orders and their events.
