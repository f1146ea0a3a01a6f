//! The trials of the promise: how often it was tried to lose or to double something (docs/guarantees.md publishes it).
//!
//! `enumerated`: every place where the process may die × every fault of the desk × how far its search lags, for each level
//! of desk. `kills`: the running program, killed. `graceful`: stops, desks and databases that are away, full disks.

mod enumerated;
mod graceful;
mod kills;
mod site;
mod trial;

pub use site::{Engine, Level, Site};
pub use trial::{Plan, run};
