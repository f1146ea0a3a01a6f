//! Settling: how a leased step ended, written only while the lease is still its own.

use std::collections::{HashMap, HashSet};

use crate::ledger::engine::{Arg, Conn, Rows, query, query_as};
use serde_json::{Value, json};

use super::super::{End, LedgerError, LedgerResult, Settlement};
use super::journal::{Heads, JournalLine, Move, insert_lines};
use super::progress::{OUTCOME_DUE, Taken, step_of};
use super::record::after_report;
use super::{Shared, document, rows};
use crate::http::gate::HELD;
use crate::model::progress;
use crate::model::ticket::{Created, Draft, TicketRef};
use crate::model::{Outcome, State, Timestamp};

use ends::{Attempt, Ended, Filed};
use row::Row;

pub(in crate::ledger) mod after;
mod ends;
mod row;

/// The desk says it made a ticket that is another order's already.
const E_TAKEN: &str = "E-TAKEN";

/// Of most kinds there are none, which costs nothing in one text. What is rare is no rows but a document: there would be as many
/// texts again for having some.
pub(in crate::ledger) const WRITE: &str = concat!(
    insert_lines!("$5*2"),
    "WITH j (id, is_now, seq, head, filed, reported) AS ( ROWS $6 (int, text, int, text, int, int))
     UPDATE assignment SET state = j.is_now, chain_seq = j.seq, chain_head = j.head, filed_at = COALESCE(j.filed, filed_at),
        reported_at = COALESCE(j.reported, reported_at)
     FROM j WHERE assignment.id = j.id;
     WITH j (id, is_now, due, done, quiet, failed, missed, cleared, why, words)
        AS ( ROWS $1 (int, text, int, int, int, int, int, int, text, text))
     UPDATE errand SET state = j.is_now, due_at = j.due, done_at = j.done, quiet_until = COALESCE(j.quiet, quiet_until),
        failures = failures + j.failed, misses = CASE WHEN j.cleared = 0 THEN misses + j.missed ELSE 0 END,
        code = COALESCE(j.why, code), reason = COALESCE(j.words, reason), lease_until = NULL
     FROM j WHERE errand.id = j.id;
     WITH j (whose, lease, at, said, why, words) AS ( ROWS $2 (int, int, int, text, text, text))
     UPDATE attempt SET ended_at = j.at, verdict = j.said, code = j.why, reason = j.words
     FROM j WHERE attempt.errand_id = j.whose AND attempt.lease_no = j.lease;
     WITH j (id, ref, number, link, at, confirmed, opens, another) AS ( ROWS $3 (int, text, text, text, int, int, int, int))
     UPDATE ticket SET state = CASE WHEN j.opens = 1 THEN 'open' ELSE state END,
        category = CASE WHEN j.opens = 1 THEN COALESCE(category, 'open') ELSE category END,
        ref_id = j.ref, ref_number = j.number, url = COALESCE(j.link, url), filed_at = j.at,
        key_confirmed = MAX(key_confirmed, j.confirmed), risky = MAX(risky, j.another), checked_at = 0
     FROM j WHERE ticket.id = j.id;
     UPDATE ticket SET state = j.value->>1, risky = MAX(risky, CAST(j.value->>2 AS BIGINT))
     FROM json_each($4) AS j WHERE ticket.id = CAST(j.value->>0 AS BIGINT);
     UPDATE assignment SET filed_at = CAST(j.value->>1 AS BIGINT) FROM json_each($7) AS j, ticket_item AS ti
     WHERE ti.ticket_id = CAST(j.value->>0 AS BIGINT) AND assignment.id = ti.assignment_id",
);

