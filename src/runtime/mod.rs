//! Loops that call the stages, reload, and a graceful stop.

mod reload;
mod replica;
pub mod telemetry;
mod workers;

pub use reload::SwapError;
pub(crate) use reload::{objections, orphans};
pub use workers::{Runtime, Wake};
