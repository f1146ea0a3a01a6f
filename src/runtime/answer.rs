//! The loop that looks after a platform that waits for answers.

use super::due::Due;
use super::hands::Hands;
use super::replica::Taken;
use crate::flow::{deadline, intake};
use crate::ledger::LedgerResult;

/// How often orders are looked for whose platform will soon stop waiting.
const DEADLINES_EVERY_MS: i64 = 10_000;

/// When a platform that waits is looked after next.
#[derive(Debug, Default)]
pub(super) struct AnswerTimes {
    deadlines: Option<Due>,
    look: Option<Due>,
    /// Whether it is this process's turn to look.
    mine: bool,
}

/// Orders whose platform will soon stop waiting, and those it no longer wants.
pub(super) async fn answer_round(hands: &Hands, source: &str, times: &mut AnswerTimes) -> LedgerResult<bool> {
    let setup = hands.setup.load_full();
    let Some(source) = setup.sources.get(source) else { return Ok(false) };
    let Some(waits) = source.waits() else { return Ok(false) };
    let (ledger, clock, was_mine) = (&*hands.ledger, &*hands.clock, times.mine);
    match hands.duty(&format!("answer/{}", source.info().name), &mut times.mine).await? {
        Some(Taken::Fresh(_)) => *times = AnswerTimes { mine: true, ..AnswerTimes::default() },
        Some(Taken::Kept) => {}
        None => {
            if was_mine {
                deadline::left_to_others(&**source);
            }
            return Ok(false);
        }
    }
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
