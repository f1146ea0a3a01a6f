//! `lastmile source try NAME`: proves a set-up without completing anything: rights, one page of the list, and what
//! would become of it.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use super::findings::{Tally, count};
use super::plan::{Plan, choose};
use super::{page, say, wrong_use};
use crate::bridge;
use crate::model::Clock;
use crate::model::clock::SystemClock;
use crate::source::{EventContent, ListKind, Source};

/// What to do with a source.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Log in, read one page of its list, map it, show what would become of it, and say which rights are missing.
    Try {
        /// The source, as its file is named.
        name: String,
        /// Show at most so many orders.
        #[arg(long, default_value_t = 3)]
        most: usize,
    },
}

/// Tries a source; 1 when something would not work.
pub(super) async fn run(folder: &Path, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let setup = bridge::load(folder, &clock)?;
    let What::Try { name, most } = &arguments.what;
    let source = match choose(&setup, Some(name)) {
        Ok(source) => source,
        Err(words) => return Ok(wrong_use(&words)),
    };
    let plan = Plan { setup: &setup, now: clock.now() };
    let (mut out, mut tally) = (String::new(), Tally::default());
    let _ = writeln!(out, "source {name}: {}{}", source.info().kind, list_words(source));
    tally.show("what it needs", &source.check().await, &mut out);
    let listed = if source.info().capabilities.polls { listed(source, &plan, *most, &mut out).await } else { Some(0) };
    source.close().await;
    if !source.info().capabilities.polls {
        let _ = writeln!(out, "\nIt sends by itself and has no list. Try a message of its: lastmile plan --source {name} FILE");
    }
    let wrong = tally.bad + listed.unwrap_or(1);
    let _ = match wrong {
        0 => {
            writeln!(out, "\nThe set-up works as far as it can be tried without an effect. Nothing was recorded, filed or told.")
        }
        n => writeln!(out, "\n{} would not work: see WRONG above. Nothing was recorded, filed or told.", count(n, "thing")),
    };
    say(&out);
    Ok(if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn list_words(source: &dyn Source) -> &'static str {
    match source.info().list {
        None => "",
        Some(ListKind::Cursor) => ", polled for what is new",
        Some(ListKind::Snapshot) => ", polled for all that is pending",
        Some(ListKind::Standing) => ", polled for all that is assigned (what stands at first orders nothing)",
    }
}

/// One page of the list; gives how many of its rows a person would be needed for, and `None` where it cannot be read.
async fn listed(source: &dyn Source, plan: &Plan<'_>, most: usize, out: &mut String) -> Option<usize> {
    let events = match source.first_page(plan.now).await {
        Ok(events) => events,
        Err(error) => {
            let _ = writeln!(out, "\nWRONG the list cannot be read: {error}\n  See {}", page(error.code()));
            return None;
        }
    };
    let _ = writeln!(out, "\nThe first page holds {}.", count(events.len(), "event"));
    let wrong = events.iter().filter(|event| matches!(event.content, EventContent::Unmappable { .. })).count();
    for event in events.iter().take(most) {
        out.push('\n');
        plan.show(&event.content, out);
    }
    if events.len() > most {
        let _ = writeln!(out, "\n… and {} more; --most shows them.", events.len() - most);
    }
    Some(wrong)
}
