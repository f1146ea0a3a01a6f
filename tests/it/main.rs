//! One test binary: journeys through the bridge, contracts, real components, and what people read.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall fail where it stands")]

mod architecture;
mod catalog;
mod contract;
mod generated;
mod hooks;
mod intake;
mod journey;
mod ledger;
mod migrations;
mod plan;
mod real;
mod web;
