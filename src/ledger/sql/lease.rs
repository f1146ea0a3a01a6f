//! Leasing: lease number and attempt are on disk before anything is sent.

mod due;

use crate::ledger::engine::{Conn, Pool, Target, query, query_as};
use serde_json::{Value, json};

use super::super::{LeaseRequest, Leased, LedgerError, LedgerResult, Load, Step, compare};
use super::front::{Front, Known};
use super::journal::{self, Head, Heads, Move, write_moves};
use super::settle::park;
use super::{document, progress, rows};
use crate::model::completion::Completion;
use crate::model::errand::ErrandKind;
use crate::model::ticket::{Draft, TicketRef};
use crate::model::{Assignment, Id, Operation, Outcome, Person, State, Timestamp};

pub(in crate::ledger) use due::{Due, due};
pub(super) use due::{abandoned, among, listed, ready, unclear, waits};

/// Leases witnesses first, then what is ready, by rank.
pub(in crate::ledger) async fn lease(
    tx: &mut Conn,
    request: &LeaseRequest,
    front: &Front,
    due: Due,
) -> LedgerResult<Vec<Leased>> {
    let abandoned =
        due.abandoned && expire(tx, &request.edge, &front.others, request.now, request.quiet_ms, request.now).await? > 0;
    let limit = i64::try_from(request.limit).unwrap_or(i64::MAX);
    let asking = if abandoned || due.unclear {
        claim(tx, request, CLAIM_UNCLEAR, (&front.others, i64::MAX), limit).await?
    } else {
        Vec::new()
    };
    let left = limit - i64::try_from(asking.len()).unwrap_or(limit);
    let sending = if request.witnesses_only || left <= 0 {
        Vec::new()
    } else {
        claim(tx, request, CLAIM_READY, (&front.ready, front.below), left).await?
    };
    if asking.is_empty() && sending.is_empty() {
        return Ok(Vec::new());
    }
    write_attempts(tx, request, &asking, &sending).await?;
    let mut out = Vec::with_capacity(asking.len() + sending.len());
    for (step, claims) in [(Step::Witness, asking), (Step::Send, sending)] {
        for claim in claims {
            let Some(load) = load_or_set_aside(tx, &claim, request.now).await? else { continue };
            out.push(Leased {
                id: Id(claim.id),
                lease_no: claim.lease_no,
                step,
                kind: ErrandKind::parse(&claim.kind).ok_or_else(|| LedgerError::Corrupt(format!("kind `{}`", claim.kind)))?,
                mark: claim.mark,
                failures: u32::try_from(claim.failures).unwrap_or(u32::MAX),
                misses: u32::try_from(claim.misses).unwrap_or(u32::MAX),
                quiet_until: claim.quiet_until.map(Timestamp),
                load,
            });
        }
    }
    Ok(out)
}

