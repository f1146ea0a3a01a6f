//! `lastmile report NAME`: a scheduled report as it would be sent, to look at or to send now.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;

use super::door::ledger_path;
use super::{page, say, wrong_use};
use crate::bridge;
use crate::catalog::MainFile;
use crate::ledger::{Mode, SqlLedger};
use crate::mailing;
use crate::model::Clock;
use crate::model::clock::SystemClock;

/// Which report, and where to.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Its name in [[reports]].
    name: String,
    /// Print it as text. What is done unless said otherwise.
    #[arg(long)]
    to_stdout: bool,
    /// Send it now to all its receivers, whatever its schedule says; when it is due it is sent all the same.
    #[arg(long, conflicts_with = "to_stdout")]
    send: bool,
    /// Write its workbook into this file, too.
    #[arg(long, value_name = "FILE")]
    workbook: Option<PathBuf>,
}

/// Prepares the report as if it were due now. Reads beside a running server.
pub(super) async fn run(folder: &Path, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let setup = bridge::load(folder, &clock)?;
    let main = &setup.catalog.main;
    let Some(report) = main.reports.iter().find(|r| r.name == arguments.name) else {
        return Ok(wrong_use(&unknown(main, &arguments.name)));
    };
    ledger_path(&setup)?;
    let ledger = SqlLedger::open(bridge::address(&setup.catalog)?, &main.instance.name, Mode::Read).await?;
    let now = clock.now();
    let prepared = mailing::prepare(&ledger, &setup.catalog, report, now, now).await?;
    if let Some(file) = &arguments.workbook {
        std::fs::write(file, &prepared.workbook).with_context(|| format!("cannot write {}", file.display()))?;
    }
    if !arguments.send {
        let next = report.times().next_after(now).map_or_else(|| "never".to_owned(), |at| at.human());
        say(&format!("{}\nDue next: {next}. Nothing was sent.\n", prepared.text));
        return Ok(ExitCode::SUCCESS);
    }
    let mut code = ExitCode::SUCCESS;
    for (way, sent) in mailing::send_now(&setup.catalog, report, &prepared, now).await {
        let (name, way) = (&report.name, way.as_str());
        match sent {
            Ok(()) => say(&format!("Sent {name} by {way}.\n")),
            Err(error) => {
                say(&format!("NOT SENT {name} by {way}: {error}\nSee {}\n", page(error.code())));
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}

fn unknown(main: &MainFile, name: &str) -> String {
    let names: Vec<&str> = main.reports.iter().map(|r| r.name.as_str()).collect();
    if names.is_empty() {
        return "no report is configured: describe one as [[reports]] in lastmile.toml".to_owned();
    }
    format!("there is no report `{name}`; configured are: {}", names.join(", "))
}