/// Everything one batch of settlements will write.
#[derive(Default)]
struct Writes {
    errands: Vec<Ended>,
    attempts: Vec<Attempt>,
    moves: Vec<Move>,
    filed: Vec<Filed>,
    /// Tickets filed while their order was taken back or changed: (ticket, assignment, at).
    followed: Vec<(i64, i64, Timestamp)>,
    /// Tickets that the desk does not have, as far as is known: (ticket, state, 1 where there may be one all the same).
    tickets: Vec<(i64, &'static str, i64)>,
    parked: Vec<Value>,
    /// Since when orders are filed, and since when they are reported.
    filed_at: HashMap<i64, Timestamp>,
    reported_at: HashMap<i64, Timestamp>,
    /// Tickets filed that are about other orders, too.
    with_others: Vec<(i64, Timestamp)>,
    /// Steps that platforms may want to know of.
    steps: Vec<Taken>,
    regrouped: Vec<(i64, String)>,
    /// Assignments that end without a ticket.
    ended: Vec<(i64, Timestamp)>,
    /// Doubles that are closed now: ticket rows.
    undoubled: Vec<(i64, Timestamp)>,
    /// Doubles that somebody took before they were closed: ticket rows.
    kept: Vec<i64>,
    /// Closings that the desk does not allow: (errand, ticket, assignment, at).
    refused_closings: Vec<(i64, i64, i64, Timestamp)>,
}

/// Settles; `false` where the lease was no longer the caller's, or has been settled: what is written again because its commit
/// was in doubt counts once.
pub(in crate::ledger) async fn settle(tx: &mut Conn, shared: &Shared, ends: &[&Settlement]) -> LedgerResult<Vec<bool>> {
    let ids: Vec<i64> = ends.iter().map(|e| e.id.0).collect();
    let filed: Vec<(i64, &str)> = ends.iter().filter_map(|e| Some((e.id.0, ref_of(&e.end)?))).collect();
    let (found, taken): (String, String) = query_as(
        "SELECT json_group_array(json_object('id', e.id, 'kind', e.kind, 'edge', e.edge, 'state', e.state, 'lease_no', e.lease_no,
                'ticket_id', e.ticket_id, 'assignment_id', e.assignment_id, 'ref_id', t.ref_id, 'ref_number', t.ref_number,
                'shape', t.shape, 'life', a.state, 'outcome', a.outcome, 'withdrawn_at', a.withdrawn_at,
                'others', CASE WHEN EXISTS (SELECT 1 FROM ticket_item AS o WHERE o.ticket_id = e.ticket_id
                    AND o.assignment_id IS DISTINCT FROM e.assignment_id) THEN 1 ELSE 0 END,
                'late', CASE WHEN a.withdrawn_at IS NOT NULL OR a.revision > ti.revision THEN 1 ELSE 0 END,
                'chain_seq', a.chain_seq, 'chain_head', a.chain_head,
                'broke_off', CASE WHEN e.quiet_until IS NULL THEN 0 ELSE 1 END,
                'told', CASE WHEN e.kind = 'comment' AND e.ticket_id IS NULL THEN e.body END,
                'seen', CASE WHEN e.kind = 'report' THEN (SELECT s.happened_at || ' ' || s.whose_clock
                    FROM journal AS s WHERE s.assignment_id = e.assignment_id AND s.event = 'seen' AND NOT EXISTS (SELECT 1
                    FROM journal AS r WHERE r.assignment_id = s.assignment_id AND r.event = 'reopened' AND r.seq > s.seq)
                    ORDER BY s.seq DESC LIMIT 1) END,
                 'overtaken', CASE WHEN e.kind = 'report' AND EXISTS (SELECT 1 FROM errand AS n
                     WHERE n.assignment_id = e.assignment_id AND n.kind = 'report' AND n.id > e.id) THEN 1 ELSE 0 END)),
                (SELECT json_group_array(fe.id) FILTER (WHERE EXISTS (SELECT 1 FROM ticket AS o
                        WHERE o.desk = ft.desk AND o.ref_id = f.value->>1 AND o.id <> ft.id))
                 FROM json_each($2) AS f CROSS JOIN errand AS fe CROSS JOIN ticket AS ft
                 WHERE fe.id = CAST(f.value->>0 AS BIGINT) AND ft.id = fe.ticket_id)
         FROM errand AS e LEFT JOIN ticket AS t ON t.id = e.ticket_id LEFT JOIN assignment AS a ON a.id = e.assignment_id
              LEFT JOIN ticket_item AS ti ON ti.ticket_id = e.ticket_id AND ti.assignment_id = e.assignment_id
         WHERE e.id IN (SELECT CAST(value AS BIGINT) FROM json_each($1)) AND e.lease_until IS NOT NULL",
    )
    .bind(rows(&ids)?)
    .bind(rows(&filed)?)
    .fetch_one(&mut *tx)
    .await?;
    let (found, taken): (Vec<Row>, HashSet<i64>) = (document(&found)?, document(&taken)?);
    let mut named = HashSet::new();
    let heads = Heads::of(found.iter().filter_map(Row::head))?;
    let mut held: HashMap<i64, Row> = found.into_iter().map(|r| (r.id, r)).collect();
    let mut writes = Writes::default();
    let mut results = Vec::with_capacity(ends.len());
    for end in ends {
        let row = held
            .get(&end.id.0)
            .filter(|r| r.lease_no == end.lease_no && matches!(r.state.as_str(), "sending" | "unclear"))
            .cloned();
        let Some(row) = row else {
            results.push(false);
            continue;
        };
        // One settlement per lease: a second one in the same batch is void.
        held.remove(&end.id.0);
        let again = ref_of(&end.end).is_some_and(|id| !named.insert((row.edge.clone(), id)));
        if again || taken.contains(&row.id) {
            writes.taken(&row, end);
        } else {
            writes.add(&row, end)?;
        }
        results.push(true);
    }
    writes.write(tx, shared, heads).await?;
    Ok(results)
}

