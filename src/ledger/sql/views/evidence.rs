//! Evidence of single orders: who wanted, approved and did what, and whether the journal's chain holds.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::super::chains::Line;
use super::super::ids_json;
use super::lists::search;
use super::{limit_of, persons, push_scope, text, time};
use crate::ledger::LedgerResult;
use crate::ledger::engine::{Pool, QueryBuilder, Row, query_as};
use crate::ledger::exports::{Apart, Checkpoint, Evidence, EvidenceFilter, EvidenceRow, Proof, Seen};
use crate::model::{Id, State, Timestamp};

/// Hash, the edge's id, name, address.
type PersonColumns = (String, Option<String>, Option<String>, Option<String>);

/// Orders whose persons and chains are read at a time.
const PAGE: usize = 500;

/// The ticket of an order: its latest that is no double.
const COLUMNS: &str = "SELECT a.id, a.source, a.external_id, a.beneficiary, a.persons, a.application_id, a.application_name,
    a.entitlement_name, a.operation, a.revocation, a.requested_at, a.approved_at, a.valid_from, a.desk, a.admin_group,
    a.filed_at, a.first_work_at, a.closed_at, a.reported_at, a.state, a.outcome, a.chain_seq, a.chain_head,
    t.ref_number, t.url, t.key, t.closed_by
  FROM assignment AS a LEFT JOIN ticket AS t ON t.id = a.ticket_id WHERE ";

/// What is known of a person.
#[derive(Debug, Default)]
struct Known {
    external_id: Option<String>,
    name: Option<String>,
    email: Option<String>,
}

/// Evidence of orders, earliest closing first.
pub(in crate::ledger) async fn evidence(
    pool: &Pool,
    filter: &EvidenceFilter,
    names: bool,
    limit: usize,
) -> LedgerResult<Evidence> {
    let mut found = orders(pool, filter, limit.saturating_add(1)).await?;
    let more = found.len() > limit;
    found.truncate(limit);
    let mut rows = Vec::with_capacity(found.len());
    for page in found.chunks(PAGE) {
        let people = people(pool, page).await?;
        let chains = chains(pool, page).await?;
        for row in page {
            rows.push(one(row, &people, &chains, names)?);
        }
    }
    let checkpoint: Option<(i64, String)> =
        query_as("SELECT at, head FROM checkpoint ORDER BY id DESC LIMIT 1").fetch_optional(pool).await?;
    Ok(Evidence { rows, more, checkpoint: checkpoint.map(|(at, head)| Checkpoint { at: Timestamp(at), head }) })
}

async fn orders(pool: &Pool, filter: &EvidenceFilter, limit: usize) -> LedgerResult<Vec<Row>> {
    let mut query = QueryBuilder::new(COLUMNS);
    match &filter.search {
        Some(search_words) => {
            let found: Vec<Id> = search(pool, search_words.trim()).await?.into_iter().map(Id).collect();
            query.push("a.id IN (SELECT CAST(value AS BIGINT) FROM json_each(").push_bind(ids_json(&found)).push("))");
        }
        None => {
            query.push("a.closed_at >= ").push_bind(filter.from.0).push(" AND a.closed_at < ").push_bind(filter.to.0);
        }
    }
    if let Some(application) = &filter.application {
        query.push(" AND a.application_id = ").push_bind(application.clone());
    }
    if !filter.admin_groups.is_empty() {
        push_scope(&mut query, "a.admin_group", &Some(filter.admin_groups.clone()));
    }
    push_scope(&mut query, "a.application_id", &filter.scope);
    query.push(" ORDER BY a.closed_at, a.id LIMIT ").push_bind(limit_of(limit));
    Ok(query.build().fetch_all(pool).await?)
}

async fn people(pool: &Pool, page: &[Row]) -> LedgerResult<BTreeMap<String, Known>> {
    let mut hashes = BTreeSet::new();
    for row in page {
        let of = persons(row)?;
        hashes.extend(of.requester);
        hashes.extend(of.approvers.into_iter().map(|a| a.by));
        hashes.insert(row.try_get("beneficiary")?);
        hashes.extend(text(row, "closed_by")?);
    }
    let list = super::super::rows(&hashes.into_iter().collect::<Vec<String>>())?;
    let rows: Vec<PersonColumns> = query_as(
        "SELECT hash, external_id, name, email FROM person WHERE hash IN (SELECT CAST(value AS TEXT) FROM json_each($1))",
    )
    .bind(list)
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(|(hash, external_id, name, email)| (hash, Known { external_id, name, email })).collect())
}

/// A chain as far as it holds.
#[derive(Debug, Default)]
struct Walked {
    seq: i64,
    head: String,
    proven_at: Option<Timestamp>,
}

/// Which chains hold, each walked from its first row.
async fn chains(pool: &Pool, page: &[Row]) -> LedgerResult<HashMap<i64, Walked>> {
    let ids: Vec<i64> = page.iter().map(|row| row.try_get("id")).collect::<Result<_, _>>()?;
    let lines: Vec<Line> = query_as(
        "SELECT assignment_id, seq, happened_at, whose_clock, seen_at, event, state, actor, cause, detail, catalog_version,
                template_version, hash FROM journal
         WHERE assignment_id IN (SELECT CAST(value AS BIGINT) FROM json_each($1)) ORDER BY assignment_id, seq",
    )
    .bind(super::super::rows(&ids)?)
    .fetch_all(pool)
    .await?;
    let mut walked: HashMap<i64, Walked> = HashMap::new();
    for line in lines {
        let of = walked.entry(line.assignment_id).or_default();
        if line.state == State::Proven.as_str() {
            of.proven_at = of.proven_at.or(Some(Timestamp(line.happened_at)));
        } else {
            of.proven_at = None;
        }
        // A broken chain stays where it broke, so that its end is never reached.
        if line.follows(of.seq, &of.head) {
            (of.seq, of.head) = (line.seq, line.hash);
        }
    }
    Ok(walked)
}

