//! One assignment as it counts in the figures: its instants, its durations by both clocks, what became of it. Pure.

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::clocks::{Both, CalendarStamp, Clocks, target_of};
use super::days::{DAY_MS, day, hour};
use super::life::Life;
use crate::catalog::{Calendar, Catalog, ClockKind, Target};
use crate::ledger::rollups::{Kind, LifeRow, Mark, Place};
use crate::model::key::stable_number;
use crate::model::{Id, Outcome, Timestamp};
use crate::plan::business;

/// A closing is only right the first time when nothing comes back for so long.
pub const RIGHT_FOR_MS: i64 = 14 * DAY_MS;
/// States whose ticket is with, or owed to, an admin group.
const OWED: [&str; 5] = ["due", "sending", "unclear", "open", "rework"];

/// How it stands to its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Closed within it.
    InTarget,
    /// Closed, too late.
    Late,
    /// Open, and the target has passed: missed already.
    Overdue,
    /// Open, with time left: in no rate yet.
    Running,
}

/// A span of a life that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Requested to the last approval.
    Approval,
    /// Eligible to the last closing, less pauses.
    Provisioning,
    /// Requested until the platform had the outcome.
    EndToEnd,
    /// Eligible until the ticket was created, less pauses.
    Filing,
    /// Ticket created until work began, of the time since eligible, less pauses.
    Queue,
    /// Work began until the closing, of the time since the ticket was there and eligible, less pauses.
    Touch,
    /// Closing until the platform had the outcome.
    SyncBack,
    /// Closing until the application's own evidence agreed.
    Verification,
    /// Waits for the requester, between eligible and closed.
    Paused,
    /// Eligible to the last closing, pauses included: what pauses are a share of.
    Whole,
    /// Closing on the desk until lastmile learned of it.
    Noticed,
    /// Approved until eligible, or closed before: the wait for a later day, which is nobody's.
    Date,
}

impl Stage {
    /// Every stage, in the order of rows: a new one comes last.
    pub const ALL: [Self; 12] = [
        Self::Approval,
        Self::Provisioning,
        Self::EndToEnd,
        Self::Filing,
        Self::Queue,
        Self::Touch,
        Self::SyncBack,
        Self::Verification,
        Self::Paused,
        Self::Whole,
        Self::Noticed,
        Self::Date,
    ];
}

/// Marks of a case, one bit each.
pub mod sign {
    /// Opened again after a closing.
    pub const REOPENED: u32 = 1;
    /// The platform took the order back.
    pub const WITHDRAWN: u32 = 1 << 1;
    /// Given to another group on the desk.
    pub const REROUTED: u32 = 1 << 2;
    /// Ordered for a later day.
    pub const DATED: u32 = 1 << 3;
    /// Closed by that day.
    pub const DATE_KEPT: u32 = 1 << 4;
    /// Closed before that day.
    pub const PREMATURE: u32 = 1 << 5;
    /// Worked on or closed before the last approval.
    pub const UNAPPROVED: u32 = 1 << 6;
    /// Right the first time.
    pub const RIGHT: u32 = 1 << 7;
    /// It could be right: it was not cancelled.
    pub const MEANT: u32 = 1 << 8;
    /// Its clock stood still at least once.
    pub const PAUSED: u32 = 1 << 9;
    /// Its clock stands still now.
    pub const WAITING: u32 = 1 << 10;
    /// It was said by when it is expected.
    pub const FORECAST: u32 = 1 << 11;
    /// Closed by the first of both instants.
    pub const HALF_HIT: u32 = 1 << 12;
    /// Closed by the second.
    pub const NINE_HIT: u32 = 1 << 13;
    /// With, or owed to, an admin group.
    pub const OWED: u32 = 1 << 14;
    /// Takes access away.
    pub const REVOCATION: u32 = 1 << 15;
}

