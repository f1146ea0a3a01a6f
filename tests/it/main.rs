//! One test binary.

mod contract;
