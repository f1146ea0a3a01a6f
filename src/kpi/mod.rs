//! Measures of approval and provisioning time, kept apart.

pub mod measure;
pub mod report;
pub mod segments;
