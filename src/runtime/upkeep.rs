//! The loop of upkeep: what is old is erased, and the chains are tied.

use super::due::Due;
use super::hands::Hands;
use super::replica::Taken;
use crate::ledger::LedgerResult;

/// The duty of erasing and of tying the chains.
const UPKEEP: &str = "upkeep";
/// How often it is done, seconds.
const EVERY_S: i64 = 3_600;

/// Upkeep when it is due, and this process's turn: the one and the other are remembered.
pub(super) async fn round(hands: &Hands, (next, mine): &mut (Due, bool)) -> LedgerResult<bool> {
    let (setup, clock, now) = (hands.setup.load_full(), &*hands.clock, hands.clock.now());
    match hands.duty(UPKEEP, mine).await? {
        None => return Ok(false),
        Some(Taken::Fresh(Some(ran_at))) => *next = Due::at(ran_at.plus_secs(EVERY_S), clock),
        Some(_) => {}
    }
    if !next.has_come(clock) {
        return Ok(false);
    }
    *next = Due::after(EVERY_S * 1_000, clock);
    let kept = &setup.catalog.main.retention;
    hands.ledger.erase(now.plus_ms(-kept.inbox.ms()), now.plus_ms(-kept.persons.ms())).await?;
    hands.ledger.checkpoint(now).await?;
    hands.ledger.ran(UPKEEP, now).await?;
    Ok(false)
}
