//! Figures: one assignment measured (`case`), sums of many (`cell`), kept beside the ledger's hot path (`rollup`), read by
//! pages and exports (`report`). Approval and provisioning are never mixed.

pub mod ages;
pub mod case;
pub mod cell;
pub mod clocks;
pub mod days;
pub mod evidence;
pub mod export;
pub mod forecast;
pub mod leavers;
pub mod life;
pub mod measure;
pub mod report;
pub mod rollup;
pub mod segments;
pub mod series;
pub mod sketch;
pub mod small;
mod sums;
pub mod timing;
pub mod verify;
pub mod whose;
pub mod window;
pub mod words;
