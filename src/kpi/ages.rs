//! What is open now: how old it is, and what of it is late already. Pure.

use serde::{Deserialize, Serialize};

use super::days::HOUR_MS;
use super::measure::MIN_FOR_PERCENTILE;
use crate::ledger::views::BacklogRow;
use crate::model::Timestamp;

/// What is open, to the hour.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Now {
    /// By age.
    pub open: Ages,
    /// Target passed.
    pub overdue: i64,
    /// Its day passed.
    pub dated_overdue: i64,
    /// The access was to end.
    pub expired: i64,
    /// With trouble between the systems.
    #[serde(default)]
    pub troubled: i64,
    /// Leavers with something open for more than 24 hours.
    pub leavers_overdue: i64,
}

impl Now {
    /// Adds all of another.
    pub fn merge(&mut self, other: &Self) {
        self.open.merge(&other.open);
        self.overdue += other.overdue;
        self.dated_overdue += other.dated_overdue;
        self.expired += other.expired;
        self.troubled += other.troubled;
        self.leavers_overdue += other.leavers_overdue;
    }
}

/// Ages of open work, to the hour.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ages {
    /// Their clock starts later.
    pub not_yet: i64,
    /// Under 1 day, 1–3, 3–7, 7–14, over 14 days.
    pub bands: [i64; 5],
    /// The earliest instant.
    pub oldest: Option<Timestamp>,
    /// How many by age in hours: to the hour under two days, to the day under thirty, to the week beyond.
    hours: std::collections::BTreeMap<i64, i64>,
}

impl Ages {
    /// Adds those of a sum by hours, as the ledger adds them up.
    pub fn add_hour(&mut self, at: i64, this_hour: i64, n: i64, oldest: Timestamp) {
        let hours = (this_hour - at) / HOUR_MS;
        let hours = match hours {
            _ if at > this_hour => -1,
            ..48 => hours,
            48..720 => hours / 24 * 24,
            _ => hours / 168 * 168,
        };
        self.add(hours, n, oldest);
    }

    /// Adds what has waited for so many hours; below 0: its clock starts later.
    pub fn add(&mut self, hours: i64, n: i64, oldest: Timestamp) {
        if hours < 0 {
            self.not_yet += n;
            return;
        }
        let band = match hours / 24 {
            ..1 => 0,
            1..3 => 1,
            3..7 => 2,
            7..14 => 3,
            _ => 4,
        };
        self.bands[band] += n;
        self.oldest = Some(self.oldest.map_or(oldest, |known| known.min(oldest)));
        *self.hours.entry(hours).or_default() += n;
    }

    /// Adds all of another.
    pub fn merge(&mut self, other: &Self) {
        self.not_yet += other.not_yet;
        for (mine, theirs) in self.bands.iter_mut().zip(other.bands) {
            *mine += theirs;
        }
        self.oldest = match (self.oldest, other.oldest) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        for (age, n) in &other.hours {
            *self.hours.entry(*age).or_default() += n;
        }
    }

    /// How many.
    #[must_use]
    pub fn n(&self) -> i64 {
        self.not_yet + self.bands.iter().sum::<i64>()
    }

    /// Nine of ten are no older; those of a later date left out, none of few.
    #[must_use]
    pub fn p90_ms(&self) -> Option<i64> {
        let n: i64 = self.hours.values().sum();
        if n < MIN_FOR_PERCENTILE {
            return None;
        }
        let rank = (n * 90 + 99) / 100;
        let mut seen = 0;
        let reached = |(_, count): &(&i64, &i64)| {
            seen += **count;
            seen >= rank
        };
        self.hours.iter().find(reached).map(|(age, _)| age * HOUR_MS)
    }

    /// A row of the backlog.
    #[must_use]
    pub fn row(&self, application: (&str, &str), admin_group: &str) -> BacklogRow {
        BacklogRow {
            application_id: application.0.to_owned(),
            application_name: application.1.to_owned(),
            admin_group: admin_group.to_owned(),
            bands: self.bands,
            not_yet: self.not_yet,
            oldest: self.oldest,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kpi::days::DAY_MS;

    #[test]
    fn ages_fall_into_bands_to_the_hour() {
        let mut ages = Ages::default();
        let now = 1000 * HOUR_MS;
        for (hours_ago, n) in [(-5, 2), (0, 1), (23, 1), (24, 3), (71, 1), (72, 10), (7 * 24, 5), (14 * 24, 7)] {
            ages.add(hours_ago, n, Timestamp(now - hours_ago * HOUR_MS + 5));
        }
        assert_eq!((ages.not_yet, ages.bands, ages.n()), (2, [2, 4, 10, 5, 7], 30));
        assert_eq!((ages.oldest, ages.p90_ms()), (Some(Timestamp(now - 14 * DAY_MS + 5)), Some(14 * DAY_MS)));
    }
}
