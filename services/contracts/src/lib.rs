//! What callers and callees share: protobuf, JSON types, attribute keys and the order's route.

pub mod catalogue;
pub mod code;
pub mod http;
pub mod keys;
pub mod message;

/// `auth.v1`: accounts and tokens (step 2).
#[allow(missing_docs, unreachable_pub, clippy::unwrap_used, reason = "generated code")]
pub mod auth_v1 {
    tonic::include_proto!("auth.v1");
}

/// `orders.v1`: the order's owner (step 5).
#[allow(missing_docs, unreachable_pub, clippy::unwrap_used, reason = "generated code")]
pub mod orders_v1 {
    tonic::include_proto!("orders.v1");
}

/// `tracking.v1`: rides (step 7).
#[allow(missing_docs, unreachable_pub, clippy::unwrap_used, reason = "generated code")]
pub mod tracking_v1 {
    tonic::include_proto!("tracking.v1");
}

/// The encoded `FileDescriptorSet` of all services here, for gRPC reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// The order's route, as `journey::Route::parse` reads it.
pub const ROUTE: &str = include_str!("../route.yaml");
