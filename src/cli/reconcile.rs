//! `lastmile reconcile`: where platform, ledger and desks disagree, and its repair.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::door::{Deed, Door, DoorArguments};
use super::{say, say_aside};
use crate::flow::reconcile::{self, Stepped};
use crate::flow::{Setup, Worker};
use crate::ledger::{Action, Comparing as _, Ledger, Turn};
use crate::model::clock::SystemClock;
use crate::model::{Clock, Id, Timestamp};

/// Most findings told.
const MOST: usize = 500;
/// Between two steps, and two looks at the server's comparison.
const PAUSE: Duration = Duration::from_millis(500);
/// How often it is said what is waited for.
const SAY_EVERY_MS: i64 = 10_000;
/// Without a step for so long, it is not waited for any more: an edge that failed is asked again each minute.
const GIVE_UP_MS: i64 = 180_000;
/// How long a turn to compare is kept; longer than a step takes.
const HOLD_MS: i64 = 120_000;

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
                let mut watched = Watched::default();
                while !watched.heed(&server.ask("/api/v1/reconcile").await?)? {
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

/// A comparison by others, watched while it runs.
#[derive(Default)]
struct Watched {
    /// Edges under way, each with how much was looked at.
    under_way: BTreeMap<String, u64>,
    /// Boot-time clock of the last step that was seen, and of the last words.
    moved: Option<i64>,
    said: Option<i64>,
}

/// What became of it since the last look.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Complete,
    Same,
    /// What is waited for, for people.
    News(String),
    /// It has not moved for long: why not to wait any more.
    Stuck(String),
}

impl Watched {
    /// Says what there is to say; whether the comparison is complete.
    fn heed(&mut self, report: &Value) -> anyhow::Result<bool> {
        match self.look(report, SystemClock.boot_ms()) {
            Seen::Complete => return Ok(true),
            Seen::Same => {}
            Seen::News(words) => say_aside(&words),
            Seen::Stuck(words) => anyhow::bail!(words),
        }
        Ok(false)
    }

    fn look(&mut self, report: &Value, now: i64) -> Seen {
        let edges = report["edges"].as_array().map(Vec::as_slice).unwrap_or_default();
        let running = edges.iter().filter(|edge| edge["running"] == true);
        let under_way: BTreeMap<String, u64> = running
            .map(|edge| (edge["edge"].as_str().unwrap_or_default().to_owned(), edge["so_far"].as_u64().unwrap_or(0)))
            .collect();
        if under_way.is_empty() {
            return Seen::Complete;
        }
        let (begins, ended) = (self.moved.is_none(), self.under_way.keys().any(|edge| !under_way.contains_key(edge)));
        if begins || under_way != self.under_way {
            (self.under_way, self.moved) = (under_way, Some(now));
        }
        let still = self.moved.map_or(0, |at| now - at);
        if still >= GIVE_UP_MS {
            return Seen::Stuck(format!(
                "nothing was compared for {} minutes; still to be done: {}. `lastmile serve` goes on by itself as soon as it can (does the \
                 edge answer? `lastmile doctor` says so); `lastmile reconcile` shows what was found",
                GIVE_UP_MS / 60_000,
                self.words()
            ));
        }
        if begins || ended || self.said.is_none_or(|at| now - at >= SAY_EVERY_MS) {
            self.said = Some(now);
            return Seen::News(format!("comparing; waiting for {}\n", self.words()));
        }
        Seen::Same
    }

    fn words(&self) -> String {
        let each = self.under_way.iter().map(|(edge, looked)| format!("{edge} ({looked} looked at)"));
        each.collect::<Vec<_>>().join(", ")
    }
}

/// No server runs, or several serve a ledger that PostgreSQL keeps: each edge is compared here at the same pace, unless it is
/// another process's turn.
async fn compare(ledger: &dyn Ledger, setup: &Setup) -> anyhow::Result<()> {
    let owner = Worker::new().owner;
    for edge in setup.edges() {
        reconcile::begin(ledger, &edge, SystemClock.now()).await?;
    }
    let mut compared = Ok(());
    for edge in setup.edges() {
        compared = compared.and(compare_edge(ledger, setup, &edge, &owner).await);
    }
    for source in setup.sources.values() {
        source.close().await;
    }
    ledger.leave(&owner).await?;
    compared
}

async fn compare_edge(ledger: &dyn Ledger, setup: &Setup, edge: &str, owner: &str) -> anyhow::Result<()> {
    let (clock, mut watched) = (SystemClock, Watched::default());
    loop {
        if let Turn::Ours { .. } = ledger.turn(&reconcile::duty(edge), owner, HOLD_MS).await? {
            let stepped = match edge.split_once('/') {
                Some(("desk", name)) => {
                    reconcile::desk_step(ledger, &**setup.desks.get(name).context("no such desk")?, &clock).await?
                }
                Some((_, name)) => {
                    reconcile::source_step(ledger, &**setup.sources.get(name).context("no such source")?, &clock).await?
                }
                None => Stepped::Idle,
            };
            if stepped != Stepped::More {
                return Ok(());
            }
        } else {
            let report = json!({"edges": [reconcile::summary(ledger, edge).await?]});
            if watched.heed(&report)? {
                return Ok(());
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn report(edges: &[(&str, u64)]) -> Value {
        let under_way = |(edge, so_far): &(&str, u64)| json!({"edge": edge, "running": true, "so_far": so_far});
        let mut all: Vec<Value> = edges.iter().map(under_way).collect();
        all.push(json!({"edge": "desk/done", "running": false, "so_far": 0}));
        json!({"edges": all})
    }

    #[test]
    fn it_says_what_it_waits_for_and_ends_when_nothing_moves() {
        let mut watched = Watched::default();
        let first = watched.look(&report(&[("desk/jira", 0), ("source/idm", 0)]), 0);
        assert_eq!(first, Seen::News("comparing; waiting for desk/jira (0 looked at), source/idm (0 looked at)\n".to_owned()));
        assert_eq!(watched.look(&report(&[("desk/jira", 50), ("source/idm", 0)]), 500), Seen::Same);
        let ended = watched.look(&report(&[("desk/jira", 100)]), 1_000);
        assert_eq!(ended, Seen::News("comparing; waiting for desk/jira (100 looked at)\n".to_owned()));
        assert_eq!(watched.look(&report(&[("desk/jira", 100)]), 1_500), Seen::Same);
        assert!(matches!(watched.look(&report(&[("desk/jira", 100)]), 11_000), Seen::News(_)), "said again from time to time");
        assert!(
            matches!(watched.look(&report(&[("desk/jira", 150)]), 180_000), Seen::News(_)),
            "a step begins the patience anew"
        );
        let Seen::Stuck(words) = watched.look(&report(&[("desk/jira", 150)]), 180_000 + GIVE_UP_MS) else { panic!() };
        assert!(words.starts_with("nothing was compared for 3 minutes; still to be done: desk/jira (150 looked at)."), "{words}");
        assert_eq!(watched.look(&report(&[]), 400_000), Seen::Complete);
    }
}
