//! The loop that looks after a platform that waits for answers.

use super::hands::Hands;
use super::replica::Taken;
use crate::flow::{deadline, intake};
use crate::ledger::LedgerResult;
use crate::model::Timestamp;

/// How often orders are looked for whose platform will soon stop waiting.
const DEADLINES_EVERY_MS: i64 = 10_000;

/// When a platform that waits is looked after next.
#[derive(Debug, Default)]
pub(super) struct AnswerTimes {
    deadlines: Option<Timestamp>,
    look: Option<Timestamp>,
    /// Whether it is this process's turn to look.
    mine: bool,
}

/// Orders whose platform will soon stop waiting, and those it no longer wants.
pub(super) async fn answer_round(hands: &Hands, source: &str, times: &mut AnswerTimes) -> LedgerResult<bool> {
    let setup = hands.setup.load_full();
    let Some(source) = setup.sources.get(source) else { return Ok(false) };
    let Some(waits) = source.waits() else { return Ok(false) };
    let (ledger, now, was_mine) = (&*hands.ledger, hands.clock.now(), times.mine);
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
    if times.deadlines.is_none_or(|at| now >= at) {
        times.deadlines = Some(now.plus_ms(DEADLINES_EVERY_MS));
        if deadline::step(ledger, &**source, &*hands.clock).await? > 0 {
            hands.wake.errands();
        }
    }
    if times.look.is_none_or(|at| now >= at) {
        times.look = Some(now.plus_ms(waits.look_every_ms));
        match deadline::look(ledger, &**source, &*hands.clock).await {
            Ok(0) | Err(intake::PollError::Call(_)) => {}
            Ok(_) => hands.wake.all(),
            Err(intake::PollError::Ledger(error)) => return Err(error),
        }
    }
    Ok(false)
}
