//! Loops that call the stages, reload, and a graceful stop.

pub mod telemetry;
mod workers;

pub use workers::{Runtime, Wake};
