//! A journal read as a life: closings, reopenings, pauses, and what went wrong on the way. Pure.

use crate::ledger::rollups::{LifeRow, LifeStep};
use crate::model::{State, Timestamp};

/// What a journal says of its assignment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Life {
    /// Ticket created, the last time.
    pub filed: Option<Timestamp>,
    /// Work began, the first time.
    pub first_work: Option<Timestamp>,
    /// The first closing.
    pub first_closed: Option<Timestamp>,
    /// The last closing; none while it is open (again).
    pub closed: Option<Timestamp>,
    /// When lastmile learned of the last closing, where the desk's clock says when it was.
    pub learned: Option<Timestamp>,
    /// Openings after a closing.
    pub reopenings: u32,
    /// The first of them.
    pub reopened: Option<Timestamp>,
    /// The platform has the outcome of the last closing.
    pub reported: Option<Timestamp>,
    /// The application's own evidence agreed.
    pub proven: Option<Timestamp>,
    /// Waits for the requester, in order, none touching another; the last one may still run.
    pub pauses: Vec<(Timestamp, Option<Timestamp>)>,
    /// Given to another group on the desk.
    pub moves: u32,
    /// Calls for its ticket that failed and were tried again.
    pub retries: u32,
    /// Calls that may or may not have made a ticket.
    pub unclear: u32,
    /// Set aside for a person.
    pub parked: u32,
    /// Of those: the desk took no ticket.
    pub refused: u32,
    /// Of those: a status or resolution that no rule knew.
    pub unknown: u32,
    /// A ticket was found by its key instead of made twice.
    pub found: u32,
    /// Tickets too many.
    pub doubles: u32,
}

/// Whether nothing is left to do for an admin group.
fn is_ended(state: State) -> bool {
    matches!(state, State::Closed | State::Reported | State::Proven | State::Superseded | State::Duplicate)
}

impl Life {
    /// Of this assignment. Instants that an old journal does not hold are those of its row.
    #[must_use]
    pub fn of(row: &LifeRow) -> Self {
        let mut life = Self::default();
        let mut ended = false;
        for step in &row.steps {
            ended = life.step(step, ended);
        }
        // What is closed or reported now by the row alone.
        let state = State::parse(&row.state);
        if life.closed.is_none() && state.is_some_and(is_ended) {
            life.closed = row.told.closed;
            life.first_closed = life.first_closed.or(life.closed);
        }
        life.filed = life.filed.or(row.told.filed);
        // The desk may tell it with the closing alone.
        life.first_work = match (life.first_work, row.told.first_work) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        if life.closed.is_some() {
            life.reported = life.reported.or(row.told.reported);
        }
        life
    }

    fn step(&mut self, step: &LifeStep, was_ended: bool) -> bool {
        let at = step.happened_at;
        match step.event.as_str() {
            "filed" => {
                self.filed = Some(at);
                self.found += u32::from(step.detail["found_by_key"] == true);
            }
            "work_began" => self.first_work = self.first_work.or(Some(at)),
            "paused" => self.pause(at),
            "resumed" => self.resume(at),
            "moved" => self.moves += 1,
            "retry" => self.retries += 1,
            "unclear" => self.unclear += 1,
            "double_found" => self.doubles += 1,
            "parked" => {
                self.parked += 1;
                self.refused += u32::from(step.detail["errand"] == "create");
                self.unknown += u32::from(["E-STATUS", "E-OUTCOME"].iter().any(|code| step.cause.starts_with(code)));
            }
            _ => {}
        }
        let Some(state) = State::parse(&step.state) else { return was_ended };
        let ended = is_ended(state);
        if ended && !was_ended {
            self.resume(at);
            (self.closed, self.learned) = (Some(at), step.learned_at);
            self.first_closed = self.first_closed.or(Some(at));
        }
        if !ended && was_ended {
            self.reopenings += 1;
            self.reopened = self.reopened.or(Some(at));
            (self.closed, self.learned, self.reported, self.proven) = (None, None, None, None);
        }
        if matches!(state, State::Reported) && self.reported.is_none() {
            self.reported = Some(at);
        }
        if matches!(state, State::Proven) && self.proven.is_none() {
            self.proven = Some(at);
        }
        ended
    }

