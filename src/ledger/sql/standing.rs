//! A standing list: what is new is ordered, what is gone is ordered away, in one transaction with the cursor.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::ledger::engine::{Conn, Pool, query, query_as};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::super::{LedgerError, LedgerResult, Receipt, ReceiptContent, Recorded, StandingRound, Stood};
use super::pull::{cursor_name, move_cursor};
use super::record::{From, record, withdraw};
use super::{Shared, document, rows};
use crate::model::key::stable_id;
use crate::model::{Assignment, Operation, State, Timestamp};

/// Rows written by one statement.
const CHUNK: usize = 2_000;

/// Records a round, or nothing when the cursor has moved.
pub(in crate::ledger) async fn record_standing(tx: &mut Conn, shared: &Shared, round: &StandingRound) -> LedgerResult<Stood> {
    if !move_cursor(tx, &cursor_name(&round.source), round.from.as_deref(), &round.to, round.at).await? {
        return Ok(Stood::CursorMoved);
    }
    let known: HashMap<String, String> =
        query_as::<(String, String)>("SELECT external_id, digest FROM standing WHERE source = $1")
            .bind(&round.source)
            .fetch_all(&mut *tx)
            .await?
            .into_iter()
            .collect();
    // A row that several pages showed counts once, as it was seen last.
    let present: BTreeMap<&str, &Receipt> = round.rows.iter().map(|(id, receipt)| (id.as_str(), receipt)).collect();
    let mut new = Vec::new();
    for (id, receipt) in present.iter().filter(|(id, receipt)| is_news(known.get(**id), receipt)) {
        match &receipt.content {
            ReceiptContent::Order(order) if !round.baseline => {
                new.extend(begins(tx, shared, round, receipt, order).await?);
            }
            _ if !round.baseline && !known.contains_key(*id) => new.push((*receipt).clone()),
            _ => {}
        }
    }
    let borrowed: Vec<&Receipt> = new.iter().collect();
    let results = if new.is_empty() { Vec::new() } else { record(tx, shared, &borrowed, From::List).await? };
    keep(tx, round, &present, &known).await?;
    let seen: HashSet<&str> = present.keys().copied().collect();
    let gone: Vec<&str> = known.keys().map(String::as_str).filter(|id| !seen.contains(id)).collect();
    let mut stood = Stood::Recorded { results, removed: 0, not_believed: 0 };
    let Stood::Recorded { results, removed, not_believed } = &mut stood else { return Ok(stood) };
    if round.complete && gone.len() > round.most_gone {
        *not_believed = gone.len();
    } else if round.complete {
        for id in gone {
            if let Some(result) = take_away(tx, shared, round, id).await? {
                results.push(result);
                *removed += 1;
            }
        }
    }
    Ok(stood)
}

/// Instead of a digest: a row that does not map yet and is ordered once it does.
const HELD: &str = "?";
/// Instead of a digest: a row that stood at the beginning and does not map: it is never ordered.
const STOOD: &str = "-";

/// A row that was not there, or that maps at last.
fn is_news(known: Option<&String>, receipt: &Receipt) -> bool {
    known.is_none_or(|digest| digest == HELD && matches!(receipt.content, ReceiptContent::Order(_)))
}

/// A row begins to stand. Where its removal was not sent yet, that is dropped and everything is as before. Where the
/// platform's own number does not tell it from the row before, the moment does.
async fn begins(
    tx: &mut Conn,
    shared: &Shared,
    round: &StandingRound,
    receipt: &Receipt,
    order: &Assignment,
) -> LedgerResult<Option<Receipt>> {
    if let Some(away) = order.operation.undone_by()
        && dropped(tx, shared, order, away, "the platform assigns it again", round.at).await?
    {
        return Ok(None);
    }
    let fresh = fresh(tx, order.clone(), round.at).await?;
    if fresh.generation == order.generation {
        return Ok(Some(receipt.clone()));
    }
    Ok(Some(receipt_of(round, "back", fresh)))
}

/// With a generation that no order of this kind has yet.
async fn fresh(tx: &mut Conn, mut order: Assignment, at: Timestamp) -> LedgerResult<Assignment> {
    let taken: Option<(i64,)> =
        query_as("SELECT id FROM assignment WHERE natural_key = $1").bind(order.natural_key()).fetch_optional(tx).await?;
    if taken.is_some() {
        order.generation = at.0.div_euclid(1000).max(order.generation + 1);
    }
    Ok(order)
}

fn receipt_of(round: &StandingRound, what: &str, order: Assignment) -> Receipt {
    let digest = hex::encode(Sha256::digest(serde_json::to_string(&order).unwrap_or_default()));
    let generation = order.generation.to_string();
    let event_id = format!("{what}-{}", stable_id(&[&order.external_id, &generation, order.operation.as_str()]));
    let content = ReceiptContent::Order(Box::new(order));
    Receipt { source: round.source.clone(), event_id, digest, received_at: round.at, content }
}

