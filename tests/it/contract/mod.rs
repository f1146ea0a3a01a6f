//! One contract per seam, run for every implementation.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall fail")]

mod desk;
mod desk_bench;
mod poll;
mod source;
mod source_bench;
mod source_promises;
