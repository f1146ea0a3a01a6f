//! `lastmile kpi`: figures proven against the journal, or made afresh.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Subcommand;

use super::door::ledger_path;
use super::say;
use crate::bridge;
use crate::catalog::Catalog;
use crate::kpi::rollup::Rollup;
use crate::kpi::verify::{Verified, verify};
use crate::ledger::{Ledger as _, LedgerError, Mode, Replicas as _, Rollups as _, SqlLedger};
use crate::model::Clock;
use crate::model::clock::SystemClock;

/// Why figures are not thrown away.
const SERVED: &str = "the server runs: stop it first (every one of them, on PostgreSQL), or let it keep the figures, which it does by \
    itself; nothing was changed";
/// Who asks whether somebody else is there.
const OWNER: &str = "kpi rebuild";

/// What to do with the figures.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Compute every figure again from the journal and compare: counts must be the same, percentiles within one percent.
    /// Reads beside a running server, as of one moment; 1 when something differs.
    Verify,
    /// Throw all figures away and make them again from the journal. The server must be stopped; it would do the same at a
    /// gentler pace. Forecasts stay, and what is closed stays measured by the calendar and target of its time.
    Rebuild {
        /// Measure what is closed by the calendars and targets of today, too: figures of the past change.
        #[arg(long)]
        todays_calendars: bool,
    },
}

/// Verifies or rebuilds.
pub(super) async fn run(folder: &Path, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let setup = bridge::load(folder, &clock)?;
    ledger_path(&setup)?;
    let main = &setup.catalog.main;
    match arguments.what {
        What::Verify => {
            let ledger = SqlLedger::open(bridge::address(&setup.catalog)?, &main.instance.name, Mode::ReadStill).await?;
            let found = verify(&ledger, &setup.catalog, clock.now()).await?;
            say(&told(&found));
            Ok(if found.agrees() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        What::Rebuild { todays_calendars } => {
            let ledger = match SqlLedger::open(bridge::address(&setup.catalog)?, &main.instance.name, Mode::Serve).await {
                Err(LedgerError::Busy(_)) => anyhow::bail!("{SERVED}"),
                opened => opened?,
            };
            let cases = rebuild(&ledger, &setup.catalog, todays_calendars, &*clock).await;
            ledger.close().await;
            say(&format!("The figures of {} assignments were made afresh.\n", cases?));
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Where a server keeps the figures, it would go on with what it remembers of those that are gone.
async fn rebuild(ledger: &SqlLedger, catalog: &Catalog, todays_calendars: bool, clock: &dyn Clock) -> anyhow::Result<usize> {
    if ledger.is_shared() {
        let served = ledger.alive(OWNER, clock.now(), 1_000).await?.replicas > 1;
        ledger.leave(OWNER).await?;
        anyhow::ensure!(!served, "{SERVED}");
    }
    ledger.forget_figures(todays_calendars).await?;
    Ok(Rollup::new().catch_up(ledger, catalog, clock).await?)
}

fn told(found: &Verified) -> String {
    let mut out = format!(
        "{} assignments computed from their journals, {} sums and {} percentiles compared.\n",
        found.assignments, found.cells, found.percentiles
    );
    if found.waiting > 0 {
        let _ = writeln!(out, "{} changed since they were counted, and wait: what they belong to is not judged.", found.waiting);
    }
    if found.aged > 0 {
        let _ = writeln!(out, "{} sums are of an earlier hour or day and not judged: no server counted since.", found.aged);
    }
    for words in &found.differences {
        let _ = writeln!(out, "  DIFFERS {words}");
    }
    let wrong = found.cases + found.wrong;
    if wrong > found.differences.len() {
        let _ = writeln!(out, "  … and {} more", wrong - found.differences.len());
    }
    if found.agrees() {
        out.push_str("The figures agree with the journal.\n");
    } else {
        let _ = writeln!(
            out,
            "{} cases and {} sums differ. `lastmile kpi rebuild` makes them afresh; please report it, it is a defect.",
            found.cases, found.wrong
        );
    }
    out
}
