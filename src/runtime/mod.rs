//! Loops that call the stages, reload, and a graceful stop.

mod compare;
mod mailing;
mod reload;
mod replica;
mod rollup;
pub mod telemetry;
mod workers;

pub use reload::SwapError;
pub(crate) use reload::{moved, objections, orphans, remember};
pub use workers::{Runtime, Wake};
