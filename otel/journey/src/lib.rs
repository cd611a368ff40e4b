//! A trace and its expected route in, the order's stamps and a verdict out.
