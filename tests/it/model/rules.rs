//! What may happen next, and what it does. The bridge's own steps follow `flow/dispatch.rs`, `ledger/sql/lease.rs`,
//! `ledger/sql/settle.rs` and `flow/sync.rs`.

use super::{
    Action, Bridge, Bug, Call, End, Errand, HORIZON, LEASE, MOST_TICKETS, PAUSE, PROCESSING, Replica, Stage, State, Step,
    TIMEOUT, Ticket,
};

/// Looks that must miss before something is sent again.
const MISSES: u8 = 2;

pub(super) fn possible(model: &Bridge, state: &State, actions: &mut Vec<Action>) {
    let mut busy = false;
    for (n, replica) in state.replicas.iter().enumerate().filter(|(_, r)| r.paused.is_none()) {
        let before = actions.len();
        own_steps(model, state, n, replica, actions);
        busy |= actions.len() > before;
    }
    of_the_desk(state, actions);
    of_the_world(state, actions);
    let overdue = state.calls.iter().any(|c| state.now >= c.sent_at + TIMEOUT + PROCESSING);
    let to_wake = state.replicas.iter().any(|r| r.paused.is_some_and(|until| state.now >= until));
    if !busy && !overdue && !to_wake && !state.is_finished() && state.now < HORIZON {
        actions.push(Action::Tick);
    }
}

/// What a replica that is awake does without waiting.
fn own_steps(model: &Bridge, state: &State, n: usize, replica: &Replica, actions: &mut Vec<Action>) {
    match &replica.step {
        Step::Idle => {
            if is_due(model, state) {
                actions.push(Action::Lease(n));
            }
            if state.errand.stage == Stage::Done && stray(state).is_some() {
                actions.push(Action::Sweep(n));
            }
        }
        Step::Leased { .. } if model.window => actions.push(Action::Check(n)),
        Step::Leased { .. } | Step::Checked { .. } => actions.push(Action::Send(n)),
        Step::Waiting { sent_at, .. } if state.now >= sent_at + TIMEOUT => actions.push(Action::TimeOut(n)),
        Step::Waiting { .. } => {}
        Step::Asking { .. } => actions.push(Action::Ask(n)),
        Step::Looked { .. } => actions.push(Action::Judge(n)),
        Step::Ended { .. } => actions.push(Action::Settle(n)),
        Step::Closing { .. } => actions.push(Action::Close(n)),
    }
}

fn of_the_desk(state: &State, actions: &mut Vec<Action>) {
    for (n, call) in state.calls.iter().enumerate() {
        let waits = sender(state, call).is_some();
        actions.push(Action::Land { call: n, heard: waits });
        if state.left.losses == 0 {
            continue;
        }
        actions.push(Action::Drop { call: n });
        if waits {
            actions.push(Action::Land { call: n, heard: false });
            actions.push(Action::Refuse { call: n });
        }
    }
}

fn of_the_world(state: &State, actions: &mut Vec<Action>) {
    let finished = state.is_finished();
    for (n, replica) in state.replicas.iter().enumerate() {
        if replica.paused.is_some() {
            actions.push(Action::Wake(n));
        } else if !finished && state.left.pauses > 0 {
            actions.push(Action::Pause(n));
        }
        if !finished && state.left.crashes > 0 {
            actions.push(Action::Crash(n));
        }
    }
    let room = state.tickets.len() < MOST_TICKETS;
    for (n, ticket) in state.tickets.iter().enumerate() {
        if state.left.hooks > 0 && ticket.ours && state.errand.stage != Stage::Done {
            actions.push(Action::Hook { ticket: n });
        }
        if state.left.admins > 0 && !finished {
            if room && ticket.ours {
                actions.push(Action::Copy { ticket: n });
            }
            if !ticket.touched && !ticket.closed {
                actions.push(Action::Touch { ticket: n });
            }
        }
    }
}

fn is_due(model: &Bridge, state: &State) -> bool {
    let errand = &state.errand;
    match errand.stage {
        Stage::Ready => true,
        Stage::Sending => model.bug != Some(Bug::ForgetsTheAbandoned) && errand.leased_until < state.now,
        Stage::Unclear => errand.due <= state.now,
        Stage::Done => false,
    }
}

/// A ticket with the key beside the one we hold, that a search shows and nobody noted.
fn stray(state: &State) -> Option<usize> {
    let mut all = state.tickets.iter().enumerate();
    all.find(|(n, t)| Some(*n) != state.errand.ticket && !t.noted && t.visible_at <= state.now).map(|(n, _)| n)
}

