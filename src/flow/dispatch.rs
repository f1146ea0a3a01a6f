//! Dispatch: leases errands of a desk, makes the calls, settles how they ended.

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use crate::desk::{Desk, Level, WhenUnclear};
use crate::http::{CallError, gate};
use crate::ledger::{End, LeaseRequest, Leased, Ledger, LedgerResult, Load, Settlement, Step};
use crate::model::errand::ErrandKind;
use crate::model::ticket::Created;
use crate::model::{Clock, Timestamp, random};

use super::{Breakers, Health, Setup, Work, Worker};

/// Misses in a row before a quiet period may end: one look is not enough.
const MISSES: u32 = 2;

/// One round for one desk: lease, call, settle. Returns how many errands it worked on.
///
/// # Errors
/// The ledger is not available; what was sent stays `sending` and is cleared up by its witnesses.
pub async fn step(
    ledger: &dyn Ledger,
    setup: &Setup,
    desk: &dyn Desk,
    worker: &Worker,
    breakers: &Breakers,
    clock: &dyn Clock,
) -> LedgerResult<usize> {
    let info = desk.info();
    let edge = format!("desk/{}", info.name);
    if breakers.probe_due(&edge, clock.now()) && desk.probe().await.is_ok() {
        breakers.close(&edge);
    }
    let lease_ms = setup.catalog.main.work.lease.ms().max(info.timeout_ms + 15_000);
    let request = LeaseRequest {
        edge: edge.clone(),
        owner: worker.owner.clone(),
        now: clock.now(),
        lease_ms,
        quiet_ms: info.quiet_ms(),
        limit: info.max_in_flight.max(1) * 2,
        witnesses_only: breakers.is_open(&edge),
    };
    let leased_boot_ms = clock.boot_ms();
    let leased = ledger.lease(request).await?;
    let count = leased.len();
    let good_until = leased_boot_ms + lease_ms - info.timeout_ms;
    let call = Calls { ledger, setup, desk, breakers, health: &worker.health, clock, edge: &edge, good_until };
    let mut running: FuturesUnordered<_> = leased.into_iter().map(|errand| call.carry_out(errand)).collect();
    // One that could not be settled cuts off no call of the others.
    let mut failed = None;
    while let Some(result) = running.next().await {
        failed = failed.or(result.err());
    }
    failed.map_or(Ok(count), Err)
}

struct Calls<'a> {
    ledger: &'a dyn Ledger,
    setup: &'a Setup,
    desk: &'a dyn Desk,
    breakers: &'a Breakers,
    health: &'a Health,
    clock: &'a dyn Clock,
    edge: &'a str,
    /// By the boot-time clock: later than this, the lease could run out during the call.
    good_until: i64,
}

