//! Readers of what trace stores answer. Absurd spans (no id, end before start) are read as they are: judging is the
//! engine's work.

pub mod jaeger;
pub mod otlp;