/// What went wrong on the way, counted per assignment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// Calls for its ticket that failed and were tried again.
    #[serde(rename = "r", default)]
    pub retries: u32,
    /// Calls that may or may not have made a ticket.
    #[serde(rename = "u", default)]
    pub unclear: u32,
    /// Set aside for a person.
    #[serde(rename = "p", default)]
    pub parked: u32,
    /// Of those: the desk took no ticket.
    #[serde(rename = "c", default)]
    pub refused: u32,
    /// Of those: a status or resolution that no rule knew.
    #[serde(rename = "k", default)]
    pub unknown: u32,
    /// A ticket was found by its key instead of made twice.
    #[serde(rename = "f", default)]
    pub found: u32,
    /// Tickets too many.
    #[serde(rename = "d", default)]
    pub doubles: u32,
}

/// An assignment, measured. Kept as JSON: names are short, because there are as many of them as assignments.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Case {
    /// When it was asked for.
    #[serde(rename = "rq", skip_serializing_if = "Option::is_none")]
    pub requested: Option<Timestamp>,
    /// Last approval.
    #[serde(rename = "ap", skip_serializing_if = "Option::is_none")]
    pub approved: Option<Timestamp>,
    /// When it arrived here.
    #[serde(rename = "rc")]
    pub received: Timestamp,
    /// When the admin group's clock started.
    #[serde(rename = "el", skip_serializing_if = "Option::is_none")]
    pub eligible: Option<Timestamp>,
    /// Ticket created.
    #[serde(rename = "fi", skip_serializing_if = "Option::is_none")]
    pub filed: Option<Timestamp>,
    /// Work began.
    #[serde(rename = "fw", skip_serializing_if = "Option::is_none")]
    pub first_work: Option<Timestamp>,
    /// The last closing.
    #[serde(rename = "cl", skip_serializing_if = "Option::is_none")]
    pub closed: Option<Timestamp>,
    /// The platform has the outcome.
    #[serde(rename = "rp", skip_serializing_if = "Option::is_none")]
    pub reported: Option<Timestamp>,
    /// The application's own evidence agreed.
    #[serde(rename = "pv", skip_serializing_if = "Option::is_none")]
    pub proven: Option<Timestamp>,
    /// From when it shall hold.
    #[serde(rename = "vf", skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<Timestamp>,
    /// Until when.
    #[serde(rename = "vu", skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<Timestamp>,
    /// By when its target wants it closed, moved by its pauses.
    #[serde(rename = "du", skip_serializing_if = "Option::is_none")]
    pub due_by: Option<Timestamp>,
    /// What became of it.
    #[serde(rename = "oc", skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// [`sign`]s.
    #[serde(rename = "sg")]
    pub signs: u32,
    /// Digest of its lane and operation.
    #[serde(rename = "ln")]
    pub lane: i64,
    /// Digest of its beneficiary, for revocations.
    #[serde(rename = "pe", skip_serializing_if = "Option::is_none")]
    pub person: Option<i64>,
    /// When the platform said that the person left.
    #[serde(rename = "le", skip_serializing_if = "Option::is_none")]
    pub left: Option<Timestamp>,
    /// Durations of all time, by [`Stage`].
    #[serde(rename = "e", deserialize_with = "durations")]
    pub elapsed: [Option<i64>; Stage::ALL.len()],
    /// Durations of working time.
    #[serde(rename = "b", deserialize_with = "durations", skip_serializing_if = "none_at_all")]
    pub business: [Option<i64>; Stage::ALL.len()],
    /// The target it was (is) measured by.
    #[serde(rename = "tg", skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// The calendar that counted.
    #[serde(rename = "ca", skip_serializing_if = "Option::is_none")]
    pub calendar: Option<CalendarStamp>,
    /// What went wrong.
    #[serde(rename = "tr", skip_serializing_if = "nothing")]
    pub trouble: Trouble,
    /// Pauses: from, until.
    #[serde(rename = "pa", skip_serializing_if = "Vec::is_empty")]
    pub pauses: Vec<(Timestamp, Option<Timestamp>)>,
}

/// What was kept before a stage was known holds nothing of it: of all else, it is a case.
fn durations<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[Option<i64>; Stage::ALL.len()], D::Error> {
    let mut durations = [None; Stage::ALL.len()];
    for (mine, kept) in durations.iter_mut().zip(Vec::<Option<i64>>::deserialize(deserializer)?) {
        *mine = kept;
    }
    Ok(durations)
}

