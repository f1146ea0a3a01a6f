//! Stateful fakes with declared faults. The demo, the tests and the load runs use the same ones.

pub mod admins;
pub mod desk_state;
pub mod faults;
mod jira;
pub mod server;
mod servicenow;

pub use admins::{Admins, Pace};
pub use desk_state::{DeskState, Stage, Ticket};
pub use faults::{Fault, Faults, Harm, Target, When};
pub use server::{DeskKind, SandboxDesk};
