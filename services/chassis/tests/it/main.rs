//! The chassis through its public face: services in process on free ports.

mod edge;
mod support;
