//! Pure words and rules. No I/O; imports nothing of ours.

pub mod assignment;
pub mod clock;
pub mod codes;
pub mod completion;
pub mod errand;
pub mod failpoint;
pub mod finding;
pub mod id;
pub mod key;
pub mod lifecycle;
pub mod outcome;
pub mod progress;
pub mod random;
pub mod retry;
pub mod ticket;

pub use assignment::{Assignment, Operation, Person};
pub use clock::{Clock, Timestamp};
pub use id::Id;
pub use key::Key;
pub use lifecycle::State;
pub use outcome::Outcome;
