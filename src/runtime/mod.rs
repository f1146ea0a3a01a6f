//! Loops that call the stages, reload, and a graceful stop.

mod answer;
mod compare;
mod due;
mod hands;
mod mailing;
mod poll;
mod reload;
mod replica;
mod rollup;
mod sync;
pub mod telemetry;
mod upkeep;
mod wake;
mod workers;

pub use reload::SwapError;
pub(crate) use reload::{moved, objections, orphans, remember};
pub use rollup::Pace;
pub use wake::Wake;
pub use workers::Runtime;