/// Remembers what each row means, where that is new or has changed.
async fn keep(
    tx: &mut Conn,
    round: &StandingRound,
    present: &BTreeMap<&str, &Receipt>,
    known: &HashMap<String, String>,
) -> LedgerResult<()> {
    let mut changed: Vec<Value> = Vec::new();
    for (id, receipt) in present {
        let before = known.get(*id);
        let (digest, order) = match &receipt.content {
            ReceiptContent::Order(order) => {
                let text = serde_json::to_string(order).map_err(|e| LedgerError::Corrupt(e.to_string()))?;
                (receipt.digest.as_str(), Some(text))
            }
            _ if round.baseline => (STOOD, None),
            // What a row meant while it could be read is not forgotten because it cannot be read now.
            _ if before.is_some() => continue,
            _ => (HELD, None),
        };
        if before.is_none_or(|before| before != digest) {
            changed.push(json!({"x": id, "g": digest, "d": order}));
        }
    }
    for chunk in changed.chunks(CHUNK) {
        query(
            "INSERT INTO standing (source, external_id, digest, document, since)
             SELECT $2, value->>'x', value->>'g', value->>'d', $3 FROM json_each($1) WHERE true
             ON CONFLICT (source, external_id) DO UPDATE SET digest = excluded.digest, document = excluded.document",
        )
        .bind(rows(chunk)?)
        .bind(&round.source)
        .bind(round.at.0)
        .execute(&mut *tx)
        .await?;
    }
    Ok(())
}

/// A row is gone. What was not sent yet is dropped and needs no undoing; everything else is ordered away, also what
/// stood from the beginning.
async fn take_away(tx: &mut Conn, shared: &Shared, round: &StandingRound, external_id: &str) -> LedgerResult<Option<Recorded>> {
    let (text,): (Option<String>,) = query_as("DELETE FROM standing WHERE source = $1 AND external_id = $2 RETURNING document")
        .bind(&round.source)
        .bind(external_id)
        .fetch_one(&mut *tx)
        .await?;
    let Some(text) = text else {
        tracing::warn!(source = round.source, "an assignment that never mapped is gone; nothing can be ordered for it");
        return Ok(None);
    };
    let order: Assignment = document(&text)?;
    if dropped(tx, shared, &order, order.operation, "the platform no longer assigns it", round.at).await? {
        return Ok(None);
    }
    let Some(operation) = order.operation.undone_by() else { return Ok(None) };
    let away = Assignment {
        operation,
        approvals: Vec::new(),
        requester: None,
        reason: None,
        requested_at: Some(round.at),
        approved_at: Some(round.at),
        valid_from: None,
        valid_until: None,
        answer_by: None,
        ..order
    };
    let receipt = receipt_of(round, "gone", fresh(tx, away, round.at).await?);
    Ok(record(tx, shared, &[&receipt], From::List).await?.pop())
}

/// Whether an order of this operation ended here without anything having been sent.
async fn dropped(
    tx: &mut Conn,
    shared: &Shared,
    order: &Assignment,
    operation: Operation,
    cause: &str,
    at: Timestamp,
) -> LedgerResult<bool> {
    let (source, external_id) = (&order.source, &order.external_id);
    let unsent: Option<(i64,)> = query_as(
        "SELECT id FROM assignment WHERE natural_key >= $1 AND natural_key < $2 AND source = $3 AND external_id = $4 AND operation = $5
            AND withdrawn_at IS NULL AND state IN ('received', 'planned', 'due') ORDER BY generation DESC LIMIT 1",
    )
    .bind(format!("{source}/{external_id}/"))
    .bind(format!("{source}/{external_id}0"))
    .bind(source)
    .bind(external_id)
    .bind(operation.as_str())
    .fetch_optional(&mut *tx)
    .await?;
    let Some((id,)) = unsent else { return Ok(false) };
    withdraw(tx, shared, source, external_id, Some(operation), at, cause).await?;
    let (after,): (String,) = query_as("SELECT state FROM assignment WHERE id = $1").bind(id).fetch_one(tx).await?;
    Ok(State::parse(&after) == Some(State::Closed))
}

/// External ids that a snapshot has shown and whose orders are not finished.
pub(in crate::ledger) async fn awaited(pool: &Pool, source: &str) -> LedgerResult<Vec<String>> {
    let found: Vec<(String,)> = query_as(
        "SELECT DISTINCT l.external_id FROM listed AS l
         JOIN assignment AS a ON a.natural_key >= l.source || '/' || l.external_id || '/'
            AND a.natural_key < l.source || '/' || l.external_id || '0' AND a.external_id = l.external_id AND a.source = l.source
         WHERE l.source = $1 AND l.gone_at IS NULL AND a.withdrawn_at IS NULL
            AND a.state IN ('received', 'planned', 'due', 'sending', 'unclear', 'open', 'rework') ORDER BY l.external_id",
    )
    .bind(source)
    .fetch_all(pool)
    .await?;
    Ok(found.into_iter().map(|(id,)| id).collect())
}
