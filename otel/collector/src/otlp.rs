//! OTLP's messages as data: one schema, walked to check and count protobuf and to turn JSON into protobuf.

pub mod json;
pub mod schema;
pub mod split;
pub mod walk;
pub(crate) mod wire;
