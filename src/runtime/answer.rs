//! The loop that looks after a platform that waits for answers.

use super::due::Due;
use super::hands::Hands;
use crate::flow::{deadline, intake};
use crate::ledger::LedgerResult;

/// How often orders are looked for whose platform will soon stop waiting.
const DEADLINES_EVERY_MS: i64 = 10_000;

/// When a platform that waits is looked after next.
#[derive(Debug, Default)]
pub(super) struct AnswerTimes {
    deadlines: Option<Due>,
    look: Option<Due>,
}

/// Orders whose platform will soon stop waiting, and those it no longer wants.
pub(super) async fn answer_round(hands: &Hands, source: &str, times: &mut AnswerTimes) -> LedgerResult<bool> {
    let setup = hands.setup.load_full();
    let Some(source) = setup.sources.get(source) else { return Ok(false) };
    let Some(waits) = source.waits() else { return Ok(false) };
    let (ledger, clock) = (&*hands.ledger, &*hands.clock);
    if times.deadlines.is_none_or(|due| due.has_come(clock)) {
        times.deadlines = Some(Due::after(DEADLINES_EVERY_MS, clock));
        if deadline::step(ledger, &**source, clock).await? > 0 {
            hands.wake.errands();
        }
    }
    if times.look.is_none_or(|due| due.has_come(clock)) {
        times.look = Some(Due::after(waits.look_every_ms, clock));
        match deadline::look(ledger, &**source, clock).await {
            Ok(0) | Err(intake::PollError::Call(_)) => {}
            Ok(_) => hands.wake.all(),
            Err(intake::PollError::Ledger(error)) => return Err(error),
        }
    }
    Ok(false)
}