fn none_at_all(durations: &[Option<i64>; Stage::ALL.len()]) -> bool {
    durations.iter().all(Option::is_none)
}

fn nothing(trouble: &Trouble) -> bool {
    *trouble == Trouble::default()
}

/// What a case is measured with.
#[derive(Debug, Clone, Copy)]
pub struct Yardstick<'a> {
    /// Targets, and who works by which calendar.
    pub catalog: &'a Catalog,
    /// Calendars laid out, those of before among them.
    pub clocks: &'a Clocks<'a>,
}

impl Case {
    /// Measures one. `again_at`: when the same was next ordered for the same person.
    #[must_use]
    pub fn of(row: &LifeRow, with: Yardstick<'_>, again_at: Option<Timestamp>) -> Self {
        let life = Life::of(row);
        let kept = row.kept.as_ref().and_then(|kept| Self::read(&kept.body));
        let known_left = kept.as_ref().and_then(|kept| kept.left);
        // A closed result stays what it was measured by, whatever became of the calendar or the target.
        let stamped = kept.filter(|kept| kept.closed.is_some() && kept.closed == life.closed);
        let todays = with.catalog.calendar_of(&row.dim.admin_group).map(CalendarStamp::from);
        let stamped_due = stamped.as_ref().and_then(|kept| kept.due_by);
        // A leaving stays known when the person comes back; it changes nothing that was closed before it was said.
        let left = if stamped.is_some() { known_left } else { row.left_at.or(known_left) };
        let (calendar, target) = match stamped {
            Some(kept) => (kept.calendar, kept.target),
            None => (todays, target_of(with.catalog, &row.dim.application_id, &row.dim.operation)),
        };
        let mut case = Self {
            requested: row.requested_at,
            approved: row.approved_at,
            received: row.received_at,
            eligible: row.eligible_at,
            filed: life.filed,
            first_work: life.first_work,
            closed: life.closed,
            reported: life.reported,
            proven: life.proven,
            valid_from: row.valid_from,
            valid_until: row.valid_until,
            outcome: life.closed.and_then(|_| Outcome::ALL.into_iter().find(|o| Some(o.as_str()) == row.outcome.as_deref())),
            lane: stable_number(&["lane", &row.lane, &row.dim.operation]),
            person: row.revocation.then(|| stable_number(&["person", &row.beneficiary])),
            left,
            trouble: Trouble {
                retries: life.retries,
                unclear: life.unclear,
                parked: life.parked,
                refused: life.refused,
                unknown: life.unknown,
                found: life.found,
                doubles: life.doubles,
            },
            target,
            calendar,
            // Who must lose access cannot be waited for: the clock of a revocation never stands still.
            pauses: if row.revocation { Vec::new() } else { life.pauses.clone() },
            ..Self::default()
        };
        case.signs = case.signs_of(row, &life, again_at);
        case.measure(&life, with, row.revocation);
        case.due_by = stamped_due.or(case.due_by);
        case
    }

    /// Reads a kept one.
    #[must_use]
    pub fn read(body: &str) -> Option<Self> {
        serde_json::from_str(body).ok()
    }

