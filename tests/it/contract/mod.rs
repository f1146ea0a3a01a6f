//! One contract per seam, run for every implementation.

mod desk;
mod desk_bench;
