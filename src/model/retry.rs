//! When to try a call again: a pure schedule, stored with the errand.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Exponential waiting with a ceiling and jitter.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RetrySchedule {
    /// Wait after the first failure, milliseconds.
    pub first_ms: i64,
    /// Each further wait is this much longer.
    pub factor: f64,
    /// No wait is longer, milliseconds.
    pub max_ms: i64,
}

impl Default for RetrySchedule {
    fn default() -> Self {
        Self { first_ms: 2_000, factor: 2.0, max_ms: 900_000 }
    }
}

impl RetrySchedule {
    /// Milliseconds to wait after `failures` failures in a row (1 for the first). `asked_ms` is what the other side
    /// asked for (Retry-After): it is always respected, also beyond the ceiling. `entropy` spreads the waits by ±10 %.
    #[must_use]
    pub fn wait_ms(&self, failures: u32, asked_ms: Option<i64>, entropy: u64) -> i64 {
        let steps = f64::from(failures.saturating_sub(1).min(64));
        let base = (self.first_ms as f64 * self.factor.max(1.0).powf(steps)).min(self.max_ms as f64);
        let spread = 0.9 + 0.2 * ((entropy % 1024) as f64 / 1023.0);
        #[expect(clippy::cast_possible_truncation, reason = "bounded by max_ms")]
        let own = (base * spread) as i64;
        own.max(asked_ms.unwrap_or(0)).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn waits_grow_stay_bounded_and_respect_the_other_side(n in 1u32..200, asked in proptest::option::of(0i64..10_000_000), e: u64) {
            let s = RetrySchedule::default();
            let wait = s.wait_ms(n, asked, e);
            prop_assert!(wait >= asked.unwrap_or(0));
            prop_assert!(wait <= (s.max_ms as f64 * 1.1) as i64 + asked.unwrap_or(0));
            prop_assert!(s.wait_ms(n + 4, None, e) >= s.wait_ms(n, None, e).min(s.max_ms * 9 / 10));
        }
    }
}