/// The desk's id of the ticket that a create made.
fn ref_of(end: &End) -> Option<&str> {
    match end {
        End::Filed(created) => Some(&created.ticket.id),
        _ => None,
    }
}

impl Writes {
    /// A desk that gives one ticket for two orders, or a declaration that reads the id from a wrong place. There may be
    /// another ticket that carries the key, so that only its witnesses and a person can go on from here.
    fn taken(&mut self, row: &Row, end: &Settlement) {
        let (at, reason) = (end.at, "the desk answered with a ticket that is another order's already");
        self.attempts.push(Attempt {
            errand: row.id,
            lease: end.lease_no,
            at,
            verdict: "unclear",
            code: Some(E_TAKEN.to_owned()),
            reason: Some(reason.to_owned()),
        });
        self.errands.push(Ended::new(row.id, "parked", at).failed(E_TAKEN, reason));
        if let Some(ticket) = row.ticket_id {
            self.tickets.push((ticket, "unclear", 1));
        }
        let Some(assignment) = row.assignment_id else { return };
        self.moves.push(Move::ours(assignment, Some(State::Unclear), "parked", at).if_it_may().cause(E_TAKEN));
        self.parked.push(json!({"id": assignment, "at": at, "code": E_TAKEN, "reason": reason}));
    }

    fn add(&mut self, row: &Row, end: &Settlement) -> LedgerResult<()> {
        // The desk's own hook may have named the ticket already: then it is there, whatever the call's answer says.
        let witnessed = match (&end.end, &row.ref_id, &row.ref_number) {
            (End::Filed(_) | End::Done | End::WasClosed | End::Kept, ..) => None,
            (_, Some(id), Some(number)) if row.is_create() => Some(End::Filed(Created {
                ticket: TicketRef { id: id.clone(), number: number.clone() },
                url: None,
                key_confirmed: true,
                group_missed: false,
            })),
            _ => None,
        };
        let how = witnessed.as_ref().unwrap_or(&end.end);
        match how {
            _ if row.is_progress() => self.progress(row, how, end.at),
            End::Filed(created) => self.filed(row, created, end.at),
            End::Done => self.done(row, end.at),
            End::WasClosed if row.broke_off == 1 => self.done(row, end.at),
            End::WasClosed => self.was_closed(row, end.at),
            End::Kept => self.kept(row, end.at),
            End::Park { .. } if row.is_moot_create() && row.was_sent() => self.never_sent(row, end.at),
            End::Retry { .. } | End::Held { .. } | End::Clear if row.is_moot_create() => self.never_sent(row, end.at),
            End::Retry { .. } | End::Held { .. } | End::Park { .. } | End::Clear | End::Miss { .. } if row.is_untrue_report() => {
                self.untrue(row, end.at)
            }
            End::Retry { at, code, reason, new_group } => self.retry(row, end.at, *at, code, reason, new_group.as_deref()),
            End::Held { reason } => self.held(row, end.at, reason),
            End::Park { code, reason } => self.park(row, end.at, code, reason),
            End::Unclear { ask_at, quiet_until, code, reason } => self.unclear(row, end.at, *ask_at, *quiet_until, code, reason),
            End::Miss { ask_at } => self.errands.push(Ended::new(row.id, "unclear", *ask_at).missed()),
            End::Unheard { ask_at } => self.errands.push(Ended::new(row.id, "unclear", *ask_at)),
            End::Clear => self.clear(row, end.at),
        }
        let (verdict, code, reason) = match how {
            End::Filed(_) | End::Done | End::WasClosed | End::Kept => ("done", None, None),
            End::Retry { code, reason, .. } => ("retry", Some(code.as_str()), Some(reason)),
            End::Held { reason } => ("retry", Some(HELD), Some(reason)),
            End::Park { code, reason } => ("reject", Some(code.as_str()), Some(reason)),
            End::Unclear { code, reason, .. } => ("unclear", Some(code.as_str()), Some(reason)),
            End::Miss { .. } => ("miss", None, None),
            End::Unheard { .. } => ("unheard", None, None),
            End::Clear => ("clear", None, None),
        };
        self.attempts.push(Attempt {
            errand: row.id,
            lease: end.lease_no,
            at: end.at,
            verdict,
            code: code.map(str::to_owned),
            reason: reason.cloned(),
        });
        Ok(())
    }

