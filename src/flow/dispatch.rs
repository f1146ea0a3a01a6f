//! Dispatch: leases errands of a desk, makes the calls, settles how they ended. Orders that were just received are planned
//! and leased in one commit: one wait for the disk less before the call.

use std::future::Future;

use crate::desk::{Desk, Level, StatusAnswer, WhenUnclear};
use crate::http::{CallError, gate};
use crate::ledger::{End, LeaseRequest, Leased, Ledger, LedgerResult, Load, Settlement, Step, TakenUp};
use crate::model::errand::ErrandKind;
use crate::model::failpoint::{Point, reach};
use crate::model::ticket::{Amended, Category, Change, Created, TicketRef};
use crate::model::{Clock, Timestamp};

pub use super::pump::{Going, pump};
use super::room::{SetupId, Terms};
use super::{Breakers, Setup, Work, Worker, ask_ms, plan, sync, unheard, wait_ms};

/// Misses in a row before a quiet period may end: one look is not enough.
const MISSES: u32 = 2;

/// One round for one desk: plan, lease, call, settle. Returns how many errands it worked on.
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
    pump(ledger, setup, desk, worker, breakers, clock, None).await
}

pub(super) struct Calls<'a> {
    pub(super) ledger: &'a dyn Ledger,
    pub(super) setup: &'a Setup,
    pub(super) desk: &'a dyn Desk,
    pub(super) breakers: &'a Breakers,
    pub(super) worker: &'a Worker,
    pub(super) clock: &'a dyn Clock,
    pub(super) edge: &'a str,
    /// Whether the setup is still the one in force, and the desk worked for.
    pub(super) still: &'a (dyn Fn() -> bool + Sync),
}

