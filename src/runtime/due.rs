//! When a loop acts next.

use crate::model::{Clock, Timestamp};

/// A moment by both clocks, which has come as soon as either says so: the wall clock may be set back by hours, and a loop
/// that followed it alone would rest as long.
#[derive(Debug, Clone, Copy)]
pub(super) struct Due {
    wall: Timestamp,
    boot_ms: i64,
}

impl Due {
    /// At this time of the wall clock.
    pub(super) fn at(wall: Timestamp, clock: &dyn Clock) -> Self {
        let left = wall.ms_since(clock.now()).max(0);
        Self { wall, boot_ms: clock.boot_ms().saturating_add(left) }
    }

    /// So many milliseconds from now.
    pub(super) fn after(ms: i64, clock: &dyn Clock) -> Self {
        Self::at(clock.now().plus_ms(ms), clock)
    }

    /// Whether it has come.
    pub(super) fn has_come(self, clock: &dyn Clock) -> bool {
        clock.now() >= self.wall || clock.boot_ms() >= self.boot_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::clock::FakeClock;

    #[test]
    fn a_wall_clock_that_is_set_back_or_forward_puts_nothing_off() {
        let clock = FakeClock::at(Timestamp(7_200_000));
        let due = Due::after(30_000, &clock);
        clock.advance_ms(29_999);
        assert!(!due.has_come(&clock));
        clock.skew_ms(-3_600_000);
        clock.advance_ms(1);
        assert!(due.has_come(&clock), "half a minute has passed, whatever the wall clock says");
        let at = Due::at(clock.now().plus_secs(3_600), &clock);
        clock.skew_ms(3_600_000);
        assert!(at.has_come(&clock), "it is that time now");
        assert!(Due::at(clock.now().plus_secs(-1), &clock).has_come(&clock));
    }
}