impl Calls<'_> {
    async fn carry_out(&self, errand: Leased) -> LedgerResult<()> {
        let end = match (errand.step, &errand.load) {
            (Step::Send, Load::Create { draft, .. }) => {
                let result = gate::watched(|| self.may_send(), self.desk.create(draft)).await;
                self.ended(&errand, result).await?
            }
            (Step::Witness, Load::Create { draft, .. }) => self.look_for(&errand, &draft.key).await,
            (Step::Send, Load::Amend { ticket, change, .. }) => {
                let result = gate::watched(|| self.may_send(), self.desk.amend(ticket, change)).await;
                self.ended_plain(&errand, result).await?
            }
            (Step::Witness, Load::Amend { ticket, .. }) => match self.desk.has_mark(ticket, &errand.mark).await {
                Ok(true) => End::Done,
                Ok(false) => self.missed(&errand),
                Err(error) => self.unheard(&errand, &error),
            },
            (_, Load::Report { .. }) => return Ok(()),
        };
        let settlement = Settlement { id: errand.id, lease_no: errand.lease_no, at: self.clock.now(), end };
        let settled = self.ledger.settle(vec![settlement]).await?;
        if settled != [true] {
            tracing::warn!(errand = %errand.id, edge = self.edge, "the lease was gone when the call ended; its witnesses decide");
        }
        Ok(())
    }

    /// Asked immediately before the first byte, after every wait for a slot or a rate: a process that was stopped and
    /// woken may have lost its lease, and a breaker that opened meanwhile holds back the rest of its queue.
    fn may_send(&self) -> Result<(), String> {
        if self.clock.boot_ms() > self.good_until {
            return Err("its lease may have run out before it was sent; it is leased again".to_owned());
        }
        if self.breakers.is_open(self.edge) {
            return Err("another call gave an unclear answer; it goes when the desk answers again".to_owned());
        }
        Ok(())
    }

    /// A witness that could not be asked has seen nothing, and has not missed anything either.
    fn unheard(&self, errand: &Leased, error: &CallError) -> End {
        match error {
            CallError::Reject { code, reason } => End::Park { code: (*code).to_owned(), reason: reason.clone() },
            _ => End::Unheard { ask_at: self.clock.now().plus_ms(self.wait_ms(errand, None)) },
        }
    }

    async fn ended(&self, errand: &Leased, result: Result<Created, CallError>) -> LedgerResult<End> {
        match result {
            Ok(created) => {
                self.health.well(self.ledger, self.edge, Work::Tickets, self.clock.now()).await?;
                metrics::counter!("lastmile_tickets_total", "desk" => self.desk.info().name.clone()).increment(1);
                Ok(End::Filed(created))
            }
            Err(error) => self.fails(errand, &error).await,
        }
    }

    async fn ended_plain(&self, errand: &Leased, result: Result<(), CallError>) -> LedgerResult<End> {
        match result {
            Ok(()) => {
                self.health.well(self.ledger, self.edge, Work::Tickets, self.clock.now()).await?;
                Ok(End::Done)
            }
            Err(error) => self.fails(errand, &error).await,
        }
    }

    async fn fails(&self, errand: &Leased, error: &CallError) -> LedgerResult<End> {
        if let CallError::Retry { code: gate::HELD, reason, .. } = error {
            let (at, code, reason) = (self.clock.now(), gate::HELD.to_owned(), reason.clone());
            return Ok(End::Retry { at, code, reason, new_group: None });
        }
        self.health.failed(self.ledger, self.edge, Work::Tickets, error, self.clock.now()).await?;
        Ok(self.failed(errand, error))
    }

    fn failed(&self, errand: &Leased, error: &CallError) -> End {
        let now = self.clock.now();
        let (code, reason) = (error.code().to_owned(), error.reason().to_owned());
        metrics::counter!("lastmile_call_failures_total", "edge" => self.edge.to_owned(), "code" => error.code()).increment(1);
        match error {
            CallError::Retry { after, .. } => {
                let asked = after.and_then(|d| i64::try_from(d.as_millis()).ok());
                if matches!(*error, CallError::Retry { code: "E-CONNECT" | "E-AUTH" | "E-NOT-JSON", .. }) {
                    // The desk is away for all: the rest of its queue need not try one by one.
                    self.breakers.open(self.edge, now);
                }
                End::Retry { at: now.plus_ms(self.wait_ms(errand, asked)), code, reason, new_group: None }
            }
            CallError::Reject { code: "E-GROUP", .. } if errand.kind == ErrandKind::Create => {
                self.fall_back(errand, code, reason, now)
            }
            CallError::Reject { .. } => End::Park { code, reason },
            CallError::Unclear { .. } => {
                self.breakers.open(self.edge, now);
                let quiet_until = now.plus_ms(self.desk.info().quiet_ms());
                End::Unclear { ask_at: now.plus_ms(self.wait_ms(errand, None)), quiet_until, code, reason }
            }
        }
    }

    /// A group missing on the desk takes the fallback and raises an alarm.
    fn fall_back(&self, errand: &Leased, code: String, reason: String, now: Timestamp) -> End {
        let Load::Create { draft, .. } = &errand.load else { return End::Park { code, reason } };
        match self.setup.planner.fallback_group(&self.desk.info().name) {
            Some(group) if group != draft.admin_group => {
                tracing::warn!(
                    desk = self.desk.info().name,
                    group = draft.admin_group,
                    fallback = group,
                    "the desk does not know the group"
                );
                metrics::counter!("lastmile_group_fallbacks_total", "desk" => self.desk.info().name.clone()).increment(1);
                End::Retry { at: now, code, reason, new_group: Some(group) }
            }
            _ => End::Park { code, reason },
        }
    }

    /// Witness of an unclear create: is there a ticket with the key?
    async fn look_for(&self, errand: &Leased, key: &crate::model::Key) -> End {
        if self.desk.info().level == Level::D0 {
            return self.unsearchable(errand);
        }
        match self.desk.find(key).await {
            Ok(found) => match found.into_iter().min_by_key(|f| (f.updated_at, f.ticket.id.clone())) {
                Some(row) => End::Filed(Created { ticket: row.ticket, url: None, key_confirmed: true, group_missed: false }),
                None => self.missed(errand),
            },
            // Repeating is harmless there, so that no witness is needed.
            Err(CallError::Reject { .. }) if self.desk.info().level == Level::D3 => End::Clear,
            Err(error) => self.unheard(errand, &error),
        }
    }

    /// No search: the desk's own webhook may still tell during the quiet period, then the operator's choice decides.
    fn unsearchable(&self, errand: &Leased) -> End {
        let now = self.clock.now();
        if let Some(until) = errand.quiet_until.filter(|until| now < *until) {
            return End::Unheard { ask_at: until };
        }
        match self.desk.info().when_unclear {
            WhenUnclear::MaybeTwice => End::Clear,
            WhenUnclear::MaybeNever => End::Park {
                code: "E-UNSEARCHABLE".to_owned(),
                reason: "this desk cannot be searched: look there for the key and say what you found".to_owned(),
            },
        }
    }

    fn missed(&self, errand: &Leased) -> End {
        let now = self.clock.now();
        let quiet_over = errand.quiet_until.is_none_or(|until| now >= until);
        // Where repeating gives the same ticket, one look is enough.
        if self.desk.info().level == Level::D3 || (quiet_over && errand.misses + 1 >= MISSES) {
            return End::Clear;
        }
        let ask_at = now.plus_ms(self.wait_ms(errand, None));
        // The look that counts is the one after the quiet period.
        End::Miss {
            ask_at: if quiet_over { ask_at.min(now.plus_ms(1_000)) } else { ask_at.min(errand.quiet_until.unwrap_or(ask_at)) },
        }
    }

    fn wait_ms(&self, errand: &Leased, asked_ms: Option<i64>) -> i64 {
        let failures = errand.failures.max(errand.misses) + 1;
        self.setup.catalog.main.retry.schedule().wait_ms(failures, asked_ms, random::u64())
    }
}
