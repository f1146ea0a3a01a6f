//! `lastmile check`: is the configuration sound, and (`--online`) do desks and platforms offer what it needs?

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use super::findings::{Tally, count};
use super::say;
use crate::bridge;
use crate::catalog::Catalog;
use crate::flow::Setup;
use crate::model::clock::SystemClock;
use crate::model::{Clock, Timestamp};
use crate::source::Source;

/// Checks; problems are reported by the caller.
pub(super) async fn run(folder: &Path, online: bool) -> anyhow::Result<ExitCode> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let setup = bridge::load(folder, &clock)?;
    let mut out = String::new();
    sources(&setup, clock.now(), &mut out);
    desks(&setup, &mut out);
    let doubtful = routes(&setup, &mut out);
    let catalog = &setup.catalog;
    let _ = writeln!(
        out,
        "\nThe configuration in {} is sound: {}, {}, {}, {} (version {}).",
        folder.display(),
        count(setup.desks.len(), "desk"),
        count(setup.sources.len(), "source"),
        count(catalog.applications.len(), "application"),
        count(catalog.templates.len(), "template"),
        catalog.version
    );
    if doubtful > 0 {
        let _ = writeln!(out, "{} worth a look: see `look` above.", count(doubtful, "route"));
    }
    say(&out);
    if online { ask(&setup).await } else { Ok(ExitCode::SUCCESS) }
}

fn sources(setup: &Setup, now: Timestamp, out: &mut String) {
    for (name, source) in &setup.sources {
        let can = source.info().capabilities;
        let ways = [
            (can.pushes, "takes webhooks"),
            (can.polls, "is polled"),
            (can.report && !can.asks, "hears outcomes"),
            (can.asks, "asks for outcomes"),
            (can.hears_progress(), "hears how far orders are"),
        ];
        let mut words: Vec<&str> = ways.iter().filter(|(can, _)| *can).map(|(_, words)| *words).collect();
        if !can.report {
            words.push("hears no outcomes (no [report])");
        }
        let _ = writeln!(out, "source {name}: {}", words.join(", "));
        if let Some(words) = can.kept_here().filter(|_| can.report) {
            let _ = writeln!(out, "  {words}");
        }
        if nobody_can_show(&setup.catalog, name) {
            let _ = writeln!(
                out,
                "  look: it wants client certificates, and nobody can show one: give `tls` with `client_ca` under [server]"
            );
        }
        if let Some(schedule) = &source.info().schedule {
            let _ = writeln!(out, "  schedule `{schedule}`, next: {}", fires(&**source, now).join(", "));
        }
    }
}

/// Client certificates are wanted, and no listener asks for them.
fn nobody_can_show(catalog: &Catalog, source: &str) -> bool {
    let asked = catalog.main.server.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
    let file = catalog.sources.get(source).and_then(|edge| edge.file.parse::<toml::Table>().ok());
    let scheme = file.as_ref().and_then(|file| file.get("webhook")?.get("verify")?.get("scheme")?.as_str());
    !asked && scheme == Some("client-certificate")
}

/// The next times, so that a misread schedule is seen before it runs.
fn fires(source: &dyn Source, now: Timestamp) -> Vec<String> {
    std::iter::successors(source.next_poll(now), |at| source.next_poll(*at)).take(3).map(seconds).collect()
}

fn seconds(at: Timestamp) -> String {
    at.to_utc().format("%a %Y-%m-%d %H:%M:%S UTC").to_string()
}

fn desks(setup: &Setup, out: &mut String) {
    for (name, desk) in &setup.desks {
        let info = desk.info();
        let _ = writeln!(out, "desk {name}: {}, an admin group is its {}", info.kind, info.group_is);
        let _ = writeln!(out, "  level {:?}: {}", info.level, info.level.words());
    }
}

/// Where typical orders go; gives how many deserve a look.
fn routes(setup: &Setup, out: &mut String) -> usize {
    let (mut doubtful, mut last) = (0, String::new());
    for route in setup.planner.route_samples() {
        if route.application != last {
            let _ = writeln!(out, "application {}", route.application);
            last.clone_from(&route.application);
        }
        let doubt = match (route.nobody, route.never_wins) {
            (true, _) => "look: nobody would get it: ",
            (_, true) => "look: this rule never wins, an earlier one does: ",
            _ => "",
        };
        doubtful += usize::from(!doubt.is_empty());
        let _ = writeln!(out, "  {}: {doubt}{}", route.case, route.words);
    }
    doubtful
}

/// Asks every edge; 1 when one of them does not offer what is needed.
async fn ask(setup: &Setup) -> anyhow::Result<ExitCode> {
    let (mut out, mut worst) = (String::new(), Tally::default());
    for (name, desk) in &setup.desks {
        worst.show(&format!("desk {name}"), &desk.check(&setup.planner.groups_on(name)).await, &mut out);
    }
    for (name, source) in &setup.sources {
        worst.show(&format!("source {name}"), &source.check().await, &mut out);
        source.close().await;
    }
    let _ = match (worst.bad, worst.warnings) {
        (0, 0) => writeln!(out, "\nDesks and platforms offer everything the configuration needs."),
        (0, n) => writeln!(out, "\nDesks and platforms offer what is needed, with {}.", count(n, "drawback")),
        (n, _) => writeln!(out, "\n{} will not work as configured: see WRONG above.", count(n, "thing")),
    };
    say(&out);
    Ok(if worst.bad > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
