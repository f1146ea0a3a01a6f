//! Measures of approval and provisioning time, kept apart, each by two clocks.

pub mod case;
pub mod clocks;
pub mod export;
pub mod measure;
pub mod report;
pub mod segments;
pub mod timing;
