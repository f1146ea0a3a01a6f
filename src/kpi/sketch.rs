//! How durations are spread, in few bytes, mergeable, percentiles within one percent.
//!
//! `DDSketch`: values fall into bins whose bounds grow by a constant factor. The bins are those of `sketches-ddsketch`;
//! they are held here, because a ledger's row wants only those that are not empty.

use std::sync::LazyLock;

use sketches_ddsketch::Config;

/// Relative error of a percentile, at most.
pub const ACCURACY: f64 = 0.01;

/// Milliseconds from 1 up; nothing takes longer than the bins reach.
static BINS: LazyLock<Config> = LazyLock::new(|| Config::new(ACCURACY, 4096, 1.0));

/// Durations, milliseconds. Count, sum and longest are exact.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sketch {
    n: u64,
    none: u64,
    sum: i64,
    max: i64,
    /// Key of the first of the bins.
    base: i32,
    bins: Vec<u64>,
}

impl Sketch {
    /// Adds one; a negative duration is no time at all.
    pub fn add(&mut self, ms: i64) {
        let ms = ms.max(0);
        self.n += 1;
        self.sum = self.sum.saturating_add(ms);
        self.max = self.max.max(ms);
        if ms == 0 {
            self.none += 1;
            return;
        }
        #[expect(clippy::cast_precision_loss, reason = "durations are far below 2^53 ms")]
        let key = BINS.key(ms as f64);
        *self.bin(key) += 1;
    }

    fn bin(&mut self, key: i32) -> &mut u64 {
        if self.bins.is_empty() {
            self.base = key;
        }
        if key < self.base {
            let more = usize::try_from(self.base - key).unwrap_or(0);
            self.bins.splice(0..0, std::iter::repeat_n(0, more));
            self.base = key;
        }
        let place = usize::try_from(key - self.base).unwrap_or(0);
        if place >= self.bins.len() {
            self.bins.resize(place + 1, 0);
        }
        &mut self.bins[place]
    }

    /// Adds all of another.
    pub fn merge(&mut self, other: &Self) {
        self.n += other.n;
        self.none += other.none;
        self.sum = self.sum.saturating_add(other.sum);
        self.max = self.max.max(other.max);
        let Some(last) = other.bins.len().checked_sub(1).and_then(|n| i32::try_from(n).ok()) else { return };
        self.bin(other.base + last);
        self.bin(other.base);
        let from = usize::try_from(other.base - self.base).unwrap_or(0);
        for (mine, theirs) in self.bins[from..].iter_mut().zip(&other.bins) {
            *mine += theirs;
        }
    }

    /// How many.
    #[must_use]
    pub fn n(&self) -> u64 {
        self.n
    }

    /// All of them together, milliseconds, exact.
    #[must_use]
    pub fn sum(&self) -> i64 {
        self.sum
    }

    /// The longest, exact; none of none.
    #[must_use]
    pub fn max(&self) -> Option<i64> {
        (self.n > 0).then_some(self.max)
    }

    /// The percentile by nearest rank, within [`ACCURACY`]; none of none.
    #[must_use]
    pub fn percentile(&self, percent: u64) -> Option<i64> {
        if self.n == 0 {
            return None;
        }
        let rank = (self.n * percent).div_ceil(100).max(1);
        if rank <= self.none {
            return Some(0);
        }
        if rank >= self.n {
            return Some(self.max);
        }
        let mut seen = self.none;
        for (key, count) in (self.base..).zip(&self.bins) {
            seen += count;
            if seen >= rank {
                #[expect(clippy::cast_possible_truncation, reason = "the middle of a bin of milliseconds")]
                let middle = BINS.value(key).round() as i64;
                return Some(middle.clamp(1, self.max));
            }
        }
        Some(self.max)
    }

    /// Appends it to a row.
    pub fn write(&self, out: &mut Vec<u8>) {
        put(out, self.n);
        if self.n == 0 {
            return;
        }
        put(out, self.none);
        put(out, self.sum.unsigned_abs());
        put(out, self.max.unsigned_abs());
        put(out, self.bins.iter().filter(|count| **count > 0).count() as u64);
        let mut before = 0;
        for (key, count) in (self.base..).zip(&self.bins).filter(|(_, count)| **count > 0) {
            put(out, u64::from((key - before).unsigned_abs()));
            put(out, *count);
            before = key;
        }
    }

    /// Adds what a row holds; `None` when it is no sketch.
    pub fn read_into(&mut self, row: &mut &[u8]) -> Option<()> {
        let n = take(row)?;
        if n == 0 {
            return Some(());
        }
        self.n += n;
        self.none += take(row)?;
        self.sum = self.sum.saturating_add(i64::try_from(take(row)?).ok()?);
        self.max = self.max.max(i64::try_from(take(row)?).ok()?);
        let bins = take(row)?;
        let mut key = 0;
        for _ in 0..bins {
            key += i32::try_from(take(row)?).ok().filter(|k| *k < 8192)?;
            *self.bin(key) += take(row)?;
        }
        Some(())
    }
}

/// Appends a number: seven bits a byte, the lowest first.
pub fn put(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

/// Takes a number off; `None` where none stands.
pub fn take(row: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = row.split_first()?;
        *row = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(values: &[i64]) -> Sketch {
        let mut sketch = Sketch::default();
        values.iter().for_each(|v| sketch.add(*v));
        sketch
    }

    fn durations() -> impl Strategy<Value = Vec<i64>> {
        proptest::collection::vec(prop_oneof![Just(0i64), 1i64..5_000, 1i64..40_000_000_000], 1..300)
    }

    proptest! {
        #[test]
        fn percentiles_lie_within_one_percent_of_the_exact_one(mut values in durations(), percent in 1u64..=100) {
            let sketch = of(&values);
            values.sort_unstable();
            let exact = values[(values.len() * percent as usize).div_ceil(100).max(1) - 1];
            let told = sketch.percentile(percent).unwrap();
            let off = (told - exact).abs() as f64;
            // half a millisecond is lost by rounding
            prop_assert!(off <= exact as f64 * ACCURACY + 0.5, "{told} instead of {exact}");
            prop_assert_eq!(sketch.max(), values.last().copied());
            prop_assert_eq!(sketch.sum(), values.iter().sum::<i64>());
        }

        #[test]
        fn merged_is_as_if_added_one_by_one_in_any_order_and_rows_read_back(a in durations(), b in durations()) {
            let mut merged = of(&a);
            merged.merge(&of(&b));
            let mut other = of(&b);
            other.merge(&of(&a));
            let both: Vec<i64> = a.iter().chain(&b).copied().collect();
            let mut row = Vec::new();
            of(&a).write(&mut row);
            of(&b).write(&mut row);
            let (mut read, mut rest) = (Sketch::default(), row.as_slice());
            read.read_into(&mut rest).unwrap();
            read.read_into(&mut rest).unwrap();
            prop_assert!(rest.is_empty());
            for sketch in [&merged, &other, &read] {
                prop_assert_eq!(sketch, &of(&both));
            }
        }

        #[test]
        fn what_is_no_sketch_is_told_not_believed(bytes in proptest::collection::vec(any::<u8>(), 1..60)) {
            let mut sketch = Sketch::default();
            let mut row = bytes.as_slice();
            prop_assert!(sketch.read_into(&mut row).is_none() || row.len() < bytes.len());
        }
    }
}
