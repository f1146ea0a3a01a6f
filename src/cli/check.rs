//! `lastmile check`: is the configuration sound, and (`--online`) do desks and platforms offer what it needs?

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use crate::bridge;
use crate::flow::Setup;
use crate::model::Clock;
use crate::model::clock::SystemClock;
use crate::model::finding::{Finding, Grade};

/// Checks; problems are reported by the caller.
#[expect(clippy::print_stdout, reason = "commands speak to a person")]
pub(super) async fn run(folder: &Path, online: bool) -> anyhow::Result<ExitCode> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let setup = bridge::load(folder, &clock)?;
    let catalog = &setup.catalog;
    println!(
        "The configuration in {} is sound: {} desks, {} sources, {} applications, {} templates (version {}).",
        folder.display(),
        setup.desks.len(),
        setup.sources.len(),
        catalog.applications.len(),
        catalog.templates.len(),
        catalog.version
    );
    for (name, source) in &setup.sources {
        let kind = source.info().kind;
        println!(
            "source {name}: {kind}{}",
            if source.info().capabilities.report { "" } else { "; outcomes are not reported to it" }
        );
    }
    for (name, desk) in &setup.desks {
        println!(
            "desk {name}: {}, level {:?}, an admin group is a {}",
            desk.info().kind,
            desk.info().level,
            desk.info().group_is
        );
    }
    if !online {
        return Ok(ExitCode::SUCCESS);
    }
    let mut worst = Grade::Good;
    for (name, desk) in &setup.desks {
        worst = worst.max(show(&format!("desk {name}"), desk.check(&groups_of(&setup, name)).await));
    }
    for (name, source) in &setup.sources {
        worst = worst.max(show(&format!("source {name}"), source.check().await));
    }
    Ok(if worst == Grade::Bad { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Groups that the configuration names for a desk, in the desk's words; those by convention are known only by orders.
fn groups_of(setup: &Setup, desk: &str) -> Vec<String> {
    let only = setup.desks.len() == 1;
    let named = setup.catalog.admin_groups.iter().filter(|(_, g)| g.desk.as_deref().map_or(only, |d| d == desk));
    named.map(|(name, g)| g.name.clone().unwrap_or_else(|| name.clone())).collect::<BTreeSet<_>>().into_iter().collect()
}

#[expect(clippy::print_stdout, reason = "commands speak to a person")]
fn show(edge: &str, findings: Vec<Finding>) -> Grade {
    let mut worst = Grade::Good;
    for finding in findings {
        let mark = match finding.grade {
            Grade::Good => "ok     ",
            Grade::Warning => "warning",
            Grade::Bad => "WRONG  ",
        };
        println!("{mark} {edge}: {}: {}", finding.what, finding.words);
        worst = worst.max(finding.grade);
    }
    worst
}
