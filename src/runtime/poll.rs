//! The loop that polls a source by its schedule.

use super::due::Due;
use super::hands::Hands;
use super::replica::Taken;
use crate::flow::intake;
use crate::http::{CallError, gate};
use crate::ledger::LedgerResult;
use crate::model::Timestamp;

/// When a source is polled next, and by which schedule that was said.
#[derive(Debug, Default)]
pub(super) struct PollTimes {
    schedule: Option<String>,
    next: Option<Due>,
    failures: u32,
    /// Whether it is this process's turn to poll.
    mine: bool,
}

/// One poll when due. A source that is not polled is looked at again: a reload may change that.
pub(super) async fn poll_round(hands: &Hands, source: &str, times: &mut PollTimes) -> LedgerResult<bool> {
    let setup = hands.setup.load_full();
    let Some(source) = setup.sources.get(source) else { return Ok(false) };
    let info = source.info();
    // A newcomer leaves a hint where it is: it is still there when calls may be made.
    if !info.capabilities.polls || !hands.joined() {
        return Ok(false);
    }
    let (clock, now) = (&*hands.clock, hands.clock.now());
    let due = |at: Option<Timestamp>| at.map(|at| Due::at(at, clock));
    // While it wants patience a hint stays, the round stays due, and the duty is kept: others know nothing of the pause.
    let paused = hands.worker.pauses.left_ms(&format!("source/{}", info.name), clock).is_some();
    let (hinted, duty) = (!paused && source.take_hint(), format!("poll/{}", info.name));
    match hands.duty(&duty, &mut times.mine).await? {
        // A hint came to this process alone.
        None if !hinted => return Ok(false),
        // Whoever polled before us kept the same schedule.
        Some(Taken::Fresh(Some(ran_at))) => (times.next, times.failures) = (due(source.next_poll(ran_at)), 0),
        _ => {}
    }
    if paused {
        return Ok(false);
    }
    if times.schedule.is_some() && times.schedule != info.schedule {
        times.next = due(source.next_poll(now));
    }
    times.schedule.clone_from(&info.schedule);
    // The first tick is one poll at the start: what came while we were away.
    if !hinted && times.next.is_some_and(|due| !due.has_come(clock)) {
        return Ok(false);
    }
    // What the list shows is later than what was sent before it and waits for a place.
    hands.worker.lanes.settled().await;
    let broken = match intake::poll(&*hands.ledger, &**source, &hands.worker.pauses, clock).await {
        Ok(polled) => {
            if polled.any() {
                hands.wake.all();
            }
            polled.broken
        }
        Err(intake::PollError::Ledger(error)) => return Err(error),
        Err(intake::PollError::Call(error)) => Some(error),
    };
    hands.ledger.ran(&duty, now).await?;
    times.failures = failures_after(times.failures, broken.as_ref());
    let retry = setup.catalog.main.retry.schedule();
    let failed = broken.as_ref().map(|error| (error, times.failures));
    let next = intake::next_round(source.next_poll(now), failed, &retry, now);
    times.next = due(next);
    // A source with more at hand says "now".
    Ok(broken.is_none() && next.is_some_and(|at| at <= now))
}

/// Failures in a row. A round that was held back on our side says nothing of the platform.
fn failures_after(before: u32, broken: Option<&CallError>) -> u32 {
    match broken {
        None => 0,
        Some(error) if error.code() == gate::HELD => before,
        Some(_) => before.saturating_add(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_that_was_held_back_is_no_failure_and_no_success() {
        let failure = CallError::retry("E-CONNECT", "away");
        assert_eq!(failures_after(2, Some(&failure)), 3);
        assert_eq!(failures_after(3, Some(&gate::held("the platform wants patience"))), 3);
        assert_eq!(failures_after(3, None), 0);
    }
}
