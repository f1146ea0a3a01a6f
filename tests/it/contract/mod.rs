//! One contract per seam, run for every implementation.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall fail")]

mod declared;
mod desk;
mod desk_bench;
mod desk_limits;
mod poll;
mod source;
mod source_asks;
mod source_bench;
mod source_promises;
mod source_told;
pub(crate) mod source_waits;
mod source_ways;
