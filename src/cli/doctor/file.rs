//! The server process, and the ledger as a file.

use std::path::Path;
use std::time::Duration;

use super::Arguments;
use crate::cli::findings::{count, finding};
use crate::cli::page;
use crate::http::client::ClientSettings;
use crate::http::{Call, HttpClient};
use crate::ledger::{Holder, Inspection, Ledger as _, LedgerResult, SqlLedger, holder};
use crate::model::Id;
use crate::model::finding::{Finding, Grade};

/// A server on this machine answers within this or not at all.
const NEAR: Duration = Duration::from_secs(3);
/// Less free disk than this is too little for a busy day.
const LOW_BYTES: u64 = 1 << 30;
/// Less than this and writes will fail soon.
const OUT_BYTES: u64 = 100 << 20;

/// Who holds the lock, and whether that process answers. Without a file there is no lock: whatever answers serves.
pub(super) async fn server(path: Option<&Path>, address: &str) -> Vec<Finding> {
    let Some(path) = path else { return vec![replica(address, answer(address).await)] };
    let holder = holder(path);
    let held = match holder {
        Holder::Nobody => finding(Grade::Warning, "process", "none serves this ledger: start `lastmile serve`"),
        Holder::Process(Some(id)) => finding(Grade::Good, "process", format!("{id} serves this ledger")),
        Holder::Process(None) => finding(Grade::Good, "process", "one serves this ledger"),
    };
    let answers = match (holder, answer(address).await) {
        (Holder::Process(_), Some(200)) => finding(Grade::Good, "readiness", "ready: a write would succeed now"),
        (Holder::Process(_), Some(status)) => finding(
            Grade::Bad,
            "readiness",
            format!("not ready ({status}): it cannot write its ledger; see {}", page("ledger-away")),
        ),
        (Holder::Process(_), None) => {
            finding(Grade::Bad, "readiness", "it does not answer: it hangs, or listens elsewhere than [server] listen says now")
        }
        (Holder::Nobody, Some(_)) => {
            finding(Grade::Bad, "readiness", "something answers there, but it does not serve this ledger: two installations?")
        }
        (Holder::Nobody, None) => return vec![held],
    };
    vec![held, answers]
}

/// The status with which it says whether it is ready.
async fn answer(address: &str) -> Option<u16> {
    let client = HttpClient::new(ClientSettings { timeout: NEAR, ..ClientSettings::for_edge("the server") }).ok()?;
    Some(client.send(Call::new("GET", format!("{address}/readyz"))).await.ok()?.status)
}

/// One of several that may serve the ledger.
fn replica(address: &str, status: Option<u16>) -> Finding {
    match status {
        Some(200) => finding(Grade::Good, "replica", format!("ready at {address}; others may serve the same ledger")),
        Some(status) => finding(
            Grade::Bad,
            "replica",
            format!("not ready ({status}): it cannot write its ledger; see {}", page("ledger-away")),
        ),
        None => finding(Grade::Warning, "replica", format!("none answers at {address}; others may serve the same ledger")),
    }
}

/// The file: schema, safety, size, damage; the disk under it.
pub(super) async fn ledger(ledger: &SqlLedger, path: &Path, arguments: &Arguments) -> Vec<Finding> {
    let inspection = ledger.inspect(arguments.integrity).await;
    let older = matches!(&inspection, Ok(Some(found)) if found.schema < found.known_schema);
    let mut findings = match inspection {
        Ok(inspection) => inspection.map(|i| of_file(&i, arguments.integrity)).unwrap_or_default(),
        Err(error) => vec![finding(Grade::Bad, "file", error.to_string())],
    };
    findings.push(disk(path));
    findings.extend(chains(ledger, arguments, older).await);
    findings
}