    /// As it is kept.
    #[must_use]
    pub fn body(&self) -> String {
        // numbers, words and instants cannot fail to be written
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Whether it has a [`sign`].
    #[must_use]
    pub fn is(&self, sign: u32) -> bool {
        self.signs & sign != 0
    }

    /// A duration by both clocks.
    #[must_use]
    pub fn took(&self, stage: Stage) -> Option<Both> {
        Some(Both { elapsed_ms: self.elapsed[stage as usize]?, business_ms: self.business[stage as usize] })
    }

    /// Since when it waits for the admin group.
    #[must_use]
    pub fn since(&self) -> Timestamp {
        self.eligible.unwrap_or(self.received)
    }

    fn signs_of(&self, row: &LifeRow, life: &Life, again_at: Option<Timestamp>) -> u32 {
        let begin = self.approved.unwrap_or(self.received);
        let dated = self.valid_from.filter(|from| *from > begin);
        let done = matches!(self.outcome, Some(Outcome::Fulfilled | Outcome::PartlyFulfilled | Outcome::AlreadyInPlace));
        let soon = |at: Option<Timestamp>, after: Option<Timestamp>| {
            at.zip(after).is_some_and(|(at, after)| at.ms_since(after) <= RIGHT_FOR_MS)
        };
        // What is ordered again before the first is closed does not say that the first was wrong.
        let again_at = again_at.filter(|at| Some(*at) >= self.closed);
        let right = matches!(self.outcome, Some(Outcome::Fulfilled | Outcome::AlreadyInPlace))
            && !soon(life.reopened, life.first_closed)
            && !soon(again_at, self.closed);
        let early = |at: Option<Timestamp>| at.zip(self.approved).is_some_and(|(at, approved)| at < approved);
        let in_order = |at: Timestamp| self.closed.is_some_and(|closed| closed <= at);
        [
            (sign::REOPENED, life.reopenings > 0),
            (sign::WITHDRAWN, row.withdrawn),
            (sign::REROUTED, life.moves > 0),
            (sign::DATED, dated.is_some()),
            (sign::DATE_KEPT, dated.is_some_and(in_order) && done),
            (sign::PREMATURE, done && dated.is_some_and(|from| self.closed.is_some_and(|closed| closed < from))),
            (sign::UNAPPROVED, early(self.first_work) || (done && early(self.closed))),
            (sign::RIGHT, right),
            (sign::MEANT, self.closed.is_some() && self.outcome.is_some_and(|o| o != Outcome::Cancelled)),
            (sign::PAUSED, !self.pauses.is_empty()),
            (sign::WAITING, self.pauses.last().is_some_and(|(_, until)| until.is_none())),
            (sign::FORECAST, row.forecast.is_some()),
            (sign::HALF_HIT, row.forecast.is_some_and(|f| in_order(f.half_by))),
            (sign::NINE_HIT, row.forecast.is_some_and(|f| in_order(f.nine_by))),
            (sign::OWED, OWED.contains(&row.state.as_str())),
            (sign::REVOCATION, row.revocation),
        ]
        .into_iter()
        .filter(|(_, holds)| *holds)
        .fold(0, |signs, (sign, _)| signs | sign)
    }

    fn measure(&mut self, life: &Life, with: Yardstick<'_>, never_pauses: bool) {
        let version = self.calendar.as_ref().map(|c| c.version.clone());
        let both = |from, to| with.clocks.by_version(version.as_deref(), from, to);
        let span = |from: Option<Timestamp>, to: Option<Timestamp>| from.zip(to).map(|(from, to)| both(from, to));
        let paused = |from: Timestamp, to: Timestamp| {
            let mut sum = both(from, from);
            for (a, b) in if never_pauses { Vec::new() } else { life.pauses_within(from, to) } {
                let part = both(a, b);
                sum.elapsed_ms += part.elapsed_ms;
                sum.business_ms = sum.business_ms.zip(part.business_ms).map(|(a, b)| a + b);
            }
            sum
        };
        let spent =
            |from: Option<Timestamp>, to: Option<Timestamp>| from.zip(to).map(|(from, to)| both(from, to).less(paused(from, to)));
        self.set(Stage::Approval, span(self.requested, self.approved));
        // What was taken back before a ticket was made took no admin's time.
        if let (Some(closed), Some(filed)) = (self.closed, self.filed) {
            // Parts touch and never overlap, in whatever order their instants come: a ticket may be there and begun before its
            // day, or begun under one that was made before it.
            let eligible = self.eligible.map(|at| at.min(closed));
            let ready = eligible.map_or(filed, |at| at.max(filed)).min(closed);
            let begun = self.first_work.map(|at| at.clamp(ready, closed));
            let (ready, closed) = (Some(ready), Some(closed));
            self.set(Stage::Date, span(self.approved, eligible));
            self.set(Stage::Whole, span(eligible, closed));
            self.set(Stage::Paused, eligible.zip(closed).map(|(from, to)| paused(from, to)));
            self.set(Stage::Provisioning, spent(eligible, closed));
            self.set(Stage::Filing, spent(eligible, ready));
            self.set(Stage::Queue, spent(ready, begun));
            self.set(Stage::Touch, spent(begun, closed));
            self.set(Stage::SyncBack, span(closed, self.reported));
            self.set(Stage::Noticed, span(closed, life.learned));
            self.set(Stage::Verification, span(closed, self.proven));
            self.set(Stage::EndToEnd, span(self.requested.or(Some(self.received)), self.reported));
        }
        let until = self.closed.or_else(|| self.pauses.last().map(|(from, until)| until.unwrap_or(*from)));
        let waits = self.eligible.zip(until).map(|(from, to)| paused(from, to.max(from)));
        self.due_by = self.due(with.catalog, waits);
    }

    /// By when the target wants it closed: what it was paused is given back.
    fn due(&self, catalog: &Catalog, paused: Option<Both>) -> Option<Timestamp> {
        let (target, eligible) = (self.target?, self.eligible?);
        let paused = paused.and_then(|p| p.by(target.clock)).unwrap_or(0);
        let within = target.within.ms().saturating_add(paused);
        match target.clock {
            ClockKind::Elapsed => Some(eligible.plus_ms(within)),
            ClockKind::Business => {
                let stamp = self.calendar.as_ref()?;
                let calendar: Option<&Calendar> = catalog.calendars.values().find(|c| c.version == stamp.version);
                business::after(calendar?, eligible, within)
            }
        }
    }

    fn set(&mut self, stage: Stage, took: Option<Both>) {
        self.elapsed[stage as usize] = took.map(|t| t.elapsed_ms);
        self.business[stage as usize] = took.and_then(|t| t.business_ms);
    }

    /// How it stands to its target at an instant; none without one.
    #[must_use]
    pub fn verdict(&self, now: Timestamp) -> Option<Verdict> {
        let target = self.target?;
        if self.closed.is_some() {
            let took = self.took(Stage::Provisioning)?.by(target.clock)?;
            return Some(if took <= target.within.ms() { Verdict::InTarget } else { Verdict::Late });
        }
        let due = self.due_by?;
        Some(if due < now && self.is(sign::OWED) && !self.is(sign::WAITING) { Verdict::Overdue } else { Verdict::Running })
    }

    /// Where it counts.
    #[must_use]
    pub fn marks(&self, id: Id, dim: i64) -> Vec<Mark> {
        let mut marks = Vec::with_capacity(4);
        let mut push = |kind, at: i64, exact: Timestamp| marks.push(Mark { place: Place { kind, at, dim }, id, exact });
        push(Kind::Lane, self.lane, self.received);
        if let Some(person) = self.person {
            push(Kind::Person, person, self.ends());
        }
        if let Some(at) = self.closed {
            push(Kind::Closed, day(at), at);
        }
        let arrived = self.since().max(self.received);
        if self.eligible.is_some() {
            push(Kind::Arrived, day(arrived), arrived);
        }
        if self.closed.is_none() && self.trouble != Trouble::default() {
            push(Kind::Troubled, hour(self.since()), self.since());
        }
        if !self.is(sign::OWED) {
            return marks;
        }
        push(Kind::Open, hour(self.since()), self.since());
        if let Some(due) = self.due_by.filter(|_| !self.is(sign::WAITING)) {
            push(Kind::Due, hour(due), due);
        }
        if let Some(from) = self.valid_from.filter(|_| self.is(sign::DATED)) {
            push(Kind::Dated, hour(from), from);
        }
        if let Some(until) = self.valid_until {
            push(Kind::Expired, hour(until), until);
        }
        marks
    }

    /// Of a revocation: when the access should be gone. The day it was ordered for, else when it was approved.
    #[must_use]
    pub fn ends(&self) -> Timestamp {
        self.valid_from.or(self.approved).or(self.requested).unwrap_or(self.received)
    }

    /// Whether it may change with time or configuration alone.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.closed.is_none()
    }
}
