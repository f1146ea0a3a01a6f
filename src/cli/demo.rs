//! `lastmile demo`: the whole bridge between a sandbox platform and two sandbox desks; nothing to configure.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;

use crate::bridge::{self, Bridge};
use crate::ledger::{Ledger, Past};
use crate::model::clock::SystemClock;
use crate::model::{Clock, Outcome};
use crate::runtime::telemetry;
use crate::sandbox::{Admins, DeskKind, Faults, Pace, PlatformFaults, SandboxDesk, SandboxPlatform, config, history};
use crate::web;

/// The demo always plays the same company.
const SEED: u64 = 7;
/// Weeks of history and orders a working day.
const PAST: (u32, u32) = (8, 40);
/// Pause between new orders.
const ORDER_EVERY: Duration = Duration::from_secs(4);
/// How long `--once` waits for its completion.
const ONCE_WITHIN: Duration = Duration::from_secs(60);

/// What the demo was asked for.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Folder for the sandbox's and the bridge's state; they keep files of their own in it.
    #[arg(long, default_value = "demo-state")]
    state: PathBuf,
    /// Carry one assignment through, say what happened, and end.
    #[arg(long)]
    once: bool,
    /// Port of the bridge; the sandbox takes the three after it.
    #[arg(long, default_value_t = 8480)]
    port: u16,
}

/// The sandbox around the bridge.
struct Stage {
    platform: SandboxPlatform,
    jira: SandboxDesk,
    servicenow: SandboxDesk,
}

/// Runs until stopped, or through one assignment.
#[expect(clippy::print_stdout, reason = "commands speak to a person")]
pub(super) async fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let temporary = arguments.once.then(|| std::env::temp_dir().join(format!("lastmile-once-{}", crate::model::random::token())));
    let folder = temporary.clone().unwrap_or_else(|| arguments.state.clone());
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let folder = folder.canonicalize()?;
    let port = if arguments.once { 0 } else { arguments.port };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let stage = set_stage(&folder, port, &clock).await?;
    let listener = tokio::net::TcpListener::bind(at(port))
        .await
        .with_context(|| format!("port {port} is taken; choose another with --port"))?;
    let address = listener.local_addr()?;
    let setup = bridge::setup(configuration(&folder, &stage, address)?, &clock)?;
    let bridge = Bridge::open(setup, Arc::clone(&clock), false).await?;
    bridge.runtime.start();
    let note = "This is the demo: the people, the orders and both desks are made up.".to_owned();
    let app = web::router(bridge.web(telemetry::metrics_handle(), true, Some(note)));
    let server = tokio::spawn(web::serve(listener, app, std::future::pending()));
    stage.platform.deliver_to(&format!("http://{address}/hooks/{}", config::SOURCE), Duration::from_secs(1));
    let code = if arguments.once {
        once(&stage, &*clock).await
    } else {
        println!(
            "lastmile demo\n\n  Page            http://{address}/\n  Sandbox Jira    {}\n  Sandbox ServiceNow {}\n  State           {}\n\nKill it whenever you like and start it again: nothing is lost or doubled. Ctrl-C stops it.\n",
            stage.jira.url(),
            stage.servicenow.url(),
            folder.display()
        );
        load_past(&*bridge.ledger, &*clock).await?;
        play(&stage, &*clock).await;
        ExitCode::SUCCESS
    };
    server.abort();
    bridge.close().await;
    if let Some(folder) = temporary {
        std::fs::remove_dir_all(folder)?;
    }
    Ok(code)
}

