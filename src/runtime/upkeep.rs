//! The loop of upkeep: what is old is erased, and the chains are tied.

use super::hands::Hands;
use super::replica::Taken;
use crate::ledger::LedgerResult;
use crate::model::Timestamp;

/// The duty of erasing and of tying the chains.
const UPKEEP: &str = "upkeep";
/// How often it is done, seconds.
const EVERY_S: i64 = 3_600;

/// Upkeep when it is due, and this process's turn: the one and the other are remembered.
pub(super) async fn round(hands: &Hands, (next, mine): &mut (Timestamp, bool)) -> LedgerResult<bool> {
    let (setup, now) = (hands.setup.load_full(), hands.clock.now());
    match hands.duty(UPKEEP, mine).await? {
        None => return Ok(false),
        Some(Taken::Fresh(Some(ran_at))) => *next = ran_at.plus_secs(EVERY_S).max(now),
        Some(_) => {}
    }
    if now < *next {
        return Ok(false);
    }
    *next = now.plus_secs(EVERY_S);
    let kept = &setup.catalog.main.retention;
    hands.ledger.erase(now.plus_ms(-kept.inbox.ms()), now.plus_ms(-kept.persons.ms())).await?;
    hands.ledger.checkpoint(now).await?;
    hands.ledger.ran(UPKEEP, now).await?;
    Ok(false)
}
