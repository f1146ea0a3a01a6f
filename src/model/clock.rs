//! The one door of time. Everything else asks a [`Clock`]; clippy bans the rest.

use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, SecondsFormat, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An instant: UTC milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Milliseconds added (negative: subtracted), saturating.
    #[must_use]
    pub fn plus_ms(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Whole seconds added, saturating.
    #[must_use]
    pub fn plus_secs(self, secs: i64) -> Self {
        self.plus_ms(secs.saturating_mul(1000))
    }

    /// Milliseconds from `earlier` to this instant; negative when this one is the earlier.
    #[must_use]
    pub fn ms_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// As chrono's UTC instant; out-of-range values are clamped to the epoch.
    #[must_use]
    pub fn to_utc(self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.0).unwrap_or_default()
    }

    /// ISO 8601 in UTC with milliseconds, for machines.
    #[must_use]
    pub fn iso(self) -> String {
        self.to_utc().to_rfc3339_opts(SecondsFormat::Millis, true)
    }

    /// `2026-11-24 08:30 UTC`, for people.
    #[must_use]
    pub fn human(self) -> String {
        self.to_utc().format("%Y-%m-%d %H:%M UTC").to_string()
    }
}

impl From<DateTime<Utc>> for Timestamp {
    fn from(value: DateTime<Utc>) -> Self {
        Self(value.timestamp_millis())
    }
}

/// Where the present comes from.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// Wall-clock time: recorded, shown, compared with what others say. May jump.
    fn now(&self) -> Timestamp;
    /// Milliseconds since boot, counting time asleep. Never jumps; used for lease deadlines.
    fn boot_ms(&self) -> i64;
}

/// The machine's clocks.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one door of time")]
    fn now(&self) -> Timestamp {
        Utc::now().into()
    }

    fn boot_ms(&self) -> i64 {
        let t = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        t.tv_sec.saturating_mul(1000).saturating_add(t.tv_nsec / 1_000_000)
    }
}

/// A clock that stands still until told to move: tests and simulations.
#[derive(Debug)]
pub struct FakeClock {
    now: AtomicI64,
    boot: AtomicI64,
}

impl FakeClock {
    /// Starts at `now`; boot time starts at one day.
    #[must_use]
    pub fn at(now: Timestamp) -> Self {
        Self { now: AtomicI64::new(now.0), boot: AtomicI64::new(86_400_000) }
    }

    /// Both clocks move by `ms`.
    pub fn advance_ms(&self, ms: i64) {
        self.now.fetch_add(ms, Ordering::SeqCst);
        self.boot.fetch_add(ms, Ordering::SeqCst);
    }

    /// Only the wall clock jumps, as after a correction by NTP.
    pub fn skew_ms(&self, ms: i64) {
        self.now.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.now.load(Ordering::SeqCst))
    }

    fn boot_ms(&self) -> i64 {
        self.boot.load(Ordering::SeqCst)
    }
}
