//! Step 2: accounts, passwords and signed bearer tokens.
