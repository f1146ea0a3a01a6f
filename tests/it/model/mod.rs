//! A model of one errand on its way to a desk, checked exhaustively for small bounds: claim, lease, send, unclear,
//! witness, settle and sweep, with replicas that crash and pause at any step, answers that get lost, effects that come
//! late and a search that lags. docs/guarantees.md tells what it covers.
//!
//! Time moves only when nobody who is awake has anything to do, so that a path without successor is one on which all
//! went as far as it ever will: there the errand must be finished. Faults are counted down, so every path ends.

mod checks;
mod rules;

use stateright::{Model, Property};

/// From the first byte to the end of the client's patience.
const TIMEOUT: u8 = 1;
/// A desk may still carry a call out so long after the client has given up.
const PROCESSING: u8 = 1;
/// Of a lease. A call may begin until [`TIMEOUT`] before its end.
const LEASE: u8 = 2;
/// Longest pause: beyond a lease and the quiet period after it, longer ones differ in nothing.
const PAUSE: u8 = 7;
/// No path reaches it, and a property says so: nothing is cut off.
const HORIZON: u8 = 40;
/// Tickets with the key at most: more than one is a defect, and admins make copies.
const MOST_TICKETS: usize = 4;

/// A rule of the bridge that is broken on purpose: the checker must notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// What may have happened is simply sent again.
    ResendsUnclear,
    /// The quiet period forgets that the search lags.
    ForgetsTheLag,
    /// The quiet period is judged when the witness has answered, not when it was asked.
    JudgesAfterTheAnswer,
    /// A settlement does not check its lease number.
    SettlesUnfenced,
    /// The first byte leaves before lease and attempt are on disk.
    SendsBeforeTheAttempt,
    /// Nobody asks for the lease before the first byte.
    SkipsTheLeaseCheck,
    /// A replica that starts takes the leases of the living.
    RecoversTheLiving,
    /// What a dead replica left is never leased again.
    ForgetsTheAbandoned,
    /// The sweeper closes whatever has the key.
    SweepsAnything,
    /// Between the sweeper's look and its closing nobody looks again.
    ClosesWithoutALook,
}

/// What is checked.
#[derive(Debug, Clone)]
pub struct Bridge {
    /// Time after which the desk's search shows a ticket: D1; none: D2, and comments, which are read from the ticket.
    pub lag: u8,
    pub replicas: usize,
    /// A replica may stand between its lease check and the first byte: the window that stays (docs/guarantees.md).
    pub window: bool,
    pub faults: Faults,
    pub bug: Option<Bug>,
}

/// How often the outside may do what it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Faults {
    pub crashes: u8,
    pub pauses: u8,
    /// Answers lost, requests lost, 429.
    pub losses: u8,
    /// The desk's own webhook tells of a ticket.
    pub hooks: u8,
    /// Admins copy a ticket, or take one into work.
    pub admins: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    now: u8,
    errand: Errand,
    replicas: Vec<Replica>,
    /// Requests that the desk has not carried out yet.
    calls: Vec<Call>,
    tickets: Vec<Ticket>,
    left: Faults,
    /// What must never happen, and did.
    wrong: Wrong,
}

