//! The trials of the promise: how often it was tried to lose or to double something (docs/guarantees.md publishes it).
//!
//! `enumerated`: every place where the process may die × every fault of the desk × how far its search lags, for each level
//! of desk. `kills`: the running program, killed. `paused`: stopped past its lease and woken. `failover`: its PostgreSQL, cut
//! off, restarted, replaced. `graceful`: stops, desks and databases that are away, full disks.

mod enumerated;
mod failover;
mod graceful;
mod kept;
mod kills;
mod paused;
mod site;
mod trial;

pub use kept::Kept;
pub use site::{Engine, Level, Site};
pub use trial::{Plan, run};