    fn filed(&mut self, row: &Row, created: &Created, at: Timestamp) {
        self.errands.push(Ended::new(row.id, "done", at).done());
        let Some(ticket) = row.ticket_id else { return };
        // A witness may have named the ticket, and the desk may even have closed it, before the answer to our call.
        let under_way = [State::Due, State::Sending, State::Unclear].into_iter().any(|s| row.lives(s));
        let moved_on = !under_way && !row.has_ended();
        // Two tickets for one key: the sweeper shall look.
        let another = row.ref_id.as_ref().is_some_and(|id| *id != created.ticket.id);
        self.filed.push(Filed { id: ticket, created: created.clone(), at, open: !moved_on, another });
        if row.others == 1 {
            self.with_others.push((ticket, at));
        }
        let Some(assignment) = row.assignment_id else { return };
        self.filed_at.insert(assignment, at);
        let step = Move::ours(assignment, Some(State::Open), "filed", at)
            .if_it_may()
            .cause("the desk has the ticket")
            .detail(json!({"ticket": created.ticket.number, "found_by_key": row.state == "unclear"}));
        self.moves.push(step);
        if !moved_on {
            self.steps.push(Taken { assignment, step: progress::Step::Filed, at });
        }
        if row.late == Some(1) {
            self.followed.push((ticket, assignment, at));
        }
        if created.group_missed {
            self.mark(assignment, at, "E-GROUP", "the desk did not put the ticket with the admin group: assign it there by hand");
        }
    }

    fn done(&mut self, row: &Row, at: Timestamp) {
        self.errands.push(Ended::new(row.id, "done", at).done());
        let Some(assignment) = row.assignment_id else { return };
        if row.kind == "report" && (row.overtaken == 1 || !(row.lives(State::Closed) || row.lives(State::Superseded))) {
            // Opened again (or ordered anew) while the call was under way: another report follows its next closing.
            let again = (row.lives(State::Reported) || row.lives(State::Proven)) && row.overtaken == 0;
            let cause = if again { "the platform was told again" } else { "the platform has the outcome of an earlier closing" };
            self.moves.push(Move::ours(assignment, None, "reported", at).cause(cause));
        } else if row.kind == "report" {
            self.moves.push(Move::ours(assignment, Some(State::Reported), "reported", at).cause("the platform has the outcome"));
            self.reported_at.insert(assignment, at);
            let seen = row.seen.as_deref().and_then(|seen| seen.split_once(' '));
            let seen = seen.and_then(|(at, whose)| Some((at.parse().ok()?, whose)));
            self.moves.extend(after_report(assignment, seen, row.outcome.as_deref(), at));
        } else {
            if let Some(ticket) = row.ticket_id.filter(|_| row.shape.as_deref() == Some("double")) {
                self.undoubled.push((ticket, at));
            }
            self.moves.push(Move::ours(assignment, None, "told", at).cause(format!("{} reached the ticket", row.kind)));
        }
    }

