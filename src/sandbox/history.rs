//! Weeks of plausible past, so that the demo's figures are not empty: orders with all their times and how they ended.

use chrono::{Datelike, Timelike, Weekday};

use super::company::{APPS, App, Dice, READ_BACK, admin, leaving, order};
use super::config::{MAPPING, SOURCE};
use crate::model::{Assignment, Outcome, Person, Timestamp};
use crate::source::mapping::Mapping;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// Numbers of past orders start here: those of the running demo stay below.
const FIRST_NUMBER: u64 = 500_000;

/// An order of the past with its times, each by the clock of whoever acted.
#[derive(Debug, Clone)]
pub struct Past {
    /// The order itself; requested and approved stand in it, too.
    pub assignment: Assignment,
    /// When it was asked for.
    pub requested: Timestamp,
    /// When it was approved.
    pub approved: Timestamp,
    /// When its ticket was filed.
    pub filed: Timestamp,
    /// When somebody began to work on it.
    pub first_work: Option<Timestamp>,
    /// When its ticket was closed; none: it is still open.
    pub closed: Option<Timestamp>,
    /// When the platform had the outcome.
    pub reported: Option<Timestamp>,
    /// How it ended; present exactly when it is closed.
    pub outcome: Option<Outcome>,
    /// When the platform saw it in the application itself.
    pub proven: Option<Timestamp>,
    /// Who closed it.
    pub closed_by: Option<Person>,
    /// Desk by the demo's name.
    pub desk: &'static str,
    /// Admin group as the desk names it.
    pub group: String,
}

#[derive(serde::Deserialize)]
struct Holder {
    mapping: Mapping,
}

/// `weeks` weeks up to `now` with about `per_day` orders on each working day, oldest approval first. The same seed and
/// time give the same past. Tickets that would be closed after `now` are still open; orders that wait for a date in the
/// future are left out.
///
/// # Errors
/// When the demo's own mapping does not fit the fake platform's orders: a mistake in this program.
pub fn history(seed: u64, now: Timestamp, weeks: u32, per_day: u32) -> Result<Vec<Past>, String> {
    let mapping = toml::from_str::<Holder>(MAPPING).map_err(|e| e.to_string())?.mapping;
    let today = Timestamp(now.0 - now.0.rem_euclid(DAY));
    let mut past = Vec::new();
    let mut number = FIRST_NUMBER;
    for days_ago in (0..i64::from(weeks) * 7).rev() {
        let day = today.plus_ms(-days_ago * DAY);
        let mut dice = Dice::of(seed, day.0.unsigned_abs());
        let weekend = matches!(day.to_utc().weekday(), Weekday::Sat | Weekday::Sun);
        let usual = if weekend { u64::from(per_day) / 12 } else { u64::from(per_day) };
        let orders = usual * (80 + dice.below(41)) / 100;
        let mut times: Vec<Timestamp> =
            (0..orders).map(|_| day.plus_ms(dice.between(7 * 60, 18 * 60) * MINUTE + dice.between(0, MINUTE))).collect();
        times.sort_unstable();
        for approved in times.into_iter().filter(|t| *t < now) {
            number += 1;
            let order = one(seed, number, &order(seed, number, approved), now, &mapping)?;
            if order.filed <= now {
                past.push(order);
            }
        }
        for order in leavings(seed, day, weekend) {
            number += 1;
            let order = one(seed, number, &order, now, &mapping)?;
            if order.filed <= now {
                past.push(order);
            }
        }
    }
    past.sort_by_key(|order| order.approved);
    Ok(past)
}

/// What is taken from those who leave on a day.
fn leavings(seed: u64, day: Timestamp, weekend: bool) -> Vec<serde_json::Value> {
    let number = day.0.unsigned_abs() / DAY.unsigned_abs();
    let mut dice = Dice::of(seed ^ 0x6c65_6674, number);
    let people = if weekend { 0 } else { dice.below(3) };
    let orders = (0..people).flat_map(|n| {
        let told = day.plus_ms(dice.between(7 * 60, 17 * 60) * MINUTE);
        leaving(seed, number * 4 + n, &format!("HR-{number}-{}", n + 1), told)
    });
    orders.collect()
}

/// When the platform sees in an application what was done there: it reads some of them, at night.
fn proven(app: &App, closed: Timestamp, outcome: Option<Outcome>, now: Timestamp) -> Option<Timestamp> {
    let shown = matches!(outcome, Some(Outcome::Fulfilled | Outcome::AlreadyInPlace)) && READ_BACK.contains(&app.id);
    let night = closed.plus_ms(DAY - (closed.0 - 2 * HOUR).rem_euclid(DAY));
    Some(night).filter(|night| shown && *night <= now)
}

