//! The loop that polls a source by its schedule.

use super::due::Due;
use super::hands::Hands;
use super::replica::Taken;
use crate::flow::intake;
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
    let (hinted, duty) = (source.take_hint(), format!("poll/{}", info.name));
    match hands.duty(&duty, &mut times.mine).await? {
        // A hint came to this process alone.
        None if !hinted => return Ok(false),
        // Whoever polled before us kept the same schedule.
        Some(Taken::Fresh(Some(ran_at))) => (times.next, times.failures) = (due(source.next_poll(ran_at)), 0),
        _ => {}
    }
    if times.schedule.is_some() && times.schedule != info.schedule {
        times.next = due(source.next_poll(now));
    }
    times.schedule.clone_from(&info.schedule);
    // The first tick is one poll at the start: what came while we were away.
    if !hinted && times.next.is_some_and(|due| !due.has_come(clock)) {
        return Ok(false);
    }
    let broken = match intake::poll(&*hands.ledger, &**source, clock).await {
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
    // One that does not say how long is asked again by its schedule.
    if let Some((error, asked)) = broken.as_ref().and_then(|error| Some((error, error.asked_ms()?))) {
        hands.worker.pauses.heed(&format!("source/{}", info.name), error, asked, clock);
    }
    times.failures = if broken.is_some() { times.failures + 1 } else { 0 };
    let retry = setup.catalog.main.retry.schedule();
    let failed = broken.as_ref().map(|error| (error, times.failures));
    let next = intake::next_round(source.next_poll(now), failed, &retry, now);
    times.next = due(next);
    // A source with more at hand says "now".
    Ok(times.failures == 0 && next.is_some_and(|at| at <= now))
}
