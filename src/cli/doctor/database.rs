//! The ledger on a PostgreSQL server.

use super::Arguments;
use super::file::{bytes, chains, schema};
use crate::cli::findings::finding;
use crate::ledger::{Inspected, SqlLedger};
use crate::model::finding::{Finding, Grade};

/// A transaction open for longer keeps dead rows from being cleared away.
const LONG_S: i64 = 300;
/// Connections that others than this installation may need.
const SPARE: i64 = 10;

/// Where it is, and everything to say about it.
pub(super) async fn ledger(ledger: &SqlLedger, arguments: &Arguments) -> (String, Vec<Finding>) {
    let (place, mut findings, older) = match ledger.inspect_server().await {
        Ok(Some(found)) => (found.place.clone(), of_server(&found), found.schema < found.known_schema),
        Ok(None) => return Default::default(),
        Err(error) => ("on PostgreSQL".to_owned(), vec![finding(Grade::Bad, "server", error.to_string())], false),
    };
    findings.extend(chains(ledger, arguments, older).await);
    (place, findings)
}

fn of_server(found: &Inspected) -> Vec<Finding> {
    let server = if found.standby {
        finding(Grade::Bad, "server", format!("PostgreSQL {}, a standby: it only reads", found.version))
    } else {
        finding(Grade::Good, "server", format!("PostgreSQL {}", found.version))
    };
    let durable = format!(
        "fsync {}, full_page_writes {}, synchronous_commit {}",
        found.fsync, found.full_page_writes, found.synchronous_commit
    );
    let durability = match (found.fsync.as_str(), found.full_page_writes.as_str(), found.synchronous_commit.as_str()) {
        ("on", "on", "on" | "remote_apply") => {
            finding(Grade::Good, "durability", format!("{durable}: what was answered survives a power cut"))
        }
        ("on", "on", _) => {
            finding(Grade::Good, "durability", format!("{durable}; lastmile's own commits wait for the disk all the same"))
        }
        _ => finding(Grade::Bad, "durability", format!("{durable}: a power cut could lose what was answered")),
    };
    let (open, most) = found.connections;
    let connections = format!("{open} of {most}; a replica takes up to 8");
    let connections = finding(if open + SPARE > most { Grade::Warning } else { Grade::Good }, "connections", connections);
    let age = found.oldest_transaction_s;
    let oldest = if age > LONG_S {
        let words = format!("open for {} minutes: until it ends, dead rows pile up and claims get slower", age / 60);
        finding(Grade::Warning, "oldest transaction", words)
    } else {
        finding(Grade::Good, "oldest transaction", format!("{age} s"))
    };
    let size = finding(Grade::Good, "size", bytes(u64::try_from(found.bytes).unwrap_or(0)));
    vec![server, schema(found.schema, found.known_schema), durability, size, connections, oldest]
}
