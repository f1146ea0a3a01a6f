//! One test binary: journeys through the bridge, contracts, and what people read.

mod contract;
mod ledger;
mod real;