    /// Nothing was sent: an admin had closed the ticket. The errand is dropped, so that it does not look as if the closing
    /// were ours.
    fn was_closed(&mut self, row: &Row, at: Timestamp) {
        self.errands.push(Ended::new(row.id, "dropped", at).done().because(None, Some("it was closed already")));
        if let Some(ticket) = row.ticket_id.filter(|_| row.shape.as_deref() == Some("double")) {
            self.undoubled.push((ticket, at));
        }
        let Some(assignment) = row.assignment_id else { return };
        let cause = "the ticket was closed on the desk before we closed it: its closer's word stands";
        self.moves.push(Move::ours(assignment, None, "was_closed", at).cause(cause));
    }

    fn kept(&mut self, row: &Row, at: Timestamp) {
        self.errands.push(Ended::new(row.id, "dropped", at).done().because(None, Some(after::TOUCHED)));
        self.kept.extend(row.ticket_id);
        let Some(assignment) = row.assignment_id else { return };
        self.moves.push(Move::ours(assignment, None, "double_kept", at).cause(after::TOUCHED));
    }

    /// A step that could not be told is told again, unless its outcome is due by now; one that is refused is let go.
    fn progress(&mut self, row: &Row, how: &End, at: Timestamp) {
        let step = row.told.as_deref().and_then(step_of).map_or("a step", progress::Step::human);
        let (event, cause, code) = match how {
            End::Retry { at: again, code, reason, .. } if row.outcome.is_none() => {
                self.errands.push(Ended::new(row.id, "ready", *again).failed(code, reason));
                return;
            }
            End::Held { reason } if row.outcome.is_none() => return self.held(row, at, reason),
            End::Filed(_) | End::Done | End::WasClosed => ("progress", format!("the platform was told: {step}"), None),
            End::Park { code, reason } => {
                ("progress_refused", format!("the platform does not take it: {step}"), Some((code, reason)))
            }
            _ => ("progress_dropped", OUTCOME_DUE.to_owned(), None),
        };
        let state = if event == "progress" { "done" } else { "dropped" };
        self.errands.push(
            Ended::new(row.id, state, at)
                .done()
                .because(code.map(|(code, _)| code.as_str()), code.map(|(_, reason)| reason.as_str())),
        );
        if let Some(assignment) = row.assignment_id {
            self.moves.push(Move::ours(assignment, None, event, at).cause(cause));
        }
    }

    fn retry(&mut self, row: &Row, now: Timestamp, at: Timestamp, code: &str, reason: &str, new_group: Option<&str>) {
        self.errands.push(Ended::new(row.id, "ready", at).failed(code, reason));
        let Some(ticket) = row.ticket_id.filter(|_| row.kind == "create") else { return };
        self.tickets.push((ticket, "drafted", 0));
        if let Some(group) = new_group {
            self.regrouped.push((ticket, group.to_owned()));
        }
        if let Some(assignment) = row.assignment_id {
            let mut detail = json!({"code": code, "again_at": at});
            if let Some(group) = new_group {
                detail["admin_group"] = json!(group);
            }
            // What a desk answers may name a person: the journal, which is kept for ever, holds the code alone.
            self.moves.push(Move::ours(assignment, Some(State::Due), "retry", now).if_it_may().cause(code).detail(detail));
        }
    }

    /// As a retry, but nothing failed: a wait that grows with failures does not grow because others had some.
    fn held(&mut self, row: &Row, at: Timestamp, reason: &str) {
        self.errands.push(Ended::new(row.id, "ready", at).because(Some(HELD), Some(reason)));
        if let Some(ticket) = row.ticket_id.filter(|_| row.is_create()) {
            self.tickets.push((ticket, "drafted", 0));
            if let Some(assignment) = row.assignment_id {
                self.moves.push(Move::ours(assignment, Some(State::Due), "retry", at).if_it_may().cause(HELD));
            }
        }
    }

