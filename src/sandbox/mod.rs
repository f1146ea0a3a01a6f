//! Stateful fakes of a platform and of desks, with faults: demo, tests and load runs share them.

pub mod admins;
pub mod company;
pub mod config;
pub mod desk_state;
mod desk_ticket;
pub mod entra;
pub mod fault_words;
pub mod faults;
pub mod history;
mod jira;
pub mod list_faults;
pub mod midpoint;
pub mod one_identity;
pub mod platform;
pub mod platform_state;
pub mod sailpoint;
pub mod server;
mod servicenow;
pub mod smtp;
mod zammad;

pub use admins::{Admins, Pace};
pub use desk_state::{DeskState, Stage, Ticket};
pub use entra::SandboxEntra;
pub use faults::{Fault, Faults, Harm, Target, When};
pub use midpoint::SandboxMidpoint;
pub use one_identity::SandboxOneIdentity;
pub use platform::{PlatformFaults, SandboxPlatform};
pub use platform_state::{Counts, PlatformState};
pub use sailpoint::SandboxSailPoint;
pub use server::{DeskKind, SandboxDesk};
pub use smtp::{Mail, MailFault, MailServer, SandboxMail};
