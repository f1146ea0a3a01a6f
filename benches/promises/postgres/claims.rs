//! Claim and settle, against a bare loop of the same statements over as many connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use lastmile::ledger::{Ledger, Mode, SqlLedger};
use sqlx::{Connection as _, Executor as _, PgConnection};

use super::orders;
use super::server::Server;
use crate::{Effort, report};

/// Connections that write, as many as the product has.
const CONNECTIONS: usize = 4;
/// Errands of one claim.
const BATCH: usize = 16;

/// Measures and prints.
pub async fn run(server: &Server, effort: Effort) -> anyhow::Result<()> {
    let count = effort.events / 2;
    println!("\n# PostgreSQL: claim and settle, {CONNECTIONS} connections, {BATCH} a claim, {count} errands a round");
    server.copy("template1", "claims").await?;
    let ledger = SqlLedger::open(server.url("claims").as_str(), "bench", Mode::Serve).await?;
    orders::record(&ledger, 0, count).await?;
    while orders::plan(&ledger).await? > 0 {}
    ledger.close().await;
    let (mut floors, mut products) = (Vec::new(), Vec::new());
    for _ in 0..effort.rounds {
        server.copy("claims", "round").await?;
        floors.push(of_floor(server, count).await?);
        server.copy("claims", "round").await?;
        products.push(of_product(server, count).await?);
    }
    report::rates("floor: the bare statements", &floors);
    report::rates("product: lease, settle", &products);
    report::verdict("claim and settle / floor", report::median(&products) / report::median(&floors), true, 0.50);
    println!("     of neighbouring rounds: {:.2}", report::paired(&products, &floors));
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a count of errands")]
fn rate(count: usize, began: Instant) -> f64 {
    count as f64 / began.elapsed().as_secs_f64()
}

async fn of_product(server: &Server, count: usize) -> anyhow::Result<f64> {
    let ledger = Arc::new(SqlLedger::open(server.url("round").as_str(), "bench", Mode::Serve).await?);
    let (done, began) = (Arc::new(AtomicUsize::new(0)), Instant::now());
    let tasks: Vec<_> = (0..CONNECTIONS)
        .map(|n| {
            let (ledger, done) = (Arc::clone(&ledger), Arc::clone(&done));
            tokio::spawn(async move {
                while done.load(Ordering::Relaxed) < count {
                    let leased = orders::lease(&ledger, n, BATCH).await?;
                    if leased.is_empty() {
                        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
                        continue;
                    }
                    done.fetch_add(orders::settle(&ledger, &leased).await?, Ordering::Relaxed);
                }
                Ok::<(), anyhow::Error>(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    let rate = rate(count, began);
    ledger.close().await;
    Ok(rate)
}

async fn of_floor(server: &Server, count: usize) -> anyhow::Result<f64> {
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(server.connect("round").await?);
    }
    let (done, began) = (Arc::new(AtomicUsize::new(0)), Instant::now());
    let tasks: Vec<_> = connections
        .into_iter()
        .map(|mut connection| {
            let done = Arc::clone(&done);
            tokio::spawn(async move {
                while done.load(Ordering::Relaxed) < count {
                    done.fetch_add(bare_round(&mut connection).await?, Ordering::Relaxed);
                }
                connection.close().await?;
                Ok::<(), anyhow::Error>(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    Ok(rate(count, began))
}

type Claimed = (i64, String, i64, i64, String, i64);

/// The rows that the product writes, and nothing looked at, chained or checked.
async fn bare_round(connection: &mut PgConnection) -> anyhow::Result<usize> {
    connection.execute("BEGIN").await?;
    let claimed: Vec<Claimed> = sqlx::query_as(
        "WITH due AS MATERIALIZED (SELECT id FROM errand WHERE edge = 'desk/jira' AND state = 'ready' AND due_at <= $1
            ORDER BY rank LIMIT $2 FOR UPDATE SKIP LOCKED)
         UPDATE errand SET lease_no = lease_no + 1, lease_owner = 'floor', lease_until = $1 + 60000, state = 'sending', attempts = attempts + 1
         WHERE state = 'ready' AND id IN (SELECT id FROM due) RETURNING id, kind, ticket_id, assignment_id, mark, lease_no",
    )
    .bind(i64::MAX / 2)
    .bind(i64::try_from(BATCH)?)
    .fetch_all(&mut *connection)
    .await?;
    let of = |what: fn(&Claimed) -> i64| claimed.iter().map(what).collect::<Vec<i64>>();
    let (errands, tickets, assignments) = (of(|c| c.0), of(|c| c.2), of(|c| c.3));
    let read = "SELECT id, draft FROM ticket_draft WHERE id = ANY($1)";
    let drafts: Vec<(i64, String)> = sqlx::query_as(read).bind(&tickets).fetch_all(&mut *connection).await?;
    let starts = [
        (
            "INSERT INTO attempt (errand_id, lease_no, what, owner, started_at, deadline)
          SELECT id, 1, 'create', 'floor', 1, 2 FROM unnest($1::bigint[]) AS id",
            &errands,
        ),
        ("UPDATE ticket SET state = 'sending' WHERE id = ANY($1)", &tickets),
        (JOURNAL, &assignments),
        (
            "UPDATE assignment SET state = 'sending', chain_seq = chain_seq + 1, chain_head = repeat('0', 64) WHERE id = ANY($1)",
            &assignments,
        ),
    ];
    for (text, ids) in starts {
        sqlx::query(text).bind(ids).execute(&mut *connection).await?;
    }
    connection.execute("COMMIT").await?;
    if drafts.is_empty() {
        return Ok(0);
    }
    connection.execute("BEGIN").await?;
    let ends = [
        ("UPDATE errand SET state = 'done', done_at = 3, lease_until = NULL WHERE id = ANY($1) AND state = 'sending'", &errands),
        ("UPDATE attempt SET ended_at = 3, verdict = 'done' WHERE errand_id = ANY($1) AND lease_no = 1", &errands),
        ("UPDATE ticket SET state = 'open', category = 'open', ref_id = CAST(id AS TEXT), ref_number = 'IAM-' || id, filed_at = 3,
            key_confirmed = 1 WHERE id = ANY($1)", &tickets),
        (JOURNAL, &assignments),
        ("UPDATE assignment SET state = 'open', filed_at = 3, chain_seq = chain_seq + 1, chain_head = repeat('1', 64) WHERE id = ANY($1)", &assignments),
    ];
    for (text, ids) in ends {
        sqlx::query(text).bind(ids).execute(&mut *connection).await?;
    }
    connection.execute("COMMIT").await?;
    Ok(claimed.len())
}

const JOURNAL: &str =
    "INSERT INTO journal (assignment_id, seq, happened_at, whose_clock, seen_at, event, state, actor, cause, hash)
    SELECT a.id, a.chain_seq + 1, 1, 'lastmile', 1, 'sending', 'sending', 'lastmile', 'the create call starts', repeat('0', 64)
    FROM assignment AS a WHERE a.id = ANY($1)";