/// Who waits for the answer of a call.
fn sender(state: &State, call: &Call) -> Option<usize> {
    state.replicas.iter().position(|r| matches!(r.step, Step::Waiting { no, .. } if no == call.no))
}

fn quiet(model: &Bridge) -> u8 {
    TIMEOUT + PROCESSING + if model.bug == Some(Bug::ForgetsTheLag) { 0 } else { model.lag }
}

pub(super) fn apply(model: &Bridge, state: &mut State, action: Action) {
    match action {
        Action::Tick => state.now += 1,
        Action::Lease(n) => lease(model, state, n),
        Action::Check(n) => check(model, state, n),
        Action::Send(n) => send(model, state, n),
        Action::TimeOut(n) => unheard(model, state, n),
        Action::Ask(n) => ask(state, n),
        Action::Judge(n) => judge(model, state, n),
        Action::Settle(n) => settle(model, state, n),
        Action::Sweep(n) => sweep(model, state, n),
        Action::Close(n) => close(model, state, n),
        Action::Land { call, heard } => land(model, state, call, heard),
        Action::Drop { call } => {
            state.calls.remove(call);
            state.left.losses -= 1;
        }
        Action::Refuse { call } => {
            let gone = state.calls.remove(call);
            state.left.losses -= 1;
            if let Some(n) = sender(state, &gone) {
                state.replicas[n].step = Step::Ended { no: gone.no, end: End::Retry };
            }
        }
        Action::Hook { ticket } => {
            state.left.hooks -= 1;
            state.errand.ticket = Some(ticket);
            if state.errand.stage == Stage::Unclear {
                state.errand.stage = Stage::Done;
            }
        }
        Action::Copy { ticket } => {
            state.left.admins -= 1;
            let copy = Ticket { ours: false, visible_at: state.now + model.lag, touched: false, noted: false, closed: false };
            debug_assert!(state.tickets[ticket].ours);
            state.tickets.push(copy);
        }
        Action::Touch { ticket } => {
            state.left.admins -= 1;
            state.tickets[ticket].touched = true;
        }
        Action::Crash(n) => crash(model, state, n),
        Action::Pause(n) => {
            state.left.pauses -= 1;
            state.replicas[n].paused = Some(state.now + PAUSE);
        }
        Action::Wake(n) => state.replicas[n].paused = None,
    }
}

/// One transaction: what was abandoned becomes unclear, then the claim and its attempt.
fn lease(model: &Bridge, state: &mut State, n: usize) {
    let (now, quiet) = (state.now, quiet(model));
    let errand = &mut state.errand;
    if errand.stage == Stage::Sending {
        expire(errand, now, quiet);
    }
    let no = errand.lease_no + 1;
    if errand.stage == Stage::Unclear {
        errand.lease_no = no;
        errand.leased_until = now + LEASE;
        errand.due = now + LEASE;
        state.replicas[n].step = Step::Asking { no };
        return;
    }
    if model.bug != Some(Bug::SendsBeforeTheAttempt) {
        errand.lease_no = no;
        errand.stage = Stage::Sending;
        errand.leased_until = now + LEASE;
        errand.attempts |= 1 << no;
    }
    state.replicas[n].step = Step::Leased { no, good_until: now + LEASE - TIMEOUT };
}

fn expire(errand: &mut Errand, now: u8, quiet: u8) {
    errand.stage = Stage::Unclear;
    errand.lease_no += 1;
    errand.misses = 0;
    errand.due = now;
    errand.quiet_until = now + quiet;
}

fn check(model: &Bridge, state: &mut State, n: usize) {
    let Step::Leased { no, good_until } = state.replicas[n].step else { return };
    let late = state.now > good_until && model.bug != Some(Bug::SkipsTheLeaseCheck);
    state.replicas[n].step = if late { Step::Ended { no, end: End::Retry } } else { Step::Checked { no, good_until } };
}

fn send(model: &Bridge, state: &mut State, n: usize) {
    if matches!(state.replicas[n].step, Step::Leased { .. }) {
        check(model, state, n);
    } else if let Step::Checked { good_until, .. } = state.replicas[n].step {
        state.wrong.window |= state.now > good_until;
    }
    let Step::Checked { no, .. } = state.replicas[n].step else { return };
    state.wrong.sent_without_attempt |= state.errand.attempts & (1 << no) == 0;
    state.wrong.sent_while_another_may_land |= !state.calls.is_empty();
    state.calls.push(Call { no, sent_at: state.now });
    state.replicas[n].step = Step::Waiting { no, sent_at: state.now };
}