fn one(row: &Row, people: &BTreeMap<String, Known>, chains: &HashMap<i64, Walked>, names: bool) -> LedgerResult<EvidenceRow> {
    let of = persons(row)?;
    let (id, beneficiary): (i64, String) = (row.try_get("id")?, row.try_get("beneficiary")?);
    let (closer, state): (Option<String>, String) = (text(row, "closed_by")?, row.try_get("state")?);
    let (chain_rows, chain_head): (i64, String) = (row.try_get("chain_seq")?, row.try_get("chain_head")?);
    let seen = |hash: &str| seen(people.get(hash), names);
    let apart = |hash: &str| match &closer {
        Some(closer) if closer == hash => Apart::No,
        Some(closer) => apart(people.get(hash), people.get(closer)),
        None => Apart::Unknown,
    };
    let closed_at = time(row, "closed_at")?;
    let proof = match State::parse(&state) {
        Some(State::Proven) => Some(Proof::Proven),
        _ if closed_at.is_some() => Some(Proof::Claimed),
        _ => None,
    };
    Ok(EvidenceRow {
        id: Id(id),
        source: row.try_get("source")?,
        external_id: row.try_get("external_id")?,
        beneficiary: seen(&beneficiary),
        application_id: row.try_get("application_id")?,
        application_name: row.try_get("application_name")?,
        entitlement: text(row, "entitlement_name")?,
        operation: row.try_get("operation")?,
        revocation: row.try_get::<i64, _>("revocation")? != 0,
        requester: of.requester.as_deref().map_or(Seen::Nobody, seen),
        requested_at: time(row, "requested_at")?,
        approvers: of.approvers.iter().map(|a| seen(&a.by)).collect(),
        approved_at: time(row, "approved_at")?,
        valid_from: time(row, "valid_from")?,
        desk: text(row, "desk")?,
        ticket: text(row, "ref_number")?,
        ticket_url: text(row, "url")?,
        key: text(row, "key")?,
        admin_group: text(row, "admin_group")?,
        filed_at: time(row, "filed_at")?,
        first_work_at: time(row, "first_work_at")?,
        fulfilled_by: closer.as_deref().map_or(Seen::Nobody, seen),
        closed_at,
        reported_at: time(row, "reported_at")?,
        outcome: text(row, "outcome")?,
        proof,
        proven_at: chains.get(&id).and_then(|of| of.proven_at),
        // The one who is nearest to the fulfiller decides: one approver who closed the ticket is enough.
        approver_apart: of.approvers.iter().map(|a| apart(&a.by)).max_by_key(|a| nearness(*a)).unwrap_or(Apart::Unknown),
        beneficiary_apart: apart(&beneficiary),
        chain_holds: chains.get(&id).is_some_and(|of| of.seq == chain_rows && of.head == chain_head),
        chain_rows,
        chain_head,
        state,
    })
}

fn nearness(apart: Apart) -> u8 {
    match apart {
        Apart::Yes => 0,
        Apart::Unknown => 1,
        Apart::SameName => 2,
        Apart::No => 3,
    }
}

fn seen(known: Option<&Known>, names: bool) -> Seen {
    match known {
        _ if !names => Seen::Hidden,
        Some(known) => known.name.clone().or_else(|| known.external_id.clone()).map_or(Seen::Erased, Seen::Named),
        None => Seen::Erased,
    }
}

/// Whether two persons of two systems are different people, as far as what is known of them tells.
fn apart(one: Option<&Known>, other: Option<&Known>) -> Apart {
    let (Some(one), Some(other)) = (one, other) else { return Apart::Unknown };
    let both = |of: fn(&Known) -> Option<&String>| Some((of(one)?.trim().to_lowercase(), of(other)?.trim().to_lowercase()));
    let (mails, ids) = (both(|k| k.email.as_ref()), both(|k| k.external_id.as_ref()));
    let names = both(|k| k.name.as_ref()).is_some_and(|(a, b)| a == b);
    match (mails, ids) {
        (Some((a, b)), _) if a == b => Apart::No,
        (_, Some((a, b))) if a == b => Apart::No,
        (Some(_), _) if !names => Apart::Yes,
        _ if names => Apart::SameName,
        // Ids of two systems that differ prove nothing; different names are all that is left.
        (None, _) if both(|k| k.name.as_ref()).is_some() => Apart::Yes,
        _ => Apart::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(id: &str, name: &str, mail: &str) -> Known {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Known { external_id: some(id), name: some(name), email: some(mail) }
    }

    #[test]
    fn people_of_two_systems_are_told_apart_by_mail_then_id_then_name() {
        let tell = |a: &Known, b: &Known| apart(Some(a), Some(b));
        let ann = known("P-1", "Ann Prove", "ann@example.org");
        assert_eq!(tell(&ann, &known("557", "A. Prove", "ANN@example.org ")), Apart::No);
        assert_eq!(tell(&ann, &known("p-1", "", "")), Apart::No);
        assert_eq!(tell(&ann, &known("557", "Bo Else", "bo@example.org")), Apart::Yes);
        assert_eq!(tell(&ann, &known("557", "ann prove", "other@example.org")), Apart::SameName);
        assert_eq!(tell(&ann, &known("557", "Bo Else", "")), Apart::Yes);
        assert_eq!(tell(&ann, &known("557", "", "")), Apart::Unknown);
        assert_eq!(tell(&ann, &known("", "", "")), Apart::Unknown, "erased");
        assert_eq!(apart(Some(&ann), None), Apart::Unknown);
    }
}