fn at(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

async fn set_stage(folder: &Path, port: u16, clock: &Arc<dyn Clock>) -> anyhow::Result<Stage> {
    let after = |n: u16| at(if port == 0 { 0 } else { port + n });
    let file = |name: &str| Some(folder.join(name));
    let taken = || format!("one of the ports {} to {} is taken; choose others with --port", port + 1, port + 3);
    let desk = |kind, name, n| SandboxDesk::start(kind, Arc::clone(clock), Arc::new(Faults::seeded(SEED)), file(name), after(n));
    let platform = SandboxPlatform::start(
        Arc::clone(clock),
        file("sandbox-platform.json"),
        after(1),
        Arc::new(PlatformFaults::default()),
        SEED,
    );
    Ok(Stage {
        platform: platform.await.with_context(taken)?,
        jira: desk(DeskKind::JiraCloud, "sandbox-jira.json", 2).await.with_context(taken)?,
        servicenow: desk(DeskKind::ServiceNow, "sandbox-servicenow.json", 3).await.with_context(taken)?,
    })
}

/// Writes the demo's configuration as files, so that a curious person can read it, and loads it as any other.
fn configuration(folder: &Path, stage: &Stage, address: SocketAddr) -> anyhow::Result<crate::catalog::Catalog> {
    let config = folder.join("config");
    for (path, text) in config::files(stage.platform.url(), stage.jira.url(), stage.servicenow.url(), &address.to_string()) {
        let path = config.join(path);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(path, text)?;
    }
    let mut catalog = crate::catalog::Catalog::load(&config)?;
    catalog.main.ledger.url = format!("sqlite:{}", folder.join("ledger.db").display());
    Ok(catalog)
}

/// Weeks of finished work, so that the pages have something to show. Loaded once.
async fn load_past(ledger: &dyn Ledger, clock: &dyn Clock) -> anyhow::Result<()> {
    if !ledger.move_cursor("demo/history", None, "loaded", clock.now()).await? {
        return Ok(());
    }
    let told = history::history(SEED, clock.now(), PAST.0, PAST.1).map_err(anyhow::Error::msg)?;
    let finished: Vec<Past> = told.into_iter().enumerate().filter_map(|(n, p)| finished(n, p)).collect();
    for part in finished.chunks(200) {
        ledger.load_history(part.to_vec()).await?;
    }
    Ok(())
}

fn finished(n: usize, past: history::Past) -> Option<Past> {
    let lead = past.assignment.valid_from.map(|from| from.plus_ms(-3 * 86_400_000));
    Some(Past {
        received_at: past.approved,
        eligible_at: lead.map_or(past.approved, |lead| lead.max(past.approved)),
        filed_at: past.filed,
        first_work_at: past.first_work,
        closed_at: past.closed?,
        reported_at: past.reported?,
        outcome: past.outcome.unwrap_or(Outcome::Fulfilled),
        desk: past.desk.to_owned(),
        admin_group: past.group,
        number: format!("OLD-{}", n + 1),
        assignment: past.assignment,
    })
}

/// Orders come, admins work, until somebody stops it.
async fn play(stage: &Stage, clock: &dyn Clock) {
    let pace = Pace { take_ms: 12_000, work_ms: 20_000, ..Pace::default() };
    let mut admins = [(Admins::new(SEED, pace), stage.jira.state()), (Admins::new(SEED + 1, pace), stage.servicenow.state())];
    let mut next_order = tokio::time::interval(ORDER_EVERY);
    let mut work = tokio::time::interval(Duration::from_millis(500));
    let stop = stopped();
    tokio::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => return,
            _ = next_order.tick() => drop(stage.platform.order(1)),
            _ = work.tick() => {
                for (admins, state) in &mut admins {
                    admins.step(state, clock.now());
                }
            }
        }
    }
}

async fn stopped() {
    let term = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut term) => drop(term.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! { _ = tokio::signal::ctrl_c() => {}, () = term => {} }
}

/// One assignment from order to completion.
#[expect(clippy::print_stdout, reason = "commands speak to a person")]
async fn once(stage: &Stage, clock: &dyn Clock) -> ExitCode {
    let quick = Pace { take_ms: 200, work_ms: 300, waits: 0, not_fulfilled: 0 };
    let mut admins = [(Admins::new(SEED, quick), stage.jira.state()), (Admins::new(SEED + 1, quick), stage.servicenow.state())];
    let Some(order) = place_one(stage, clock) else {
        println!("the sandbox placed no order");
        return ExitCode::FAILURE;
    };
    println!("1. the platform approved order {order}");
    let mut ticket_shown = false;
    let deadline = clock.boot_ms() + i64::try_from(ONCE_WITHIN.as_millis()).unwrap_or(i64::MAX);
    while clock.boot_ms() < deadline {
        for (admins, state) in &mut admins {
            admins.step(state, clock.now());
            if let (false, Some(ticket)) = (ticket_shown, state.all().first()) {
                println!("2. ticket {} was filed: {}", ticket.number, ticket.summary);
                ticket_shown = true;
            }
        }
        if let Some(completion) = stage.platform.state().completions_of(&order).first() {
            println!("3. its admin closed it, and the platform heard: {}", completion["outcome"].as_str().unwrap_or("?"));
            return ExitCode::SUCCESS;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!("no completion within {} s", ONCE_WITHIN.as_secs());
    ExitCode::FAILURE
}

/// An order that is due now: nothing about the future.
fn place_one(stage: &Stage, clock: &dyn Clock) -> Option<String> {
    let mut document = crate::sandbox::company::order(SEED, 1, clock.now());
    let fields = document.as_object_mut()?;
    for field in ["validFrom", "validUntil"] {
        fields.remove(field);
    }
    Some(stage.platform.state().place(document, clock.now()))
}
