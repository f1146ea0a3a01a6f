//! `lastmile demo`: the whole bridge between a sandbox platform and two sandbox desks; nothing to configure.

mod once;
mod past;
mod stage;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;

use self::stage::Stage;
use super::say;
use super::signals::{Signals, Told};
use crate::bridge::{self, Bridge};
use crate::model::Clock;
use crate::model::clock::SystemClock;
use crate::runtime::telemetry;
use crate::sandbox::fault_words::{self, AskedFault};
use crate::sandbox::{Admins, Pace, config};
use crate::web;

/// The demo always plays the same company.
const SEED: u64 = 7;
/// Pause between new orders at the usual speed.
const ORDER_EVERY: Duration = Duration::from_secs(4);
/// Pause between two persons who leave.
const LEAVING_EVERY: Duration = Duration::from_secs(120);
/// Pause between two looks of the platform into its applications.
const READ_BACK_EVERY: Duration = Duration::from_secs(15);
/// How long ago they left when the platform hears of it, hours: one is late already.
const LEFT_HOURS_AGO: [i64; 3] = [25, 2, 7];
/// Pause between two looks of the simulated admins at their tickets.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// How long the address is held back for figures: the pages are there meanwhile, and orders go their way.
const FIGURES_WITHIN: Duration = Duration::from_secs(15);

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
    #[arg(long, default_value_t = 8480, value_parser = clap::value_parser!(u16).range(1..=65_532))]
    port: u16,
    /// Let something go wrong, as in `slow=10%` or `jira:search-lag=30s`; may be given several times. `help` lists all.
    #[arg(long, value_name = "FAULT")]
    fault: Vec<String>,
    /// Place so many orders in all, then none.
    #[arg(long, value_name = "N")]
    orders: Option<usize>,
    /// Orders come and admins work so many times faster.
    #[arg(long, value_name = "TIMES", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    speed: u32,
}

/// Runs until stopped, or through one assignment.
pub(super) async fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    if arguments.fault.iter().any(|fault| fault == "help") {
        say(fault_words::HELP);
        return Ok(ExitCode::SUCCESS);
    }
    let faults = match arguments.fault.iter().map(|fault| fault.parse()).collect::<Result<Vec<AskedFault>, String>>() {
        Ok(faults) => faults,
        Err(words) => return Ok(super::wrong_use(&words)),
    };
    let signals = Signals::new().context("signals cannot be received")?;
    let temporary = arguments.once.then(|| std::env::temp_dir().join(format!("lastmile-once-{}", crate::model::random::token())));
    let folder = temporary.clone().unwrap_or_else(|| arguments.state.clone());
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let folder = folder.canonicalize()?;
    let code = play(arguments, &faults, &folder, signals).await;
    if let Some(folder) = temporary {
        std::fs::remove_dir_all(folder)?;
    }
    code
}

async fn play(arguments: &Arguments, faults: &[AskedFault], folder: &Path, mut signals: Signals) -> anyhow::Result<ExitCode> {
    let port = if arguments.once { 0 } else { arguments.port };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let listener = tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port)))
        .await
        .with_context(|| format!("port {port} is taken (another demo?): choose four free ones in a row with --port"))?;
    let address = listener.local_addr()?;
    let stage = stage::set(folder, port, faults, &clock).await?;
    let setup = bridge::setup(stage::configuration(folder, &stage, address, faults)?, &clock)?;
    let bridge = Bridge::open(setup, Arc::clone(&clock), false).await?;
    bridge.runtime.start();
    let note = "This is the demo: the people, the orders and both desks are made up.".to_owned();
    let app = web::router(bridge.web(telemetry::metrics_handle(), true, Some(note)));
    let server = tokio::spawn(web::serve(listener, app, std::future::pending::<()>()));
    stage.platform.deliver_to(&format!("http://{address}/hooks/{}", config::SOURCE), Duration::from_secs(1));
    let code = if arguments.once {
        tokio::select! {
            code = once::once(&stage, &*clock) => code,
            _ = signals.next() => ExitCode::FAILURE,
        }
    } else {
        // Whoever opens the page at once shall see figures.
        let greet = async {
            let _ = tokio::time::timeout(FIGURES_WITHIN, past_is_told(&bridge)).await;
            say(&greeting(&stage, address, folder, faults));
            std::future::pending().await
        };
        tokio::select! {
            () = live(&stage, arguments, &*clock, &mut signals) => {}
            () = greet => {}
        }
        say("\nStopping; start it again with the same state folder and it goes on.\n");
        ExitCode::SUCCESS
    };
    signals.stopping();
    server.abort();
    bridge.close().await;
    Ok(code)
}

/// Until figures tell of the made-up past, where this start loads it.
async fn past_is_told(bridge: &Bridge) {
    if let Ok(Some(loaded)) = past::load(bridge, SEED).await {
        past::counted(&*bridge.ledger, loaded).await;
    }
}

fn greeting(stage: &Stage, address: SocketAddr, folder: &Path, faults: &[AskedFault]) -> String {
    let faults = if faults.is_empty() {
        "none; `lastmile demo --fault help` lists what can go wrong".to_owned()
    } else {
        format!("{} in force", faults.len())
    };
    let state = folder.display();
    format!(
        "lastmile demo\n\n  \
         Page                http://{address}/\n  \
         Sandbox platform    {}\n  \
         Sandbox Jira        {}\n  \
         Sandbox ServiceNow  {}\n  \
         State               {state}\n  \
         Faults              {faults}\n\n\
         Other commands work on it, too, as in: lastmile --config {state}/config doctor\n\
         Kill it whenever you like and start it again: nothing is lost or doubled. Ctrl-C stops it.\n",
        stage.platform.url(),
        stage.jira.url(),
        stage.servicenow.url(),
    )
}

/// Orders come, admins work, until somebody stops it.
async fn live(stage: &Stage, arguments: &Arguments, clock: &dyn Clock, signals: &mut Signals) {
    let times = i64::from(arguments.speed);
    let pace = Pace { take_ms: 12_000 / times, work_ms: 20_000 / times, ..Pace::default() };
    let mut admins = [(Admins::new(SEED, pace), stage.jira.state()), (Admins::new(SEED + 1, pace), stage.servicenow.state())];
    let mut next_order = tokio::time::interval(ORDER_EVERY / arguments.speed);
    let mut look = tokio::time::interval(LOOK_EVERY);
    let mut leaving = tokio::time::interval(LEAVING_EVERY / arguments.speed);
    let mut read_back = tokio::time::interval(READ_BACK_EVERY / arguments.speed);
    let mut left_ago = LEFT_HOURS_AGO.iter().cycle();
    loop {
        tokio::select! {
            told = signals.next() => if told == Told::Stop { return },
            _ = next_order.tick() => {
                if arguments.orders.is_none_or(|most| stage.platform.state().counts().orders < most) {
                    stage.platform.order(1);
                }
            }
            _ = leaving.tick() => {
                let (ago, now) = (left_ago.next().copied().unwrap_or(1), clock.now());
                if arguments.orders.is_none() {
                    stage.platform.state().leave(now.plus_secs(-ago * 3_600), now);
                }
            }
            _ = read_back.tick() => drop(stage.platform.state().read_back(clock.now())),
            _ = look.tick() => {
                for (admins, state) in &mut admins {
                    admins.step(state, clock.now());
                }
            }
        }
    }
}
