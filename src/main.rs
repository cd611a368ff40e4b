//! The one binary that plays every part of Waybill.

fn main() {}