/// What another owner left `sending` may have happened: its quiet period starts now.
pub(in crate::ledger) async fn expire(
    tx: &mut Conn,
    edge: &str,
    held: &Known,
    now: Timestamp,
    quiet_ms: i64,
    leased_before: Timestamp,
) -> LedgerResult<usize> {
    tx.falls_due(now);
    let found: Vec<(i64, String, Option<i64>, Option<i64>)> = query_as(concat!(
        "UPDATE errand SET state = CASE WHEN kind = 'report' AND $5 = 0 THEN 'ready' WHEN kind = 'comment' AND ticket_id IS NULL THEN 'ready' ELSE 'unclear' END, lease_no = lease_no + 1, misses = 0,
            due_at = $2, quiet_until = $3, code = 'E-ABANDONED', reason = 'the process that sent it stopped before it heard the answer'
         WHERE ",
        abandoned!("$1", "$4", "$6", "$7"),
        " RETURNING id, kind, assignment_id, ticket_id",
    ))
    .bind(edge)
    .bind(now.0)
    .bind(now.plus_ms(quiet_ms).0)
    .bind(leased_before.0)
    .bind(quiet_ms)
    .bind(held.listed()?)
    .bind(held.since)
    .fetch_all(&mut *tx)
    .await?;
    let creates: Vec<_> = found.iter().filter(|(_, kind, ..)| kind == "create").collect();
    let moves: Vec<Move> = creates
        .iter()
        .filter_map(|(_, _, assignment, _)| *assignment)
        .map(|a| {
            Move::ours(a, Some(State::Unclear), "unclear", now)
                .cause("the process that sent it stopped before it heard the answer")
                .if_it_may()
        })
        .collect();
    journal::apply(tx, &moves, now).await?;
    let tickets: Vec<i64> = creates.iter().filter_map(|(_, _, _, ticket)| *ticket).collect();
    if !tickets.is_empty() {
        query(
            "UPDATE ticket SET state = CASE WHEN state = 'sending' THEN 'unclear' ELSE state END, risky = 1
             WHERE id IN (SELECT CAST(value AS BIGINT) FROM json_each($1))",
        )
        .bind(rows(&tickets)?)
        .execute(tx)
        .await?;
    }
    Ok(found.len())
}

#[derive(sqlx::FromRow)]
struct Claim {
    id: i64,
    kind: String,
    ticket_id: Option<i64>,
    #[sqlx(rename = "assignment_id")]
    assignment: Option<i64>,
    mark: String,
    body: Option<String>,
    lease_no: i64,
    failures: i64,
    misses: i64,
    quiet_until: Option<i64>,
    made_at: i64,
    rank: i64,
    /// [`TicketText`].
    #[sqlx(default)]
    ticket: Option<String>,
    /// Of a create: where the chain of its assignment ends, a [`Head`].
    #[sqlx(default)]
    head: Option<String>,
    /// Another process had it meanwhile: what is said of ticket and chain is from before.
    #[sqlx(default)]
    stale: bool,
}

impl Claim {
    /// A step told to the platform: a comment that belongs to no ticket.
    fn is_progress(&self) -> bool {
        self.kind == "comment" && self.ticket_id.is_none()
    }
}