/// It may have happened.
fn unheard(model: &Bridge, state: &mut State, n: usize) {
    let Step::Waiting { no, .. } = state.replicas[n].step else { return };
    let end = match model.bug {
        Some(Bug::ResendsUnclear) => End::Retry,
        _ => End::Unclear { quiet_until: state.now + quiet(model) },
    };
    state.replicas[n].step = Step::Ended { no, end };
}

fn land(model: &Bridge, state: &mut State, call: usize, heard: bool) {
    let call = state.calls.remove(call);
    let ticket = state.tickets.len();
    let waits = sender(state, &call);
    state.tickets.push(Ticket { ours: true, visible_at: state.now + model.lag, touched: false, noted: false, closed: false });
    match waits {
        Some(n) if heard => state.replicas[n].step = Step::Ended { no: call.no, end: End::Filed(ticket) },
        Some(n) => {
            state.left.losses -= 1;
            unheard(model, state, n);
        }
        None => {}
    }
}

fn ask(state: &mut State, n: usize) {
    let Step::Asking { no } = state.replicas[n].step else { return };
    // What others made is no witness, key or not.
    let found = state.tickets.iter().position(|t| t.ours && t.visible_at <= state.now);
    state.replicas[n].step = Step::Looked { no, asked_at: state.now, found };
}

fn judge(model: &Bridge, state: &mut State, n: usize) {
    let Step::Looked { no, asked_at, found } = state.replicas[n].step else { return };
    let at = if model.bug == Some(Bug::JudgesAfterTheAnswer) { state.now } else { asked_at };
    let over = at >= state.errand.quiet_until && state.errand.misses + 1 >= MISSES;
    let end = match found {
        Some(ticket) => End::Filed(ticket),
        None if over => End::Clear,
        None => End::Miss,
    };
    state.replicas[n].step = Step::Ended { no, end };
}

fn settle(model: &Bridge, state: &mut State, n: usize) {
    let Step::Ended { no, end } = state.replicas[n].step.clone() else { return };
    state.replicas[n].step = Step::Idle;
    let now = state.now;
    let errand = &mut state.errand;
    let own = no == errand.lease_no && matches!(errand.stage, Stage::Sending | Stage::Unclear);
    if model.bug == Some(Bug::SendsBeforeTheAttempt) {
        errand.lease_no = errand.lease_no.max(no);
    } else if !own && model.bug != Some(Bug::SettlesUnfenced) {
        return;
    } else {
        state.wrong.settled_a_foreign_lease |= !own;
    }
    // The desk's own hook named the ticket already: it is there, whatever the call's end.
    let end = match (end, errand.ticket) {
        (End::Filed(ticket), _) => End::Filed(ticket),
        (_, Some(ticket)) => End::Filed(ticket),
        (end, None) => end,
    };
    match end {
        End::Filed(ticket) => {
            errand.stage = Stage::Done;
            errand.ticket = Some(ticket);
        }
        End::Retry | End::Clear => {
            errand.stage = Stage::Ready;
            errand.misses = 0;
        }
        End::Unclear { quiet_until } => {
            errand.stage = Stage::Unclear;
            errand.misses = 0;
            errand.due = now;
            errand.quiet_until = quiet_until;
        }
        End::Miss => {
            errand.misses = (errand.misses + 1).min(MISSES);
            errand.due = now + 1;
        }
    }
}

fn sweep(model: &Bridge, state: &mut State, n: usize) {
    let Some(found) = stray(state) else { return };
    let ticket = &mut state.tickets[found];
    ticket.noted = true;
    if (ticket.ours && !ticket.touched) || model.bug == Some(Bug::SweepsAnything) {
        state.replicas[n].step = Step::Closing { ticket: found };
    }
}

fn close(model: &Bridge, state: &mut State, n: usize) {
    let Step::Closing { ticket } = state.replicas[n].step else { return };
    state.replicas[n].step = Step::Idle;
    let careless = matches!(model.bug, Some(Bug::SweepsAnything | Bug::ClosesWithoutALook));
    let found = &mut state.tickets[ticket];
    if found.touched && !careless {
        return;
    }
    found.closed = true;
    state.wrong.swept_what_is_not_ours_or_touched |= found.touched || !found.ours;
    state.wrong.swept_the_one_we_hold |= state.errand.ticket == Some(ticket);
}

/// It dies and starts again. The one process of an SQLite ledger knows that whoever sent is dead; among replicas only
/// the end of the lease says so.
fn crash(model: &Bridge, state: &mut State, n: usize) {
    state.left.crashes -= 1;
    state.replicas[n] = Replica::default();
    let alone = model.replicas == 1 || model.bug == Some(Bug::RecoversTheLiving);
    if alone && state.errand.stage == Stage::Sending {
        expire(&mut state.errand, state.now, quiet(model));
    }
}
