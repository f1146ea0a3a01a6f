//! Working time by a calendar: pure, and right on the days that clocks change.

use chrono::{Days, NaiveDate, NaiveDateTime, TimeDelta, TimeZone};

use crate::catalog::Calendar;
use crate::model::Timestamp;

/// The longest stretch looked at, days: what lies further back than this before its end counts as no working time.
const LONGEST_DAYS: i64 = 60 * 366;
const DAY_MS: i64 = 86_400_000;

/// A calendar laid out over a stretch of time: spans of work, in order, none touching another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Working {
    /// Start and end of each span, and how much was worked before it.
    spans: Vec<(i64, i64, i64)>,
}

impl Working {
    /// Over the time between two instants. Time outside it counts as none.
    #[must_use]
    pub fn over(calendar: &Calendar, from: Timestamp, to: Timestamp) -> Self {
        let from = Timestamp(from.0.max(to.0.saturating_sub(LONGEST_DAYS * DAY_MS)));
        let local = |t: Timestamp| t.to_utc().with_timezone(&calendar.zone).date_naive();
        // A night shift began the day before.
        let first = local(from).checked_sub_days(Days::new(1)).unwrap_or(NaiveDate::MIN);
        let last = local(to);
        let (mut work, mut rest) = (Vec::new(), Vec::new());
        for day in first.iter_days().take_while(|day| *day <= last) {
            let midnight = day.and_time(chrono::NaiveTime::MIN);
            if calendar.is_holiday(day) {
                rest.push((instant(calendar, midnight), instant(calendar, midnight + TimeDelta::days(1))));
            }
            let at = |minutes: u16| instant(calendar, midnight + TimeDelta::minutes(i64::from(minutes)));
            work.extend(calendar.shifts(chrono::Datelike::weekday(&day)).iter().map(|(a, b)| (at(*a), at(*b))));
        }
        rest.extend(calendar.closures().map(|(a, b)| (instant(calendar, a), instant(calendar, b))));
        let mut before = 0;
        let spans = without(&joined(work), &joined(rest))
            .into_iter()
            .map(|(start, end)| (start.max(from.0), end.min(to.0)))
            .filter(|(start, end)| start < end)
            .map(|(start, end)| {
                let span = (start, end, before);
                before += end - start;
                span
            })
            .collect();
        Self { spans }
    }

    /// Worked from the start of the stretch until this instant.
    fn until(&self, at: Timestamp) -> i64 {
        let n = self.spans.partition_point(|(start, ..)| *start < at.0);
        n.checked_sub(1).and_then(|n| self.spans.get(n)).map_or(0, |(start, end, before)| before + at.0.min(*end) - start)
    }

    /// Working time between two instants, milliseconds; none when the second is the earlier.
    #[must_use]
    pub fn between(&self, from: Timestamp, to: Timestamp) -> i64 {
        (self.until(to) - self.until(from)).max(0)
    }

    /// The first instant by which so much was worked since the start of the stretch.
    fn reached(&self, ms: i64) -> Option<Timestamp> {
        let n = self.spans.partition_point(|(_, _, before)| *before < ms);
        let (start, end, before) = self.spans.get(n.checked_sub(1)?)?;
        let at = start.saturating_add(ms - before);
        (at <= *end).then_some(Timestamp(at))
    }
}

/// When so much working time has passed since `from`; `None` when the calendar has not so much in the next ten years.
#[must_use]
pub fn after(calendar: &Calendar, from: Timestamp, ms: i64) -> Option<Timestamp> {
    if ms <= 0 {
        return Some(from);
    }
    let mut days = (ms / DAY_MS).saturating_mul(4).saturating_add(14);
    while days <= 3660 {
        let found = Working::over(calendar, from, from.plus_ms(days * DAY_MS)).reached(ms);
        if found.is_some() {
            return found;
        }
        days *= 4;
    }
    Working::over(calendar, from, from.plus_ms(3660 * DAY_MS)).reached(ms)
}

/// A local time as an instant: of two, the first; where clocks leap over it, the leap. So later local times are never
/// earlier instants, and shifts that touch neither overlap nor leave a gap.
fn instant(calendar: &Calendar, local: NaiveDateTime) -> i64 {
    if let Some(found) = calendar.zone.from_local_datetime(&local).earliest() {
        return found.timestamp_millis();
    }
    // No zone is further than this from UTC.
    let (mut before, mut after) =
        (local.and_utc().timestamp_millis() - 26 * 3_600_000, local.and_utc().timestamp_millis() + 26 * 3_600_000);
    while after - before > 1 {
        let middle = i64::midpoint(before, after);
        if Timestamp(middle).to_utc().with_timezone(&calendar.zone).naive_local() >= local {
            after = middle;
        } else {
            before = middle;
        }
    }
    after
}

