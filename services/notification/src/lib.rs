//! Step 8: tells the customer, through the push provider.