/// What a claim turned out to be.
enum Found {
    Load(Load),
    /// It would be untrue now, or is no longer worth telling.
    Moot(&'static str),
    /// Another process is telling the platform how far the order is: its outcome waits for the end of that.
    Later(Timestamp),
}

/// What a claim hands over. PostgreSQL takes a row that changed meanwhile as it is now, and the rest as it was when the claim
/// began; that this happened is seen by the number of the lease.
macro_rules! claimed {
    () => {
        " RETURNING id, kind, ticket_id, assignment_id, mark, body, lease_no, failures, misses, quiet_until, made_at, rank,
            (SELECT CAST(json_array((SELECT d.draft FROM ticket_draft AS d WHERE d.id = t.id), t.ref_id, t.ref_number, t.shape) AS TEXT)
             FROM ticket AS t WHERE t.id = errand.ticket_id) AS ticket,
            (SELECT CAST(json_array(a.id, a.state, a.chain_seq, a.chain_head) AS TEXT) FROM assignment AS a
             WHERE a.id = errand.assignment_id AND errand.kind = 'create') AS head,
            1 = 0 /*postgres OR lease_no <> 1 + (SELECT e.lease_no FROM errand AS e WHERE e.id = errand.id)*/ AS stale"
    };
}

/// Claims of unclear errands: their witnesses are asked, and asked again when this lease is over.
const CLAIM_UNCLEAR: &str = concat!(
    "WITH due AS MATERIALIZED (SELECT id FROM errand WHERE ",
    unclear!("$1", "$2", "$6", "$7"),
    " ORDER BY rank LIMIT $5 /*postgres FOR UPDATE SKIP LOCKED*/)
    UPDATE errand SET lease_no = lease_no + 1, lease_owner = $3, lease_until = $4, due_at = $4
    WHERE state /*postgres || ''*/ = 'unclear' AND id IN (SELECT id FROM due)",
    claimed!(),
);
/// Claims of ready errands: they are sent. Materialized: PostgreSQL may look into a subquery again and claim more.
const CLAIM_READY: &str = concat!(
    "WITH due AS MATERIALIZED (SELECT id FROM errand WHERE ",
    // Of many that came, a claim needs the first only, and some for those that others are taking.
    ready!("$1", "$2", "$6", "$7", "$8", " ORDER BY f.rank LIMIT $5 * 8"),
    " ORDER BY rank LIMIT $5 /*postgres FOR UPDATE SKIP LOCKED*/)
    UPDATE errand SET lease_no = lease_no + 1, lease_owner = $3, lease_until = $4, state = 'sending', attempts = attempts + 1
    WHERE state /*postgres || ''*/ = 'ready' AND id IN (SELECT id FROM due)",
    claimed!(),
);

/// The `UPDATE` re-checks the state, so that two claimers never both win a row. The states stand in the text: only so
/// are the partial indexes used.
async fn claim(
    tx: &mut Conn,
    request: &LeaseRequest,
    query: &'static str,
    (known, below): (&Known, i64),
    limit: i64,
) -> LedgerResult<Vec<Claim>> {
    let mut claims: Vec<Claim> = query_as(query)
        .bind(&request.edge)
        .bind(request.now.0)
        .bind(&request.owner)
        .bind(request.now.plus_ms(request.lease_ms).0)
        .bind(limit)
        .bind(known.listed()?)
        .bind(known.since)
        .bind(below)
        .fetch_all(tx)
        .await?;
    if claims.iter().any(|claim| claim.stale) {
        return Err(LedgerError::Conflict("an errand was claimed and settled meanwhile".to_owned()));
    }
    claims.sort_by_key(|c| c.rank);
    Ok(claims)
}

/// The step of a create that is sent.
pub(super) fn starts(assignment: i64, now: Timestamp) -> Move {
    Move::ours(assignment, Some(State::Sending), "sending", now).cause("the create call starts").if_it_may()
}

async fn write_attempts(tx: &mut Conn, request: &LeaseRequest, asking: &[Claim], sending: &[Claim]) -> LedgerResult<()> {
    let attempts: Vec<Value> = asking
        .iter()
        .map(|c| (c, "ask"))
        .chain(sending.iter().map(|c| (c, if c.is_progress() { "progress" } else { c.kind.as_str() })))
        .map(|(c, what)| json!({"e": c.id, "n": c.lease_no, "what": what}))
        .collect();
    let creates = || sending.iter().filter(|c| c.kind == "create");
    let tickets: Vec<i64> = creates().filter_map(|c| c.ticket_id).collect();
    let moves: Vec<Move> = creates().filter_map(|c| c.assignment).map(|a| starts(a, request.now)).collect();
    let heads = creates().filter_map(|c| c.head.as_deref()).map(document::<Head>).collect::<LedgerResult<Vec<Head>>>()?;
    let chained = Heads::of(heads)?.chain(&moves, request.now)?;
    query(concat!(
        "INSERT INTO attempt (errand_id, lease_no, what, owner, started_at, deadline)
         SELECT CAST(value->>'e' AS BIGINT), CAST(value->>'n' AS BIGINT), value->>'what', $2, $3, $4 FROM json_each($1) WHERE true;
         UPDATE ticket SET state = 'sending' WHERE id IN (SELECT CAST(value AS BIGINT) FROM json_each($5));",
        write_moves!("$6", "$7"),
    ))
    .bind(rows(&attempts)?)
    .bind(&request.owner)
    .bind(request.now.0)
    .bind(request.now.plus_ms(request.lease_ms).0)
    .bind(rows(&tickets)?)
    .bind(chained.lines)
    .bind(chained.ends)
    .execute_later(tx)
    .await?;
    Ok(())
}

/// What the ledger itself cannot read.
pub(super) const E_LEDGER: &str = "E-LEDGER";

/// Draft, reference, number and shape of a ticket.
type TicketText = (Option<String>, Option<String>, Option<String>, String);

/// What a claim carries. One that cannot be read waits for a person and keeps nobody else from going.
async fn load_or_set_aside(tx: &mut Conn, claim: &Claim, now: Timestamp) -> LedgerResult<Option<Load>> {
    match load(tx, claim, now).await {
        Ok(Found::Load(load)) => Ok(Some(load)),
        Ok(Found::Moot(cause)) => {
            let_go(tx, claim, cause, now).await?;
            Ok(None)
        }
        Ok(Found::Later(at)) => {
            put_back(tx, claim, at.max(now)).await?;
            Ok(None)
        }
        Err(LedgerError::Corrupt(words)) => {
            set_aside(tx, claim, &words, now).await?;
            Ok(None)
        }
        Err(other) => Err(other),
    }
}

async fn load(tx: &mut Conn, claim: &Claim, now: Timestamp) -> LedgerResult<Found> {
    let ticket: Option<TicketText> = claim.ticket.as_deref().map(document).transpose()?;
    let load = match (claim.kind.as_str(), claim.ticket_id, claim.assignment) {
        ("report", _, Some(assignment)) => {
            return completion(tx, assignment, claim, now).await;
        }
        ("comment", None, Some(assignment)) => {
            let found = progress::load(tx, claim.id, assignment, &claim.mark, claim.body.as_deref()).await?;
            return Ok(match found {
                Ok(told) => Found::Load(Load::Progress { assignment_id: Id(assignment), progress: Box::new(told) }),
                Err(why) => Found::Moot(why),
            });
        }
        ("create", Some(ticket_id), _) => {
            let draft = ticket
                .as_ref()
                .and_then(|t| t.0.as_deref())
                .ok_or_else(|| LedgerError::Corrupt("its draft is gone".to_owned()))?;
            Load::Create { ticket_id: Id(ticket_id), draft: Box::new(document::<Draft>(draft)?) }
        }
        (_, Some(ticket_id), _) => {
            let body = claim.body.as_deref().ok_or_else(|| LedgerError::Corrupt("its text is gone".to_owned()))?;
            let (id, number) = ticket
                .as_ref()
                .and_then(|t| Some((t.1.clone()?, t.2.clone()?)))
                .ok_or_else(|| LedgerError::Corrupt("its ticket was never filed".to_owned()))?;
            let double = ticket.is_some_and(|t| t.3 == "double");
            Load::Amend { ticket_id: Id(ticket_id), ticket: TicketRef { id, number }, change: document(body)?, double }
        }
        _ => return Err(LedgerError::Corrupt("it belongs to nothing".to_owned())),
    };
    Ok(Found::Load(load))
}

/// A report that was under way when its ticket was opened again (the next closing has its own), or a step that is not
/// told any more.
async fn let_go(tx: &mut Conn, claim: &Claim, cause: &'static str, now: Timestamp) -> LedgerResult<()> {
    query("UPDATE errand SET state = 'dropped', lease_until = NULL, done_at = $2, reason = $3 WHERE id = $1")
        .bind(claim.id)
        .bind(now.0)
        .bind(cause)
        .execute(&mut *tx)
        .await?;
    let event = if claim.is_progress() { "progress_dropped" } else { "dropped" };
    let moves: Vec<Move> = claim.assignment.map(|a| Move::ours(a, None, event, now).cause(cause)).into_iter().collect();
    journal::apply(tx, &moves, now).await
}

/// Ready again, and not before that time; nothing was sent.
async fn put_back(tx: &mut Conn, claim: &Claim, at: Timestamp) -> LedgerResult<()> {
    tx.falls_due(at);
    query("UPDATE errand SET state = 'ready', lease_until = NULL, due_at = $2 WHERE id = $1 AND state = 'sending'")
        .bind(claim.id)
        .bind(at.0)
        .execute(tx)
        .await?;
    Ok(())
}

const REOPENED: &str = "the ticket was opened again before it was known whether the report had arrived";

async fn set_aside(tx: &mut Conn, claim: &Claim, words: &str, now: Timestamp) -> LedgerResult<()> {
    tracing::error!(errand = %Id(claim.id), kind = claim.kind, reason = words, "an errand cannot be read; it waits for a person");
    query("UPDATE errand SET state = 'parked', lease_until = NULL, code = $2, reason = $3 WHERE id = $1")
        .bind(claim.id)
        .bind(E_LEDGER)
        .bind(words)
        .execute(&mut *tx)
        .await?;
    let Some(assignment) = claim.assignment else { return Ok(()) };
    let step =
        Move::ours(assignment, Some(State::Due), "parked", now).cause(format!("{E_LEDGER}: its {} cannot be read", claim.kind));
    journal::apply(tx, &[step.if_it_may()], now).await?;
    park(tx, &[json!({"id": assignment, "at": now, "code": E_LEDGER, "reason": words})]).await
}

/// A page of accepted reports, the newest of each order, as they were told: found by id, not by kind, since an index on
/// that would give all of them to be sorted for every page.
pub(in crate::ledger) async fn reports_to_compare(
    pool: &Pool,
    source: &str,
    after: Id,
    limit: usize,
) -> LedgerResult<Vec<compare::Told>> {
    let claims: Vec<Claim> = query_as(
        "SELECT e.id, e.kind, e.ticket_id, e.assignment_id, e.mark, e.body, e.lease_no, e.failures, e.misses, e.quiet_until, e.made_at,
                e.rank FROM errand AS e
         WHERE e.id > $2 AND e.edge || '' = $1 AND e.kind || '' = 'report' AND e.state = 'done' AND e.assignment_id IS NOT NULL
            AND NOT EXISTS (SELECT 1 FROM errand AS n WHERE n.assignment_id = e.assignment_id AND n.kind = 'report' AND n.id > e.id)
            AND EXISTS (SELECT 1 FROM assignment AS a WHERE a.id = e.assignment_id AND a.state IN ('reported', 'proven'))
         ORDER BY e.id LIMIT $3",
    )
    .bind(format!("source/{source}"))
    .bind(after.0)
    .bind(i64::try_from(limit).unwrap_or(i64::MAX))
    .fetch_all(pool)
    .await?;
    let mut told = Vec::with_capacity(claims.len());
    for claim in claims {
        let Some(assignment) = claim.assignment else { continue };
        // What is told is over: nobody holds a step beside it.
        if let Found::Load(Load::Report { completion, .. }) = completion(pool, assignment, &claim, Timestamp(i64::MAX)).await? {
            told.push(compare::Told { errand: Id(claim.id), assignment: Id(assignment), completion: *completion });
        }
    }
    Ok(told)
}

#[derive(sqlx::FromRow)]
struct Told {
    external_id: String,
    natural_key: String,
    operation: String,
    application_id: String,
    outcome: Option<String>,
    overtaken: bool,
    state: String,
    closed_at: Option<i64>,
    withdrawn_at: Option<i64>,
    document: Option<String>,
    desk: Option<String>,
    ref_number: Option<String>,
    url: Option<String>,
    words: Option<String>,
    resolution: Option<String>,
    closer_id: Option<String>,
    closer_name: Option<String>,
    closer_mail: Option<String>,
    filed_at: Option<i64>,
    first_work_at: Option<i64>,
    evidence: Option<String>,
    /// Until when another process holds a step of this assignment that it is telling.
    telling: Option<i64>,
}

/// Everything to tell the platform, the same however often it is told, while the closing it is about stands.
async fn completion<'e>(on: impl Into<Target<'e>>, id: i64, claim: &Claim, now: Timestamp) -> LedgerResult<Found> {
    let told: Told = query_as(
        "SELECT a.external_id, a.natural_key, a.operation, a.application_id, a.outcome, a.state, a.closed_at, a.withdrawn_at, i.document,
                a.filed_at, a.first_work_at, t.evidence,
                (SELECT MAX(s.lease_until) FROM errand AS s WHERE s.assignment_id = a.id AND s.kind = 'comment'
                    AND s.ticket_id IS NULL AND s.state = 'sending') AS telling,
                t.desk, t.ref_number, t.url, t.words, t.resolution, p.external_id AS closer_id, p.name AS closer_name, p.email AS closer_mail,
                EXISTS (SELECT 1 FROM errand AS n WHERE n.assignment_id = a.id AND n.kind = 'report' AND n.id > $2) AS overtaken
         FROM assignment AS a LEFT JOIN inbox AS i ON i.id = a.document_id LEFT JOIN ticket AS t ON t.id = a.ticket_id
         LEFT JOIN person AS p ON p.hash = t.closed_by WHERE a.id = $1",
    )
    .bind(id)
    .bind(claim.id)
    .fetch_one(on)
    .await?;
    let Some(outcome) = told.outcome.as_deref().filter(|_| !told.overtaken) else { return Ok(Found::Moot(REOPENED)) };
    if let Some(until) = told.telling.filter(|until| *until > now.0 && claim.quiet_until.is_none()) {
        return Ok(Found::Later(Timestamp(until)));
    }
    let outcome = Outcome::parse(outcome).ok_or_else(|| LedgerError::Corrupt(format!("outcome `{outcome}`")))?;
    let operation =
        Operation::parse(&told.operation).ok_or_else(|| LedgerError::Corrupt(format!("operation `{}`", told.operation)))?;
    // The document proves readable here rather than at the platform.
    if let Some(text) = &told.document {
        document::<Assignment>(text)?;
    }
    // An operator's reason stands with the errand itself.
    let reason = if claim.body.is_some() {
        claim.body.clone()
    } else if told.state == "superseded" {
        Some("a later revocation overtook it before anything was sent".to_owned())
    } else if told.withdrawn_at.is_some() && outcome == Outcome::Cancelled {
        Some("the order was taken back".to_owned())
    } else {
        told.resolution.clone()
    };
    // The report is owed from the moment we learned of the closing.
    let seen_at = Timestamp(claim.made_at);
    let closed_at = told.closed_at.map(Timestamp);
    let started_at = told.first_work_at.map(Timestamp);
    let filed_at = told.filed_at.map(Timestamp);
    let completion = Completion {
        id: claim.mark.clone(),
        external_id: told.external_id,
        natural_key: told.natural_key,
        operation,
        application: told.application_id,
        outcome,
        success: outcome.is_success(),
        reason,
        words: told.words,
        closed_by: told.closer_id.map(|id| Person { id, name: told.closer_name, email: told.closer_mail }),
        ticket: told.ref_number,
        ticket_url: told.url,
        desk: told.desk,
        closed_at,
        seen_at,
        closed_at_iso: closed_at.map(Timestamp::iso),
        seen_at_iso: seen_at.iso(),
        filed_at,
        started_at,
        filed_at_iso: filed_at.map(Timestamp::iso),
        started_at_iso: started_at.map(Timestamp::iso),
        evidence: told.evidence.as_deref().map(document).transpose()?.unwrap_or_default(),
    };
    Ok(Found::Load(Load::Report { assignment_id: Id(id), completion: Box::new(completion) }))
}

/// Keeps the natural key's form in one place with its writers.
#[cfg(test)]
mod tests {
    use crate::model::Operation;
    use crate::model::assignment::natural_key;

    #[test]
    fn natural_keys_begin_with_source_and_external_id() {
        assert_eq!(natural_key("oim", "a/b", Operation::Grant, 2), "oim/a/b/grant/2");
    }
}
