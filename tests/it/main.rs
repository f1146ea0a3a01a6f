//! One test binary: journeys through the bridge, contracts, and what people read.

mod catalog;
mod generated;
mod ledger;
mod plan;