/// In order, those that touch made one.
fn joined(mut spans: Vec<(i64, i64)>) -> Vec<(i64, i64)> {
    spans.sort_unstable();
    let mut joined: Vec<(i64, i64)> = Vec::with_capacity(spans.len());
    for (start, end) in spans.into_iter().filter(|(start, end)| start < end) {
        match joined.last_mut() {
            Some(last) if start <= last.1 => last.1 = last.1.max(end),
            _ => joined.push((start, end)),
        }
    }
    joined
}

/// What of the first is not in the second; both in order and joined.
fn without(work: &[(i64, i64)], rest: &[(i64, i64)]) -> Vec<(i64, i64)> {
    let mut left = Vec::with_capacity(work.len());
    let mut first = 0;
    for (start, end) in work {
        let mut at = *start;
        first += rest[first..].iter().take_while(|(_, until)| until <= start).count();
        for (from, until) in rest[first..].iter().take_while(|(from, _)| from < end) {
            if at < *from {
                left.push((at, *from));
            }
            at = at.max(*until);
        }
        if at < *end {
            left.push((at, *end));
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::path::Path;

    use proptest::prelude::*;

    use crate::catalog::ConfigFile;

    const HOUR: i64 = 3_600_000;
    const OFFICE: &str = "zone = \"Europe/Berlin\"\nholidays = [\"2026-04-03\", \"12-25\"]\n[hours]\nmonday = [\"08:00-12:00\", \"13:00-17:00\"]\ntuesday = [\"08:00-17:00\"]\nwednesday = [\"08:00-17:00\"]\nthursday = [\"08:00-17:00\"]\nfriday = [\"08:00-15:00\"]\n";
    const NIGHTS: &str = "zone = \"Europe/Berlin\"\nholidays = [\"2026-05-01\"]\n[hours]\nsaturday = [\"22:00-06:00\"]\nthursday = [\"22:00-06:00\"]\nfriday = [\"22:00-06:00\"]\n";
    const ALWAYS: &str = "zone = \"America/New_York\"\n";
    const ODD: &str = "zone = \"Australia/Lord_Howe\"\nholidays = [\"2026-10-04\"]\n[hours]\nsunday = [\"00:00-02:15\", \"02:15-24:00\"]\nsaturday = [\"18:00-18:00\"]\n";

    fn calendar(text: &str) -> Calendar {
        let file = ConfigFile::from_text(Path::new("calendars/x.toml"), text);
        Calendar::of(&file, &file.parse().unwrap(), &BTreeMap::new()).unwrap()
    }

    fn at(text: &str) -> Timestamp {
        chrono::DateTime::parse_from_rfc3339(text).unwrap().to_utc().into()
    }

    fn hours(calendar_text: &str, from: &str, to: &str) -> f64 {
        let (from, to) = (at(from), at(to));
        let ms = i32::try_from(Working::over(&calendar(calendar_text), from, to).between(from, to)).unwrap();
        f64::from(ms) / 3_600_000.0
    }

    #[track_caller]
    fn worked(calendar_text: &str, from: &str, to: &str, wanted: f64) {
        let found = hours(calendar_text, from, to);
        assert!((found - wanted).abs() < 1e-9, "{found} instead of {wanted} h from {from} to {to}");
    }

    #[test]
    fn nights_breaks_weekends_and_holidays_are_no_working_time() {
        worked(OFFICE, "2026-03-30T08:00:00+02:00", "2026-03-30T17:00:00+02:00", 8.0);
        worked(OFFICE, "2026-03-30T12:15:00+02:00", "2026-03-30T12:45:00+02:00", 0.0);
        worked(OFFICE, "2026-03-27T14:00:00+01:00", "2026-03-30T09:00:00+02:00", 2.0);
        // Good Friday in the middle, then the weekend
        worked(OFFICE, "2026-04-02T16:00:00+02:00", "2026-04-06T10:00:00+02:00", 3.0);
        worked(OFFICE, "2026-04-03T00:00:00+02:00", "2026-04-06T00:00:00+02:00", 0.0);
        worked(OFFICE, "2028-12-25T08:00:00+01:00", "2028-12-25T17:00:00+01:00", 0.0);
    }

    #[test]
    fn days_on_which_clocks_change_are_as_long_as_they_are() {
        // 2026-03-29: 02:00 becomes 03:00; 2026-10-25: 03:00 becomes 02:00
        worked(NIGHTS, "2026-03-28T12:00:00+01:00", "2026-03-29T12:00:00+02:00", 7.0);
        worked(NIGHTS, "2026-10-24T12:00:00+02:00", "2026-10-25T12:00:00+01:00", 9.0);
        worked(NIGHTS, "2026-10-17T12:00:00+02:00", "2026-10-18T12:00:00+02:00", 8.0);
        worked(ALWAYS, "2026-03-08T00:00:00-05:00", "2026-03-09T00:00:00-04:00", 23.0);
        worked(ALWAYS, "2026-11-01T00:00:00-04:00", "2026-11-02T00:00:00-05:00", 25.0);
        // half an hour on Lord Howe Island: a holiday on the day that springs forward, a Sunday of 24.5 h in autumn
        worked(ODD, "2026-10-03T18:00:00+10:30", "2026-10-05T00:00:00+11:00", 6.0);
        worked(ODD, "2026-04-05T00:00:00+11:00", "2026-04-06T00:00:00+10:30", 24.5);
    }

    #[test]
    fn a_night_shift_stops_where_a_holiday_begins() {
        // Thursday 22:00 until midnight; the holiday's own night begins on it and goes on after it
        worked(NIGHTS, "2026-04-30T12:00:00+02:00", "2026-05-01T12:00:00+02:00", 2.0);
        worked(NIGHTS, "2026-05-01T12:00:00+02:00", "2026-05-02T12:00:00+02:00", 6.0);
    }

    #[test]
    fn what_is_due_after_working_time_is_due_in_working_time() {
        let due = |text: &str, from: &str, ms: i64| after(&calendar(text), at(from), ms).map(Timestamp::iso);
        let iso = |text: &str| Some(at(text).iso());
        assert_eq!(due(OFFICE, "2026-04-02T16:00:00+02:00", 2 * HOUR), iso("2026-04-06T09:00:00+02:00"));
        assert_eq!(due(OFFICE, "2026-03-30T11:00:00+02:00", HOUR), iso("2026-03-30T12:00:00+02:00"));
        assert_eq!(due(OFFICE, "2026-04-04T11:00:00+02:00", 0), iso("2026-04-04T11:00:00+02:00"));
        let seldom = "zone = \"UTC\"\n[hours]\nsunday = [\"00:00-00:01\"]\n";
        assert!(due(seldom, "2026-01-01T00:00:00Z", HOUR).unwrap() > at("2027-01-01T00:00:00Z").iso());
        assert_eq!(due(seldom, "2026-01-01T00:00:00Z", 1000 * HOUR), None);
        assert_eq!(after(&calendar(OFFICE), Timestamp(0), i64::MAX), None);
    }

    fn any_calendar() -> impl Strategy<Value = Calendar> {
        prop::sample::select(vec![OFFICE, NIGHTS, ALWAYS, ODD]).prop_map(calendar)
    }

    /// Around both changes of clocks of 2026, to the second.
    fn instants() -> impl Strategy<Value = i64> {
        (1_772_000_000i64..1_794_000_000).prop_map(|s| s * 1000)
    }

    proptest! {
        #[test]
        fn working_time_is_additive_monotone_and_never_more_than_the_time(
            calendar in any_calendar(), mut t in prop::collection::vec(instants(), 3),
        ) {
            t.sort_unstable();
            let (a, b, c) = (Timestamp(t[0]), Timestamp(t[1]), Timestamp(t[2]));
            let whole = Working::over(&calendar, a, c);
            prop_assert_eq!(whole.between(a, b) + whole.between(b, c), whole.between(a, c));
            prop_assert!(whole.between(a, b) >= 0 && whole.between(a, b) <= whole.between(a, c));
            prop_assert!(whole.between(a, c) <= c.ms_since(a));
            prop_assert_eq!(whole.between(c, a), 0);
            // a longer stretch says the same
            let wide = Working::over(&calendar, Timestamp(t[0] - 40 * DAY_MS), Timestamp(t[2] + 40 * DAY_MS));
            prop_assert_eq!(wide.between(a, c), whole.between(a, c));
        }

        #[test]
        fn exactly_what_was_asked_for_is_worked_until_it_is_due(
            calendar in any_calendar(), from in instants(), ms in 1..200 * HOUR,
        ) {
            let from = Timestamp(from);
            let due = after(&calendar, from, ms).unwrap();
            let worked = Working::over(&calendar, from, due.plus_ms(1));
            prop_assert_eq!(worked.between(from, due), ms);
            prop_assert_eq!(worked.between(from, due.plus_ms(-1)), ms - 1, "the last moment is worked");
        }

        #[test]
        fn around_the_clock_is_all_of_the_time(from in instants(), ms in 0..400 * DAY_MS) {
            let (from, to) = (Timestamp(from), Timestamp(from + ms));
            prop_assert_eq!(Working::over(&calendar(ALWAYS), from, to).between(from, to), ms);
        }
    }
}