impl Calls<'_> {
    /// Leases so many of what waits; where nothing does, and if wanted, plans and leases what was received, the latter first
    /// where it has just arrived. Says until when by the boot-time clock a call may begin (later, the lease could run out during
    /// it), and whether there may be more.
    pub(super) async fn lease(&self, limit: usize, take_up: bool, arrived: bool) -> LedgerResult<(TakenUp, i64, bool)> {
        if self.worker.pauses.left_ms(self.edge, self.clock).is_some() {
            return Ok((TakenUp::default(), 0, false));
        }
        if self.breakers.probe_due(self.edge, self.clock)
            && self.worker.pauses.of_desk(self.desk, self.clock, self.desk.probe()).await.is_ok()
        {
            self.breakers.close(self.edge);
        }
        reach(Point::DispatchStarts).await;
        let take_up = take_up && !self.held_back();
        if take_up
            && arrived
            && let Some(taken) = self.take_up(limit, self.clock.now()).await?
        {
            return Ok(taken);
        }
        let until = self.good_until();
        let leased = self.ledger.lease(self.request(limit)).await?;
        if !leased.is_empty() {
            reach(Point::DispatchLeased).await;
            return Ok((TakenUp { leased, ..TakenUp::default() }, until, true));
        }
        // Most rounds find nothing: a reader looks, and the writer is left alone.
        let now = self.clock.now();
        let may_plan = take_up && !arrived && !self.ledger.to_plan(now, 1).await?.is_empty();
        let taken = if may_plan { self.take_up(limit, now).await? } else { None };
        Ok(taken.unwrap_or((TakenUp::default(), until, false)))
    }

    /// Plans what was received, and leases it in the same commit, by rank with what waits. `None`: there is nothing.
    async fn take_up(&self, limit: usize, now: Timestamp) -> LedgerResult<Option<(TakenUp, i64, bool)>> {
        let _turn = self.worker.planning.turn().await;
        if !(self.still)() {
            return Ok(None);
        }
        let until = self.good_until();
        let taken = self.ledger.take_up(plan::rules(self.setup, now), self.request(limit)).await?;
        reach(Point::PlanRecorded).await;
        if taken.planned == 0 && taken.leased.is_empty() {
            return Ok(None);
        }
        if !taken.leased.is_empty() {
            reach(Point::DispatchLeased).await;
        }
        let more = taken.planned >= limit || taken.leased.len() >= limit;
        Ok(Some((taken, until, more)))
    }

    pub(super) fn terms(&self) -> Terms {
        Terms {
            owner: self.worker.owner.clone(),
            lease_ms: self.lease_ms(),
            timeout_ms: self.desk.info().timeout_ms,
            setup: SetupId::of(self.setup),
        }
    }

    fn request(&self, limit: usize) -> LeaseRequest {
        LeaseRequest {
            edge: self.edge.to_owned(),
            owner: self.worker.owner.clone(),
            now: self.clock.now(),
            lease_ms: self.lease_ms(),
            quiet_ms: self.desk.info().quiet_ms(),
            limit,
            witnesses_only: self.breakers.is_open(self.edge),
        }
    }

    fn lease_ms(&self) -> i64 {
        self.setup.catalog.main.work.lease.ms().max(self.desk.info().timeout_ms + 15_000)
    }

    fn good_until(&self) -> i64 {
        self.clock.boot_ms() + self.lease_ms() - self.desk.info().timeout_ms
    }

    /// The desk is not sent anything now.
    pub(super) fn held_back(&self) -> bool {
        self.breakers.is_open(self.edge) || self.worker.pauses.left_ms(self.edge, self.clock).is_some()
    }

    pub(super) async fn carry_out(&self, errand: Leased, good_until: i64) -> LedgerResult<()> {
        // As of before the question: a quiet period that ends while a witness answers was not over when it looked.
        let quiet_left_ms = self.worker.quiets.left_ms(&errand, self.clock);
        let end = match (errand.step, &errand.load) {
            (Step::Send, Load::Create { draft, .. }) => {
                let result = self.sent(&errand, good_until, self.desk.create(draft)).await;
                self.ended(&errand, result).await?
            }
            (Step::Witness, Load::Create { draft, .. }) => self.look_for(&errand, &draft.key, quiet_left_ms).await,
            (Step::Send, Load::Amend { ticket, change, double, .. }) => {
                match self.sent(&errand, good_until, self.amend(ticket, change, *double)).await {
                    Ok(None) => End::Kept,
                    Ok(Some(amended)) => self.ended_plain(&errand, Ok(amended)).await?,
                    Err(error) => self.ended_plain(&errand, Err(error)).await?,
                }
            }
            // No mark shows whether a text was replaced; doing it again is harmless.
            (Step::Witness, Load::Amend { change: Change::Text { .. }, .. }) => End::Clear,
            (Step::Witness, Load::Amend { ticket, .. }) => {
                match self.kept(&errand, self.desk.has_mark(ticket, &errand.mark)).await {
                    Ok(true) => End::Done,
                    Ok(false) => self.missed(&errand, quiet_left_ms),
                    Err(error) => self.unheard(&errand, &error),
                }
            }
            (_, Load::Report { .. } | Load::Progress { .. }) => return Ok(()),
        };
        self.worker.quiets.ended(errand.id, &end, self.clock);
        let settlement = Settlement { id: errand.id, lease_no: errand.lease_no, at: self.clock.now(), end };
        reach(Point::DispatchSettles).await;
        let settled = self.ledger.settle(vec![settlement]).await?;
        reach(Point::DispatchSettled).await;
        if settled != [true] {
            tracing::warn!(errand = %errand.id, edge = self.edge, "the lease was gone when the call ended; its witnesses decide");
        }
        Ok(())
    }

    /// A double was untouched when the sweeper saw it: it looks once more, immediately before closing. `None`: somebody has
    /// taken it meanwhile. One that is closed or gone by now is the call's own affair.
    async fn amend(&self, ticket: &TicketRef, change: &Change, double: bool) -> Result<Option<Amended>, CallError> {
        if double {
            let answers = self.desk.status(std::slice::from_ref(ticket)).await.map_err(CallError::of_a_read)?;
            if let Some(StatusAnswer::Known(status)) = answers.into_iter().next()
                && !matches!(status.category, Category::Closed | Category::Gone)
                && !sync::is_untouched_ours(self.desk, &status).await
            {
                return Ok(None);
            }
        }
        self.desk.amend(ticket, change).await.map(Some)
    }

    /// A call: "slow down" is said to all of us, so that the desk's whole queue waits.
    async fn kept<F: Future>(&self, errand: &Leased, call: F) -> F::Output {
        let otherwise = wait_ms(self.setup, errand, None);
        self.worker.pauses.kept(self.edge, otherwise, self.clock, call).await
    }

    /// A call that changes something on the desk.
    async fn sent<F: Future>(&self, errand: &Leased, good_until: i64, call: F) -> F::Output {
        self.kept(errand, gate::watched(|| self.may_send(good_until), |_| (), call)).await
    }

    /// Asked immediately before the first byte, after every wait for a slot or a rate: a process that was stopped and
    /// woken may have lost its lease, and a breaker that opened meanwhile holds back the rest of its queue.
    fn may_send(&self, good_until: i64) -> Result<(), CallError> {
        if self.clock.boot_ms() > good_until {
            return Err(gate::held("its lease may have run out before it was sent; it is leased again"));
        }
        if self.breakers.is_open(self.edge) {
            return Err(gate::held("another call gave an unclear answer; it goes when the desk answers again"));
        }
        Ok(())
    }

    fn unheard(&self, errand: &Leased, error: &CallError) -> End {
        unheard(self.setup, errand, error, self.desk.info().quiet_ms(), self.clock.now())
    }

    async fn ended(&self, errand: &Leased, result: Result<Created, CallError>) -> LedgerResult<End> {
        match result {
            Ok(created) => {
                self.worker.health.well(self.ledger, self.edge, Work::Tickets, self.clock.now()).await?;
                metrics::counter!("lastmile_tickets_total", "desk" => self.desk.info().name.clone()).increment(1);
                Ok(End::Filed(created))
            }
            Err(error) => self.fails(errand, &error).await,
        }
    }

    async fn ended_plain(&self, errand: &Leased, result: Result<Amended, CallError>) -> LedgerResult<End> {
        match result {
            Ok(amended) => {
                self.worker.health.well(self.ledger, self.edge, Work::Tickets, self.clock.now()).await?;
                Ok(match amended {
                    Amended::Done => End::Done,
                    Amended::WasClosed => End::WasClosed,
                })
            }
            // A text that the desk keeps is no trouble: the comment says what changed.
            Err(CallError::Reject { code, reason }) if errand.kind == ErrandKind::Amend => {
                Ok(End::Park { code: code.to_owned(), reason })
            }
            Err(error) => self.fails(errand, &error).await,
        }
    }

    async fn fails(&self, errand: &Leased, error: &CallError) -> LedgerResult<End> {
        if let CallError::Retry { code: gate::HELD, reason, .. } = error {
            return Ok(End::Held { reason: reason.clone() });
        }
        self.worker.health.failed(self.ledger, self.edge, Work::Tickets, error, self.clock.now()).await?;
        Ok(self.failed(errand, error))
    }

    fn failed(&self, errand: &Leased, error: &CallError) -> End {
        let now = self.clock.now();
        let (code, reason) = (error.code().to_owned(), error.reason().to_owned());
        metrics::counter!("lastmile_call_failures_total", "edge" => self.edge.to_owned(), "code" => error.code()).increment(1);
        match error {
            CallError::Retry { .. } => {
                if matches!(*error, CallError::Retry { code: "E-CONNECT" | "E-AUTH" | "E-NOT-JSON", .. }) {
                    // The desk is away for all: the rest of its queue need not try one by one.
                    self.breakers.open(self.edge, self.clock);
                }
                End::Retry { at: now.plus_ms(wait_ms(self.setup, errand, error.asked_ms())), code, reason, new_group: None }
            }
            CallError::Reject { code: "E-GROUP", .. } if errand.kind == ErrandKind::Create => {
                self.fall_back(errand, code, reason, now)
            }
            CallError::Reject { .. } => End::Park { code, reason },
            CallError::Unclear { .. } => {
                self.breakers.open(self.edge, self.clock);
                let quiet_ms = self.desk.info().quiet_ms();
                let ask_at = now.plus_ms(ask_ms(self.setup, errand, quiet_ms));
                End::Unclear { ask_at, quiet_until: now.plus_ms(quiet_ms), code, reason }
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
    async fn look_for(&self, errand: &Leased, key: &crate::model::Key, quiet_left_ms: i64) -> End {
        if self.desk.info().level == Level::D0 {
            return self.unsearchable(quiet_left_ms);
        }
        match self.kept(errand, self.desk.find(key)).await {
            Ok(found) => match found.into_iter().min_by_key(|f| (f.updated_at, f.ticket.id.clone())) {
                Some(row) => End::Filed(Created { ticket: row.ticket, url: None, key_confirmed: true, group_missed: false }),
                None => self.missed(errand, quiet_left_ms),
            },
            // Repeating is harmless there, so that no witness is needed.
            Err(CallError::Reject { .. }) if self.desk.info().level == Level::D3 => End::Clear,
            Err(error) => self.unheard(errand, &error),
        }
    }

    /// No search: the desk's own webhook may still tell during the quiet period, then the operator's choice decides.
    fn unsearchable(&self, quiet_left_ms: i64) -> End {
        if quiet_left_ms > 0 {
            return End::Unheard { ask_at: self.clock.now().plus_ms(quiet_left_ms) };
        }
        match self.desk.info().when_unclear {
            WhenUnclear::MaybeTwice => End::Clear,
            WhenUnclear::MaybeNever => End::Park {
                code: "E-UNSEARCHABLE".to_owned(),
                reason: "this desk cannot be searched: look there for the key and say what you found".to_owned(),
            },
        }
    }

    fn missed(&self, errand: &Leased, quiet_left_ms: i64) -> End {
        let (now, quiet_over) = (self.clock.now(), quiet_left_ms == 0);
        // Where repeating gives the same ticket, one look is enough; a comment that is repeated stands there twice.
        let harmless = self.desk.info().level == Level::D3 && errand.kind == ErrandKind::Create;
        if harmless || (quiet_over && errand.misses + 1 >= MISSES) {
            return End::Clear;
        }
        let ask_at = now.plus_ms(wait_ms(self.setup, errand, None));
        // The look that counts is the one after the quiet period.
        End::Miss { ask_at: ask_at.min(now.plus_ms(if quiet_over { 1_000 } else { quiet_left_ms })) }
    }
}
