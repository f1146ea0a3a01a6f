//! `lastmile reconcile`: where platform, ledger and desks disagree, and its repair.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};

use super::door::{Deed, Door, DoorArguments};
use super::say;
use crate::flow::reconcile::{self, Stepped};
use crate::flow::{Pauses, Setup};
use crate::ledger::{Action, Comparing as _, Ledger};
use crate::model::clock::SystemClock;
use crate::model::{Clock, Id, Timestamp};

/// Most findings told.
const MOST: usize = 500;
/// Between two steps, and two looks at the server's comparison.
const PAUSE: Duration = Duration::from_millis(500);

/// What is to be done.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Compare before telling: ask every desk and platform. Takes about half a second per hundred tickets.
    #[arg(long)]
    now: bool,
    /// Mend this finding, as the list says.
    #[arg(long, value_name = "FINDING", conflicts_with_all = ["now", "dismiss"])]
    repair: Option<Id>,
    /// This finding is as it shall be, or is mended elsewhere: it is not shown again.
    #[arg(long, value_name = "FINDING", conflicts_with = "now")]
    dismiss: Option<Id>,
    #[command(flatten)]
    door: DoorArguments,
}

/// Tells what disagrees; 1 when something does, or could not be mended.
pub(super) async fn run(folder: &Path, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let door = Door::open(folder, &arguments.door).await?;
    let done = carry_out(&door, arguments).await;
    door.close().await;
    done
}

async fn carry_out(door: &Door, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let action = match (arguments.repair, arguments.dismiss) {
        (Some(finding), _) => Some(Action::Repair { finding }),
        (_, Some(finding)) => Some(Action::Dismiss { finding }),
        _ => None,
    };
    if let Some(action) = action {
        let did = door.carry_out(Deed::Act(action)).await?;
        say(&format!("{}{}\n", if did.done { "" } else { "NOT DONE: " }, did.words));
        return Ok(if did.done { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let report = match door {
        Door::Server(server) => {
            if arguments.now {
                server.begin("/api/v1/reconcile").await?;
                while runs(&server.ask("/api/v1/reconcile").await?) {
                    tokio::time::sleep(PAUSE).await;
                }
            }
            server.ask("/api/v1/reconcile").await?
        }
        Door::Own(ledger, setup) => {
            if arguments.now {
                compare(&**ledger, setup).await?;
            }
            let mut edges = Vec::new();
            for edge in setup.edges() {
                edges.push(reconcile::summary(&**ledger, &edge).await?);
            }
            json!({"findings": ledger.findings(&None, MOST).await?, "edges": edges})
        }
    };
    let (text, found) = told(&report);
    say(&text);
    Ok(if found == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn runs(report: &Value) -> bool {
    report["edges"].as_array().is_some_and(|edges| edges.iter().any(|edge| edge["running"] == true))
}

/// No server runs: every edge is compared here, at the same pace.
async fn compare(ledger: &dyn Ledger, setup: &Setup) -> anyhow::Result<()> {
    let (clock, pauses) = (SystemClock, Pauses::default());
    for edge in setup.edges() {
        reconcile::begin(ledger, &edge, clock.now()).await?;
    }
    for desk in setup.desks.values() {
        while reconcile::desk_step(ledger, &**desk, &pauses, &clock).await? == Stepped::More {
            tokio::time::sleep(PAUSE).await;
        }
    }
    for source in setup.sources.values() {
        while reconcile::source_step(ledger, &**source, &pauses, &clock).await? == Stepped::More {
            tokio::time::sleep(PAUSE).await;
        }
        source.close().await;
    }
    Ok(())
}

/// The report for people, and how much disagrees.
fn told(report: &Value) -> (String, usize) {
    let mut out = String::new();
    let list = |name: &str| report[name].as_array().cloned().unwrap_or_default();
    let word = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
    let mut never = false;
    for edge in list("edges") {
        never |= edge["at"].is_null();
        let last = match edge["at"].as_i64() {
            Some(at) => {
                format!("compared {}, {} looked at, {} disagreed", Timestamp(at).human(), edge["looked"], edge["found"])
            }
            None => "never compared yet: --now does it".to_owned(),
        };
        let running = if edge["running"] == true { "; a comparison runs" } else { "" };
        let _ = writeln!(out, "{}: {last}{running}", word(&edge, "edge"));
    }
    let findings = list("findings");
    for row in &findings {
        let order = row["application"].as_str().map(|name| format!(", for {name}")).unwrap_or_default();
        let _ = writeln!(
            out,
            "\n{}  {}  {} on {}{order}",
            word(row, "id"),
            word(row, "kind"),
            word(row, "number"),
            word(row, "edge")
        );
        let _ = writeln!(out, "    {}", word(row, "words"));
        let repair = match row["repair"].as_str() {
            Some(repair) => format!("`lastmile reconcile --repair {}` {repair}", word(row, "id")),
            None => "nothing here can mend it: look at it on the desk".to_owned(),
        };
        let _ = writeln!(out, "    {repair}");
    }
    let _ = match findings.len() {
        0 if never => writeln!(out, "\nNothing is known to disagree."),
        0 => writeln!(out, "\nPlatform, ledger and desks agree."),
        n => writeln!(out, "\n{n} to look at; what is as it shall be goes with `lastmile reconcile --dismiss ID`."),
    };
    (out, findings.len())
}
