//! Simulated admins: they take tickets after plausible times, sometimes wait, and close with outcomes and words.
//! What they do depends on the seed and the tickets alone.

use std::collections::BTreeSet;

use serde_json::json;

use super::desk_state::{DeskState, Stage, Ticket};
use super::faults::mix;
use crate::model::{Outcome, Timestamp};

/// How long things take, and how they end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// Middle of the time until somebody takes a ticket, milliseconds.
    pub take_ms: i64,
    /// Middle of the time of work, milliseconds.
    pub work_ms: i64,
    /// Of a thousand tickets, so many wait for somebody in between.
    pub waits: u64,
    /// Of a thousand tickets, so many end in another way than fulfilled.
    pub not_fulfilled: u64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { take_ms: 25 * 60_000, work_ms: 50 * 60_000, waits: 150, not_fulfilled: 120 }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Next {
    Take,
    Wait,
    Resume,
    Close,
}

/// The simulated admins of one desk.
#[derive(Debug)]
pub struct Admins {
    seed: u64,
    pace: Pace,
    names: [&'static str; 5],
    plan: BTreeSet<(i64, usize, Next)>,
    decided: u64,
}

impl Admins {
    /// Admins with their habits.
    #[must_use]
    pub fn new(seed: u64, pace: Pace) -> Self {
        let names = ["anna.berg", "jonas.weber", "mei.tanaka", "priya.nair", "tom.okafor"];
        Self { seed, pace, names, plan: BTreeSet::new(), decided: 0 }
    }

    /// Does what is due at `now` and says how many tickets were touched. Reads no clock of its own.
    pub fn step(&mut self, state: &DeskState, now: Timestamp) -> usize {
        for n in state.take_fresh() {
            let wait = self.around(self.pace.take_ms);
            self.plan.insert((now.0 + wait, n, Next::Take));
        }
        let mut touched = 0;
        while let Some((due, n, next)) = self.plan.first().copied().filter(|(due, ..)| *due <= now.0) {
            self.plan.remove(&(due, n, next));
            if state.is_open(n) {
                self.act(state, n, next, due);
                touched += 1;
            }
        }
        touched
    }

    fn act(&mut self, state: &DeskState, n: usize, next: Next, due: i64) {
        let name = self.names[n % self.names.len()];
        match next {
            Next::Take => {
                state.change_at(n, |t, now| {
                    t.assignee = Some(name.to_owned());
                    t.move_to(Stage::Working, name, now);
                });
                let waits = self.dice() % 1000 < self.pace.waits;
                let wait = self.around(self.pace.work_ms);
                self.plan.insert((due + wait, n, if waits { Next::Wait } else { Next::Close }));
            }
            Next::Wait => {
                state.change_at(n, |t, now| t.move_to(Stage::Waiting, name, now));
                let wait = self.around(self.pace.work_ms * 4);
                self.plan.insert((due + wait, n, Next::Resume));
            }
            Next::Resume => {
                state.change_at(n, |t, now| t.move_to(Stage::Working, name, now));
                let wait = self.around(self.pace.work_ms / 2);
                self.plan.insert((due + wait, n, Next::Close));
            }
            Next::Close => {
                let (outcome, words) = self.ending();
                state.change_at(n, |t, now| close(t, name, now, outcome, words));
            }
        }
    }

    fn ending(&mut self) -> (Outcome, &'static str) {
        if self.dice() % 1000 >= self.pace.not_fulfilled {
            let words = ["Done.", "Access given as ordered.", "Completed, please sign in again.", "Set up and checked."];
            return (Outcome::Fulfilled, words[(self.dice() % 4) as usize]);
        }
        let endings = [
            (Outcome::AlreadyInPlace, "Was there already."),
            (Outcome::Rejected, "Conflicts with the role the person holds."),
            (Outcome::NotPossible, "The system has no such role any more."),
            (Outcome::PartlyFulfilled, "Read access is set, write access needs a licence."),
        ];
        endings[(self.dice() % 4) as usize]
    }

    fn dice(&mut self) -> u64 {
        self.decided += 1;
        mix(self.seed, self.decided)
    }

    /// A time around the middle: from a fifth to about five times as long, short ones more often.
    fn around(&mut self, middle_ms: i64) -> i64 {
        let part = (self.dice() % 1000) as f64 / 1000.0;
        #[expect(clippy::cast_possible_truncation, reason = "bounded by five times the middle")]
        let span = (middle_ms as f64 * 0.2 * 25f64.powf(part)) as i64;
        span.max(1)
    }
}

/// Closes a ticket the way an admin does, in the words of its desk.
pub fn close(ticket: &mut Ticket, by: &str, now: Timestamp, outcome: Outcome, words: &str) {
    ticket.comment(by, now, json!(words), false);
    ticket.close_notes = Some(words.to_owned());
    ticket.move_to(Stage::Closed, by, now);
    ticket.resolution = Some(resolution(outcome).to_owned());
    ticket.code = None;
}

/// The resolution or close code both fakes use for an outcome.
#[must_use]
pub fn resolution(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Fulfilled => "Done",
        Outcome::PartlyFulfilled => "Partly done",
        Outcome::AlreadyInPlace => "Already in place",
        Outcome::NotPossible => "Not possible",
        Outcome::Rejected => "Rejected",
        Outcome::Cancelled => "Cancelled",
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::clock::FakeClock;
    use crate::sandbox::desk_state::NewTicket;
    use crate::sandbox::faults::Faults;

    fn run(seed: u64) -> Vec<Ticket> {
        let clock = Arc::new(FakeClock::at(Timestamp(1_000_000)));
        let state = DeskState::open(clock.clone(), Arc::new(Faults::default()), None).unwrap();
        for _ in 0..200 {
            state.create(NewTicket { prefix: "T-".into(), ..NewTicket::default() }, "bridge");
        }
        let mut admins = Admins::new(seed, Pace::default());
        for _ in 0..2_000 {
            admins.step(&state, state.now());
            clock.advance_ms(60_000);
        }
        state.all()
    }

    #[test]
    fn every_ticket_is_closed_in_the_end_and_a_seed_repeats_itself() {
        let tickets = run(3);
        assert!(tickets.iter().all(|t| t.stage == Stage::Closed && t.closer.is_some()));
        let other = tickets.iter().filter(|t| t.resolution.as_deref() != Some("Done")).count();
        assert!((5..60).contains(&other), "{other}");
        assert!(tickets.iter().any(|t| t.history.iter().any(|m| m.to == Stage::Waiting)));
        assert_eq!(tickets, run(3));
        assert_ne!(tickets, run(4));
    }
}
