//! `lastmile replay`: authentic events that did not map; maps them afresh or throws them away.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use super::door::{Deed, Door, DoorArguments, ledger_path};
use super::say;
use crate::bridge;
use crate::ledger::views::QuarantineRow;
use crate::ledger::{Action, Mode, SqlLedger, Views as _};
use crate::model::clock::SystemClock;
use crate::model::{Clock, Id};

/// Most events shown or replayed at once.
const MOST: usize = 1_000;

/// What is to be replayed.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Events by id; without any, what is held is listed.
    ids: Vec<Id>,
    /// Every event that is held.
    #[arg(long, conflicts_with = "ids")]
    all: bool,
    /// Throw them away instead: they will not become orders.
    #[arg(long)]
    discard: bool,
    #[command(flatten)]
    door: DoorArguments,
}

/// Lists, replays or discards; 1 when one of them still does not map.
pub(super) async fn run(folder: &Path, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let ids = match (arguments.ids.is_empty(), arguments.all) {
        (true, false) if arguments.discard => {
            return Ok(super::wrong_use("say which events to discard: their ids, or --all"));
        }
        (true, false) => return list(folder).await,
        (true, true) => held(folder).await?.into_iter().map(|row| row.id).collect(),
        (false, _) => arguments.ids.clone(),
    };
    if ids.is_empty() {
        say("Nothing is held in quarantine.\n");
        return Ok(ExitCode::SUCCESS);
    }
    let door = Door::open(folder, &arguments.door).await?;
    let (mut out, mut failed) = (String::new(), 0);
    let mut broken = None;
    for id in ids {
        let deed = if arguments.discard { Deed::Act(Action::Discard { quarantined: id }) } else { Deed::Replay(id) };
        match door.carry_out(deed).await {
            Ok(did) => {
                failed += usize::from(!did.done);
                let _ = writeln!(out, "{id}  {}{}", if did.done { "" } else { "NOT DONE: " }, did.words);
            }
            // What was done before is still said.
            Err(error) => {
                broken = Some(error);
                break;
            }
        }
    }
    say(&out);
    door.close().await;
    match broken {
        Some(error) => Err(error),
        None => Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }),
    }
}

async fn held(folder: &Path) -> anyhow::Result<Vec<QuarantineRow>> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let setup = bridge::load(folder, &clock)?;
    ledger_path(&setup)?;
    let main = &setup.catalog.main;
    let ledger = SqlLedger::open(bridge::address(&setup.catalog)?, &main.instance.name, Mode::Read).await?;
    Ok(ledger.operations(&None, true, MOST).await?.quarantined)
}

async fn list(folder: &Path) -> anyhow::Result<ExitCode> {
    let rows = held(folder).await?;
    let mut out = String::new();
    for row in &rows {
        let _ = writeln!(out, "{}  {}  source {}, {} bytes", row.id, row.received_at.human(), row.source, row.bytes);
        let _ = writeln!(out, "    {}", row.problem.as_deref().unwrap_or_default());
    }
    let _ = match rows.len() {
        0 => writeln!(out, "Nothing is held in quarantine."),
        n => writeln!(
            out,
            "\n{n} held. Mend the mapping of the source, try it with `lastmile plan`, then `lastmile replay --all`; what is no \
             order goes with `lastmile replay --discard ID`."
        ),
    };
    say(&out);
    Ok(ExitCode::SUCCESS)
}
