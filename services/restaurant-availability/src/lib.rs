//! Step 3: opening hours, kitchen load and stock.
