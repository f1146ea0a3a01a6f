//! Stateful fakes with declared faults. The demo, the tests and the load runs use the same ones.

pub mod company;
pub mod config;
pub mod history;
pub mod platform;
pub mod platform_state;

pub use platform::{PlatformFaults, SandboxPlatform};
pub use platform_state::{Counts, PlatformState};
