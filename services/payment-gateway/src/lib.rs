//! Step 4: charges and refunds through the card network, on its own ledger.