    /// The order was taken back while its create was on its way, and it is certain that nothing came of it.
    fn never_sent(&mut self, row: &Row, at: Timestamp) {
        self.errands.push(Ended::new(row.id, "dropped", at).done());
        if let Some(ticket) = row.ticket_id {
            self.tickets.push((ticket, "dropped", 0));
        }
        let Some(assignment) = row.assignment_id else { return };
        if row.has_ended() {
            let cause = "the order had ended, and no ticket had been made";
            self.moves.push(Move::ours(assignment, None, "dropped", at).cause(cause));
            return;
        }
        let cause = "it was taken back, and no ticket had been made";
        self.moves.push(Move::ours(assignment, Some(State::Closed), "closed", at).cause(cause));
        self.ended.push((assignment, at));
    }

    fn untrue(&mut self, row: &Row, at: Timestamp) {
        self.errands.push(Ended::new(row.id, "dropped", at).done());
        if let Some(assignment) = row.assignment_id {
            let cause = "the report had not arrived when the ticket was opened again";
            self.moves.push(Move::ours(assignment, None, "dropped", at).cause(cause));
        }
    }

    fn park(&mut self, row: &Row, at: Timestamp, code: &str, reason: &str) {
        let closing = row.kind == "close" && row.shape.as_deref() != Some("double");
        if let (true, Some(ticket), Some(assignment)) = (closing, row.ticket_id, row.assignment_id) {
            self.errands.push(Ended::new(row.id, "dropped", at).because(Some(code), Some(reason)));
            let cause = "the desk does not let us close the ticket; its admins are told instead";
            self.moves.push(Move::ours(assignment, None, "close_refused", at).cause(cause).detail(json!({"code": code})));
            self.refused_closings.push((row.id, ticket, assignment, at));
            return;
        }
        if row.kind == "amend" {
            self.errands.push(Ended::new(row.id, "dropped", at).done().because(Some(code), Some(reason)));
            let Some(assignment) = row.assignment_id else { return };
            let cause = "the desk keeps the ticket's first text; the comment says what changed";
            self.moves.push(Move::ours(assignment, None, "text_kept", at).cause(cause).detail(json!({"code": code})));
            return;
        }
        self.errands.push(Ended::new(row.id, "parked", at).failed(code, reason));
        let Some(assignment) = row.assignment_id else { return };
        let back = (row.kind == "create" && row.state == "sending").then_some(State::Due);
        if let Some(ticket) = row.ticket_id.filter(|_| back.is_some()) {
            self.tickets.push((ticket, "drafted", 0));
        }
        self.moves.push(Move::ours(assignment, back, "parked", at).if_it_may().cause(code).detail(json!({"errand": row.kind})));
        self.parked.push(json!({"id": assignment, "at": at, "code": code, "reason": reason}));
    }

    fn mark(&mut self, assignment: i64, at: Timestamp, code: &str, reason: &str) {
        self.moves.push(Move::ours(assignment, None, "parked", at).cause(format!("{code}: {reason}")));
        self.parked.push(json!({"id": assignment, "at": at, "code": code, "reason": reason}));
    }

    fn unclear(&mut self, row: &Row, at: Timestamp, ask_at: Timestamp, quiet_until: Timestamp, code: &str, reason: &str) {
        self.errands.push(Ended::new(row.id, "unclear", ask_at).quiet_until(quiet_until).failed(code, reason));
        let Some(ticket) = row.ticket_id.filter(|_| row.kind == "create") else { return };
        self.tickets.push((ticket, "unclear", 1));
        if let Some(assignment) = row.assignment_id.filter(|_| row.state == "sending") {
            let detail = json!({"code": code, "quiet_until": quiet_until});
            self.moves.push(Move::ours(assignment, Some(State::Unclear), "unclear", at).if_it_may().cause(code).detail(detail));
        }
    }

    fn clear(&mut self, row: &Row, at: Timestamp) {
        self.errands.push(Ended::new(row.id, "ready", at).found_nothing());
        let Some(ticket) = row.ticket_id.filter(|_| row.kind == "create") else { return };
        self.tickets.push((ticket, "drafted", 1));
        if let Some(assignment) = row.assignment_id {
            let cause = "the quiet period is over and no ticket carries the key: it is sent again";
            self.moves.push(Move::ours(assignment, Some(State::Due), "cleared", at).if_it_may().cause(cause));
        }
    }

