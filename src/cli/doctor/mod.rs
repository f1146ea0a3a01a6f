//! `lastmile doctor`: everything an operator asks when something is wrong. It only looks, beside a running server.

mod database;
mod edges;
mod file;
mod work;

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use super::door::{ledger_path, server_address};
use super::findings::{Tally, count, finding};
use super::{REFUSED, say};
use crate::bridge;
use crate::catalog::Problems;
use crate::flow::Setup;
use crate::ledger::{Mode, SqlLedger, Views as _};
use crate::model::Clock;
use crate::model::clock::SystemClock;
use crate::model::finding::Grade;

/// How far it looks.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Also walk every hash chain of the journal, and see that orders stand in their lanes until they end.
    #[arg(long)]
    chains: bool,
    /// Also compare every index of the ledger with its table: reads the whole file.
    #[arg(long)]
    integrity: bool,
    /// Also ask desks and platforms: are they there, are we let in, do their clocks agree with ours?
    #[arg(long)]
    online: bool,
    /// Only print the whole state as text; no person is in it.
    #[arg(long, conflicts_with_all = ["chains", "integrity", "online"])]
    dump: bool,
}

/// Looks at everything; 1 when something is wrong, 78 when the configuration is refused.
pub(super) async fn run(folder: &Path, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let setup = match bridge::load(folder, &clock) {
        Ok(setup) => setup,
        Err(problems) if arguments.dump => return Err(problems.into()),
        Err(problems) => return Ok(refused(folder, &problems)),
    };
    if arguments.dump {
        let ledger = open(&setup).await?;
        say(&ledger.dump().await?);
        return Ok(ExitCode::SUCCESS);
    }
    let (mut out, mut tally) = (format!("lastmile {}\n", env!("CARGO_PKG_VERSION")), Tally::default());
    let sound = format!("sound, version {}", setup.catalog.version);
    tally.show(&format!("configuration in {}", folder.display()), &[finding(Grade::Good, "files", sound)], &mut out);
    let address = server_address(&setup);
    match open(&setup).await {
        Ok(ledger) => {
            let path = ledger_path(&setup)?;
            tally.show(&format!("server at {address}"), &file::server(path.as_deref(), &address).await, &mut out);
            let (place, findings) = match &path {
                Some(path) => (path.display().to_string(), file::ledger(&ledger, path, arguments).await),
                None => database::ledger(&ledger, arguments).await,
            };
            tally.show(&format!("ledger {place}"), &findings, &mut out);
            tally.show("work", &work::findings(&ledger, &setup, clock.now()).await?, &mut out);
        }
        Err(error) => tally.show("ledger", &[finding(Grade::Bad, "file", format!("{error:#}"))], &mut out),
    }
    for (edge, findings) in edges::findings(&setup, arguments.online, &*clock).await {
        tally.show(&edge, &findings, &mut out);
    }
    let _ = match (tally.bad, tally.warnings) {
        (0, 0) => writeln!(out, "\nAll is well."),
        (0, n) => writeln!(out, "\nNothing is wrong; {} to know.", count(n, "thing")),
        (n, _) => writeln!(
            out,
            "\n{} wrong: see WRONG above.",
            if n == 1 { "1 thing is".to_owned() } else { format!("{n} things are") }
        ),
    };
    say(&out);
    Ok(if tally.bad > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

async fn open(setup: &Setup) -> anyhow::Result<SqlLedger> {
    ledger_path(setup)?;
    let main = &setup.catalog.main;
    Ok(SqlLedger::open(bridge::address(&setup.catalog)?, &main.instance.name, Mode::Read).await?)
}

fn refused(folder: &Path, problems: &Problems) -> ExitCode {
    let mut out = format!("lastmile {}\n\nconfiguration in {}\n", env!("CARGO_PKG_VERSION"), folder.display());
    for problem in &problems.0 {
        let _ = writeln!(out, "  WRONG   {}", problem.to_string().replace("\n    ", "\n          "));
    }
    let _ = writeln!(out, "\nThe configuration is refused, so nothing else could be looked at: mend it first.");
    say(&out);
    ExitCode::from(REFUSED)
}
