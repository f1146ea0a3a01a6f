//! One test binary: what is promised, tried from the outside.

mod contract;