    async fn write(self, tx: &mut Conn, shared: &Shared, heads: Heads) -> LedgerResult<()> {
        let Some(now) = self.attempts.first().map(|attempt| attempt.at) else { return Ok(()) };
        self.write_rows(tx, heads, now).await?;
        for (ticket, group) in &self.regrouped {
            regroup(tx, *ticket, group).await?;
        }
        park(tx, &self.parked).await?;
        for (assignment, at) in &self.ended {
            after::close_without_ticket(tx, shared, *assignment, Outcome::Cancelled, *at).await?;
        }
        for (ticket, at) in &self.undoubled {
            after::undouble(tx, *ticket, *at).await?;
        }
        for ticket in &self.kept {
            after::keep_double(tx, *ticket).await?;
        }
        for (errand, ticket, assignment, at) in &self.refused_closings {
            after::say_instead(tx, shared, *errand, (*ticket, *assignment), *at).await?;
        }
        after::follow(tx, shared, &self.followed).await?;
        super::progress::owe(tx, shared, &self.steps, now).await
    }

    async fn write_rows(&self, tx: &mut Conn, mut heads: Heads, now: Timestamp) -> LedgerResult<()> {
        let (lines, moved) = heads.lines(&self.moves, now)?;
        let end = |id: i64| -> Option<[Arg; 6]> {
            let (state, seq, head) = heads.end(id)?;
            let at = |of: &HashMap<i64, Timestamp>| of.get(&id).map(|at| at.0).into();
            Some([id.into(), state.as_str().into(), seq.into(), head.into(), at(&self.filed_at), at(&self.reported_at)])
        };
        self.errands.iter().filter_map(Ended::due).for_each(|due| tx.falls_due(due));
        query(WRITE)
            .bind(self.errands.iter().map(Ended::row).collect::<Rows>())
            .bind(self.attempts.iter().map(Attempt::row).collect::<Rows>())
            .bind(self.filed.iter().map(Filed::row).collect::<Rows>())
            .bind(rows(&self.tickets)?)
            .bind(lines.into_iter().map(JournalLine::row).collect::<Rows>())
            .bind(moved.into_iter().filter_map(end).collect::<Rows>())
            .bind(rows(&self.with_others)?)
            .execute_later(tx)
            .await?;
        Ok(())
    }
}

/// The draft goes to another group next time.
async fn regroup(tx: &mut Conn, ticket: i64, group: &str) -> LedgerResult<()> {
    let mut draft = draft(tx, ticket).await?.ok_or_else(|| LedgerError::Corrupt("a draft is gone".to_owned()))?;
    group.clone_into(&mut draft.admin_group);
    let text = serde_json::to_string(&draft).map_err(|e| LedgerError::Corrupt(e.to_string()))?;
    query(
        "UPDATE ticket_draft SET draft = $2 WHERE id = $1;
         UPDATE ticket SET route = route || '; the desk does not know that group: fallback' WHERE id = $1",
    )
    .bind(ticket)
    .bind(text)
    .execute(tx)
    .await?;
    Ok(())
}

/// What a ticket was made of, until it is erased.
async fn draft(tx: &mut Conn, ticket: i64) -> LedgerResult<Option<Draft>> {
    let text: Option<(String,)> =
        query_as("SELECT draft FROM ticket_draft WHERE id = $1").bind(ticket).fetch_optional(tx).await?;
    text.map(|(text,)| document(&text)).transpose()
}

/// Marks assignments as needing a person.
pub(in crate::ledger) async fn park(tx: &mut Conn, parked: &[Value]) -> LedgerResult<()> {
    if parked.is_empty() {
        return Ok(());
    }
    query(
        "UPDATE assignment SET parked_at = CAST(j.value->>'at' AS BIGINT), parked_code = j.value->>'code', parked_reason = j.value->>'reason'
         FROM json_each($1) AS j WHERE assignment.id = CAST(j.value->>'id' AS BIGINT)",
    )
    .bind(rows(parked)?)
    .execute(tx)
    .await?;
    Ok(())
}
