//! The whole state as text.

use std::fmt::Write as _;

use crate::ledger::LedgerResult;
use crate::ledger::engine::{Pool, query_scalar};

/// The whole state as readable text, the same for the same state however its row ids fell. No person in it.
pub(in crate::ledger) async fn dump(pool: &Pool) -> LedgerResult<String> {
    let mut out = String::new();
    section(
        pool,
        &mut out,
        "assignments",
        "SELECT natural_key || ' ' || state || ' r' || revision || COALESCE(' = ' || outcome, '')
            || CASE WHEN parked_at IS NULL THEN '' ELSE ' parked ' || COALESCE(parked_code, '') END
            || CASE WHEN withdrawn_at IS NULL THEN '' ELSE ' withdrawn' END || COALESCE(' @' || admin_group, '')
         FROM assignment ORDER BY natural_key",
    )
    .await?;
    section(
        pool,
        &mut out,
        "tickets",
        "SELECT key || ' ' || shape || ' ' || desk || '/' || admin_group || ' ' || state || COALESCE(' ' || ref_number, '')
            || COALESCE(' = ' || outcome, '') FROM ticket ORDER BY key, desk, ref_number",
    )
    .await?;
    section(
        pool,
        &mut out,
        "errands",
        "SELECT edge || ' ' || kind || ' ' || mark || ' ' || state || ' lease ' || lease_no || ' failures ' || failures
            || COALESCE(' ' || code, '') FROM errand ORDER BY edge, kind, mark",
    )
    .await?;
    section(
        pool,
        &mut out,
        "quarantine",
        "SELECT source || ' ' || event_id || ' ' || state || ': ' || problem FROM quarantine ORDER BY source, event_id",
    )
    .await?;
    section(
        pool,
        &mut out,
        "strays",
        "SELECT desk || ' ' || ref_number || ' ' || kind || ' ' || key || ': ' || action FROM stray ORDER BY desk, ref_id",
    )
    .await?;
    Ok(out)
}

async fn section(pool: &Pool, out: &mut String, title: &str, query: &'static str) -> LedgerResult<()> {
    let lines: Vec<String> = query_scalar(query).fetch_all(pool).await?;
    // writing to a String cannot fail
    let _ = writeln!(out, "{title}: {}", lines.len());
    for line in lines {
        let _ = writeln!(out, "  {line}");
    }
    Ok(())
}
