//! Step 6: finds a courier for an accepted order within its deadline.