/// The row in the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
struct Errand {
    stage: Stage,
    lease_no: u8,
    leased_until: u8,
    /// An unclear one is asked about from then on.
    due: u8,
    quiet_until: u8,
    misses: u8,
    /// Lease numbers whose attempt is on disk, as bits.
    attempts: u32,
    ticket: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
enum Stage {
    #[default]
    Ready,
    Sending,
    Unclear,
    Done,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
struct Replica {
    step: Step,
    /// Stopped, at the longest until then.
    paused: Option<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
enum Step {
    #[default]
    Idle,
    /// Leased to send; a call may begin until then.
    Leased { no: u8, good_until: u8 },
    /// The lease was checked, no byte has left.
    Checked { no: u8, good_until: u8 },
    /// The request is on its way.
    Waiting { no: u8, sent_at: u8 },
    /// Leased to ask the witness.
    Asking { no: u8 },
    /// The witness has answered.
    Looked { no: u8, asked_at: u8, found: Option<usize> },
    /// To be settled.
    Ended { no: u8, end: End },
    /// A double that our account made and nobody had touched.
    Closing { ticket: usize },
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum End {
    Filed(usize),
    Retry,
    Unclear { quiet_until: u8 },
    Miss,
    Clear,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Call {
    no: u8,
    sent_at: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Ticket {
    /// Our account made it.
    ours: bool,
    visible_at: u8,
    /// An admin works on it.
    touched: bool,
    /// The sweeper saw it beside the one we hold.
    noted: bool,
    closed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
struct Wrong {
    sent_without_attempt: bool,
    sent_while_another_may_land: bool,
    settled_a_foreign_lease: bool,
    swept_what_is_not_ours_or_touched: bool,
    swept_the_one_we_hold: bool,
    /// Not wrong by itself: a call began after its lease, out of the named window.
    window: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Tick,
    /// Leases what is due: to send, or to ask; what was abandoned becomes unclear.
    Lease(usize),
    /// Checks the lease and stays before the first byte.
    Check(usize),
    /// Checks the lease, unless that was done, and sends.
    Send(usize),
    /// The client gives up.
    TimeOut(usize),
    Ask(usize),
    Judge(usize),
    Settle(usize),
    Sweep(usize),
    Close(usize),
    /// The desk carries a call out, and its answer is heard or lost.
    Land {
        call: usize,
        heard: bool,
    },
    /// A request is lost on its way.
    Drop {
        call: usize,
    },
    /// 429: no effect.
    Refuse {
        call: usize,
    },
    Hook {
        ticket: usize,
    },
    Copy {
        ticket: usize,
    },
    Touch {
        ticket: usize,
    },
    Crash(usize),
    Pause(usize),
    Wake(usize),
}

impl Model for Bridge {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            now: 0,
            errand: Errand::default(),
            replicas: vec![Replica::default(); self.replicas],
            calls: Vec::new(),
            tickets: Vec::new(),
            left: self.faults,
            wrong: Wrong::default(),
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        rules::possible(self, state, actions);
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut next = last.clone();
        rules::apply(self, &mut next, action);
        // Replicas are alike: their order makes no other state.
        next.replicas.sort_unstable();
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let always = |name, so: fn(&Self, &State) -> bool| Property::<Self>::always(name, so);
        let sometimes = |name, so: fn(&Self, &State) -> bool| Property::<Self>::sometimes(name, so);
        let mut all = vec![
            always(checks::ONE_TICKET, |_, s| s.ours() <= 1 || s.wrong.window),
            always(checks::ATTEMPT_FIRST, |_, s| !s.wrong.sent_without_attempt),
            always(checks::NONE_BESIDE, |_, s| !s.wrong.sent_while_another_may_land || s.wrong.window),
            always(checks::OWN_LEASE, |_, s| !s.wrong.settled_a_foreign_lease),
            always(checks::DONE_IS_TRUE, |_, s| s.errand.stage != Stage::Done || s.holds_one_of_ours()),
            always(checks::ONE_HOLDER, |_, s| s.holders() <= 1),
            always(checks::ONLY_COPIES, |_, s| !s.wrong.swept_what_is_not_ours_or_touched),
            always(checks::HELD_STAYS, |_, s| !s.wrong.swept_the_one_we_hold),
            always(checks::ENDS, |m, s| s.is_finished() || !m.next_states(s).is_empty()),
            always(checks::WHOLE, |_, s| s.now < HORIZON && s.tickets.len() <= MOST_TICKETS),
            sometimes(checks::FILED, |_, s| s.is_finished() && s.ours() == 1),
        ];
        if self.window {
            all.push(sometimes(checks::WINDOW_DOUBLES, |_, s| s.is_finished() && s.ours() > 1));
        }
        all
    }
}

impl State {
    /// Tickets that our account made: all of them, never by a search.
    fn ours(&self) -> usize {
        self.tickets.iter().filter(|t| t.ours).count()
    }

    fn holds_one_of_ours(&self) -> bool {
        self.errand.ticket.and_then(|held| self.tickets.get(held)).is_some_and(|t| t.ours)
    }

    /// Replicas that hold the lease as the ledger knows it.
    fn holders(&self) -> usize {
        let holds = |r: &&Replica| match r.step {
            Step::Idle | Step::Closing { .. } => false,
            Step::Leased { no, .. }
            | Step::Checked { no, .. }
            | Step::Waiting { no, .. }
            | Step::Asking { no }
            | Step::Looked { no, .. }
            | Step::Ended { no, .. } => no == self.errand.lease_no,
        };
        self.replicas.iter().filter(holds).count()
    }

    /// Filed, nothing on its way, every ticket with the key seen, every double of ours that nobody took closed.
    fn is_finished(&self) -> bool {
        let settled = |(n, t): (usize, &Ticket)| Some(n) == self.errand.ticket || t.noted;
        let idle = |r: &Replica| r.step == Step::Idle || r.paused.is_some();
        self.errand.stage == Stage::Done
            && self.calls.is_empty()
            && self.tickets.iter().enumerate().all(settled)
            && self.replicas.iter().all(idle)
    }
}