    fn pause(&mut self, at: Timestamp) {
        match self.pauses.last() {
            Some((_, None)) => {}
            // Clocks of several looks: a pause never begins before the one before it ended.
            Some((_, Some(until))) => self.pauses.push((at.max(*until), None)),
            None => self.pauses.push((at, None)),
        }
    }

    fn resume(&mut self, at: Timestamp) {
        if let Some((from, until)) = self.pauses.last_mut().filter(|(_, until)| until.is_none()) {
            *until = Some(at.max(*from));
        }
    }

    /// The pauses within a stretch of time; one that runs ends with it.
    #[must_use]
    pub fn pauses_within(&self, from: Timestamp, to: Timestamp) -> Vec<(Timestamp, Timestamp)> {
        let within = |(a, b): &(Timestamp, Option<Timestamp>)| ((*a).max(from), b.unwrap_or(to).min(to));
        self.pauses.iter().map(within).filter(|(a, b)| a < b).collect()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::ledger::rollups::{Dim, Told};
    use crate::model::Id;
    use proptest::prelude::*;
    use serde_json::json;

    pub(in crate::kpi) fn step(at: i64, event: &str, state: &str) -> LifeStep {
        LifeStep {
            happened_at: Timestamp(at),
            learned_at: None,
            event: event.to_owned(),
            state: state.to_owned(),
            cause: String::new(),
            detail: json!({}),
        }
    }

    pub(in crate::kpi) fn row(steps: Vec<LifeStep>) -> LifeRow {
        LifeRow {
            id: Id(1),
            seq: i64::try_from(steps.len()).unwrap(),
            dim: Dim {
                id: 7,
                application_id: "sap".to_owned(),
                application_name: "SAP".to_owned(),
                admin_group: "sap-admins".to_owned(),
                operation: "grant".to_owned(),
                desk: "jira".to_owned(),
            },
            revocation: false,
            beneficiary: "p".to_owned(),
            lane: "lane".to_owned(),
            state: steps.last().map_or_else(|| "received".to_owned(), |s| s.state.clone()),
            outcome: None,
            requested_at: None,
            approved_at: None,
            valid_from: None,
            valid_until: None,
            received_at: Timestamp(0),
            eligible_at: None,
            told: Told::default(),
            withdrawn: false,
            steps,
            kept: None,
            forecast: None,
            left_at: None,
        }
    }

    #[test]
    fn a_life_with_pauses_and_a_reopening() {
        let life = Life::of(&row(vec![
            step(0, "received", "received"),
            step(1, "due", "due"),
            step(1, "retry", "due"),
            step(2, "filed", "open"),
            step(10, "work_began", "open"),
            step(12, "paused", "open"),
            step(14, "paused", "open"),
            step(20, "resumed", "open"),
            step(18, "paused", "open"),
            step(30, "closed", "closed"),
            step(31, "reported", "reported"),
            step(40, "reopened", "rework"),
            step(45, "paused", "rework"),
            step(50, "closed", "closed"),
        ]));
        let t = |at| Some(Timestamp(at));
        assert_eq!((life.filed, life.first_work, life.first_closed, life.closed), (t(2), t(10), t(30), t(50)));
        assert_eq!((life.reopenings, life.reopened, life.reported, life.retries), (1, t(40), None, 1));
        let pause = |a, b| (Timestamp(a), t(b));
        assert_eq!(life.pauses, [pause(12, 20), pause(20, 30), pause(45, 50)]);
        assert_eq!(
            life.pauses_within(Timestamp(15), Timestamp(25)),
            [(Timestamp(15), Timestamp(20)), (Timestamp(20), Timestamp(25))]
        );
    }

    proptest! {
        #[test]
        fn pauses_never_overlap_and_end_with_the_closing(steps in proptest::collection::vec((0i64..100, 0usize..5), 0..30)) {
            let words = [("paused", "open"), ("resumed", "open"), ("closed", "closed"), ("reopened", "rework"), ("moved", "open")];
            let steps = steps.into_iter().map(|(at, n)| step(at, words[n].0, words[n].1)).collect();
            let life = Life::of(&row(steps));
            prop_assert!(life.pauses.windows(2).all(|w| w[0].1.is_some_and(|end| end <= w[1].0)));
            prop_assert!(life.pauses.iter().all(|(a, b)| b.is_none_or(|b| *a <= b)));
            if life.closed.is_some() {
                prop_assert!(life.pauses.iter().all(|(_, until)| until.is_some()));
            }
        }
    }
}
