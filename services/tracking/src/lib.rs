//! Step 7: starts a ride and follows it to the door.
