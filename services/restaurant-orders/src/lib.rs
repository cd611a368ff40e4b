//! Step 5: the order's state, from acceptance by the restaurant to its end.
