//! Benchmarks of what performance is promised for.

fn main() {}