fn one(seed: u64, number: u64, document: &serde_json::Value, now: Timestamp, mapping: &Mapping) -> Result<Past, String> {
    let assignment = mapping.assignment(SOURCE, document)?;
    let approved = assignment.approved_at.unwrap_or(now);
    let mut dice = Dice::of(seed ^ 0x7061_7374, number);
    let app = APPS.iter().find(|a| a.id == assignment.application.id).unwrap_or(&APPS[0]);
    let wanted = assignment.valid_from.map_or(approved, |from| from.plus_ms(-3 * DAY)).max(approved);
    let filed = wanted.plus_ms(dice.between(800, 9_000));
    let (begin, end) = work(app, &assignment, filed, &mut dice);
    let closed = (end <= now).then_some(end);
    let reported = closed.map(|t| t.plus_ms(dice.between(2_000, 45_000))).filter(|t| *t <= now);
    let outcome = closed.map(|_| outcome(&mut dice));
    Ok(Past {
        requested: assignment.requested_at.unwrap_or(approved),
        approved,
        filed,
        first_work: (begin <= now).then_some(begin),
        closed,
        reported,
        outcome,
        proven: closed.zip(reported).and_then(|(closed, _)| proven(app, closed, outcome, now)),
        closed_by: closed.map(|_| match assignment.approvals.last() {
            // What evidence is looked through for: once in a while somebody approves and does it, too.
            Some(approval) if dice.below(600) == 0 => approval.by.clone(),
            _ => admin(app, dice.below(3)),
        }),
        desk: if app.on_servicenow { "servicenow" } else { "jira" },
        group: format!("{}-admins", app.id),
        assignment,
    })
}

/// When work begins and ends: mostly near the application's usual hours, some much later, urgent ones sooner.
fn work(app: &App, assignment: &Assignment, filed: Timestamp, dice: &mut Dice) -> (Timestamp, Timestamp) {
    let usual = i64::try_from(app.hours).unwrap_or(8) * 60;
    let spread = match dice.below(100) {
        0..=59 => dice.between(30, 110),
        60..=89 => dice.between(110, 240),
        90..=97 => dice.between(240, 600),
        _ => dice.between(600, 1500),
    };
    let hurry = if assignment.priority >= 3 { 4 } else { 1 };
    let total = (usual * spread / 100 / hurry).max(6);
    let waiting = total * dice.between(30, 80) / 100;
    (working(filed, waiting), working(filed, total))
}

/// `minutes` of working time after `from`: Monday to Friday, 7 to 17 h UTC.
fn working(from: Timestamp, minutes: i64) -> Timestamp {
    let mut here = from;
    let mut left = minutes * MINUTE;
    loop {
        let utc = here.to_utc();
        let into_day = here.0.rem_euclid(DAY);
        let open = !matches!(utc.weekday(), Weekday::Sat | Weekday::Sun) && (7..17).contains(&utc.hour());
        if open {
            let until_evening = 17 * HOUR - into_day;
            if left <= until_evening {
                return here.plus_ms(left);
            }
            left -= until_evening;
        }
        let morning = 7 * HOUR - into_day;
        here = here.plus_ms(if morning > 0 { morning } else { morning + DAY });
    }
}

fn outcome(dice: &mut Dice) -> Outcome {
    match dice.below(100) {
        0..=87 => Outcome::Fulfilled,
        88..=91 => Outcome::AlreadyInPlace,
        92..=94 => Outcome::Rejected,
        95..=96 => Outcome::NotPossible,
        97..=98 => Outcome::PartlyFulfilled,
        _ => Outcome::Cancelled,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Operation;
    use std::collections::BTreeSet;

    #[test]
    fn the_past_is_in_order_and_repeats_with_its_seed() {
        let now = Timestamp(1_764_000_000_000);
        let past = history(5, now, 4, 60).unwrap();
        assert!((900..1600).contains(&past.len()), "{}", past.len());
        let keys: BTreeSet<String> = past.iter().map(|p| p.assignment.natural_key()).collect();
        assert_eq!(keys.len(), past.len(), "no order twice");
        for p in &past {
            assert!(p.requested <= p.approved && p.approved <= p.filed);
            assert!(p.first_work.is_none_or(|t| t >= p.filed));
            assert!(p.closed.is_none_or(|t| p.first_work.is_some_and(|f| f <= t) && t <= now));
            assert_eq!(p.closed.is_some(), p.outcome.is_some());
            assert!(p.reported.is_none_or(|t| p.closed.is_some_and(|c| c <= t)));
            assert!(p.proven.is_none_or(|t| p.closed.is_some_and(|c| c < t && t <= now)));
        }
        let (proven, closed) =
            (past.iter().filter(|p| p.proven.is_some()).count(), past.iter().filter(|p| p.closed.is_some()).count());
        assert!(proven > closed / 4 && proven < closed * 3 / 4, "{proven} of {closed} are proven");
        let leavers = past.iter().filter(|p| p.assignment.operation == Operation::DisableAccount).count();
        assert!(leavers > 10, "{leavers} left");
        let open = past.iter().filter(|p| p.closed.is_none()).count();
        assert!(open > 20 && open < past.len() / 2, "{open} of {} are open", past.len());
        let again = history(5, now, 4, 60).unwrap();
        assert!(past.iter().zip(&again).all(|(a, b)| a.assignment == b.assignment && a.closed == b.closed));
    }

    #[test]
    fn work_rests_at_night_and_on_weekends() {
        let friday = Timestamp(1_763_739_000_000); // Friday 2025-11-21 15:30 UTC
        assert_eq!(working(friday, 90).iso(), "2025-11-21T17:00:00.000Z");
        assert_eq!(working(friday, 120).iso(), "2025-11-24T07:30:00.000Z");
    }
}
