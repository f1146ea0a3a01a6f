//! Pure: assignment × catalog → draft.

pub mod fill;
pub mod markup;