/// The journal's chains and the lanes, where they are asked for. `older`: the ledger's schema is not this program's.
pub(super) async fn chains(ledger: &SqlLedger, arguments: &Arguments, older: bool) -> Vec<Finding> {
    if !arguments.chains {
        return Vec::new();
    }
    if older {
        let words =
            "its chains are walked when `serve` has migrated the ledger; the `doctor` of the version before walks them now";
        return vec![finding(Grade::Warning, "journal", words)];
    }
    let (journal, lanes) = (ledger.verify_chains().await, ledger.verify_ends().await);
    vec![
        of_orders("journal", journal, "every hash chain holds", |n| format!("{} broken", count(n, "chain"))),
        of_orders("lanes", lanes, "every order stands in its lane until it ends", |n| {
            format!("{} with a time of closing that does not fit the state", count(n, "order"))
        }),
    ]
}

fn of_orders(what: &str, wrong: LedgerResult<Vec<Id>>, good: &str, bad: impl Fn(usize) -> String) -> Finding {
    match wrong {
        Ok(wrong) if wrong.is_empty() => finding(Grade::Good, what, good),
        Ok(wrong) => {
            let ids: Vec<String> = wrong.iter().take(5).map(ToString::to_string).collect();
            let (bad, ids) = (bad(wrong.len()), ids.join(", "));
            finding(Grade::Bad, what, format!("{bad}, as of {ids}: rows were changed from outside; compare with a backup"))
        }
        Err(error) => finding(Grade::Bad, what, error.to_string()),
    }
}

/// The ledger's schema beside the newest that this program knows.
pub(super) fn schema(found: i64, known: i64) -> Finding {
    if found < known {
        let words = format!("{found}, this lastmile knows {known}: it is migrated when `serve` starts");
        return finding(Grade::Warning, "schema", words);
    }
    finding(Grade::Good, "schema", found.to_string())
}

fn of_file(found: &Inspection, thorough: bool) -> Vec<Finding> {
    let safe = found.synchronous >= 2 && found.journal_mode == "wal";
    let level = match found.synchronous {
        0 => "OFF",
        1 => "NORMAL",
        2 => "FULL",
        _ => "EXTRA",
    };
    let durable = format!("synchronous {level}, journal {}", found.journal_mode);
    let safety = if safe {
        finding(Grade::Good, "durability", format!("{durable}: what was answered survives a power cut"))
    } else {
        finding(Grade::Bad, "durability", format!("{durable}: a power cut could lose what was answered"))
    };
    let size = format!("{}, and {} in the log beside it", bytes(found.bytes), bytes(found.log_bytes));
    let damage = if found.damage.is_empty() {
        let words = if thorough { "no damage, indexes included" } else { "no damage (--integrity also compares the indexes)" };
        finding(Grade::Good, "check", words)
    } else {
        let words = format!("damaged: {}; stop the server, keep the file, restore a backup", found.damage.join("; "));
        finding(Grade::Bad, "check", words)
    };
    vec![schema(found.schema, found.known_schema), safety, finding(Grade::Good, "size", size), damage]
}

fn disk(path: &Path) -> Finding {
    let folder = path.parent().filter(|f| !f.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match rustix::fs::statvfs(folder) {
        Err(error) => finding(Grade::Warning, "disk", format!("its free space cannot be read: {error}")),
        Ok(disk) => {
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            let (grade, words) = match free {
                0..OUT_BYTES => (Grade::Bad, "writes will fail soon: make room"),
                OUT_BYTES..LOW_BYTES => (Grade::Warning, "little: make room"),
                _ => (Grade::Good, "enough"),
            };
            finding(grade, "disk", format!("{} free: {words}", bytes(free)))
        }
    }
}

/// Sizes as people say them.
pub(super) fn bytes(n: u64) -> String {
    match n {
        0..1_024 => format!("{n} bytes"),
        1_024..1_048_576 => format!("{} KiB", n >> 10),
        1_048_576..1_073_741_824 => format!("{} MiB", n >> 20),
        _ => format!("{} GiB", n >> 30),
    }
}
