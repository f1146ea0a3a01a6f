//! `lastmile serve`: the bridge, until it is told to stop.

use std::convert::Infallible;
use std::ffi::OsStr;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::signals::{Signals, Told};
use crate::bridge::{self, Bridge};
use crate::flow::Setup;
use crate::ledger::Mode;
use crate::model::Clock;
use crate::model::clock::SystemClock;
use crate::runtime::telemetry;
use crate::web;

/// While the ledger is upgraded the service manager is asked for more time, each time for so long …
const MORE_TIME: &str = "EXTEND_TIMEOUT_USEC=120000000";
/// … and so often.
const ASKED_EVERY: Duration = Duration::from_secs(20);

/// How it serves.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// After a restore from a backup: before every create, comment and closing, the desk is asked whether it was made
    /// already. Leave it on for as long as the platform may repeat what the backup does not know. Replicas on the same
    /// ledger do the same, as long as one that was started with it runs, and ten minutes longer.
    #[arg(long)]
    recover: bool,
    /// Socket that hears when it is ready (set by systemd for `Type=notify`).
    #[arg(long, env = "NOTIFY_SOCKET", hide = true)]
    notify_socket: Option<std::ffi::OsString>,
    /// Dies there, as by `kill -9` (`DispatchSettles:3`): for trials, in debug builds only.
    #[cfg(debug_assertions)]
    #[arg(long, hide = true)]
    die_at: Option<crate::model::failpoint::Death>,
}

/// Serves until SIGTERM or SIGINT; SIGHUP swaps the whole checked configuration or nothing.
pub(super) async fn run(folder: &Path, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    #[cfg(debug_assertions)]
    if let Some(death) = arguments.die_at {
        crate::model::failpoint::abort_at(death);
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let setup = bridge::load(folder, &clock)?;
    let listen: SocketAddr = setup.catalog.main.server.listen.parse().context("the address to listen on")?;
    let mut signals = Signals::new().context("signals cannot be received")?;
    // Before the ledger: whoever cannot be reached must not take work over.
    let listener = tokio::net::TcpListener::bind(listen)
        .await
        .with_context(|| format!("cannot listen on {listen} (another lastmile, or another program? change [server] listen)"))?;
    let (secure_listener, secure) = Secure::bind(&setup).await?.unzip();
    let bridge = tokio::select! {
        opened = open(setup, clock, arguments.notify_socket.as_deref()) => Arc::new(opened?),
        () = told_to_stop(&mut signals) => {
            tracing::info!("stopped before the ledger was open; a step of an upgrade that was under way is undone, and done again next time");
            return Ok(ExitCode::SUCCESS);
        }
    };
    bridge.arrive().await?;
    if arguments.recover {
        let waiting = bridge.distrust().await?;
        tracing::warn!(waiting, "recovering: every desk is asked for the ticket before one is made");
    }
    bridge.runtime.start();
    say_serving(&bridge, listener.local_addr()?);
    // Counting takes seconds where a million orders are open, and nobody needs to wait for it.
    tokio::spawn({
        let bridge = Arc::clone(&bridge);
        async move {
            if let Err(error) = say_what_waits(&bridge).await {
                tracing::warn!(error = %error, "what waits could not be counted at the start");
            }
        }
    });
    notify(arguments.notify_socket.as_deref(), "READY=1");
    let state = bridge.web(telemetry::metrics_handle(), listen.ip().is_loopback(), None);
    let stop = CancellationToken::new();
    let told = async {
        until_told(&bridge, folder, secure.as_ref(), signals).await;
        notify(arguments.notify_socket.as_deref(), "STOPPING=1");
        stop.cancel();
    };
    let over_tls = async {
        let (Some(listener), Some(secure)) = (secure_listener, &secure) else { return };
        let app = web::router(web::WebState { loopback: secure.loopback, ..state.clone() });
        web::serve_tls(listener, Arc::clone(&secure.tls), app, stop.cancelled()).await;
    };
    tokio::join!(told, web::serve(listener, web::router(state.clone()), stop.cancelled()), over_tls);
    bridge.close().await;
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// Until the process is told to stop. What is read at the start need not be read again.
async fn told_to_stop(signals: &mut Signals) {
    while signals.next().await != Told::Stop {}
}

/// Opens the bridge. The service manager would end and start again, for ever, what takes longer than it waits.
async fn open(setup: Setup, clock: Arc<dyn Clock>, socket: Option<&OsStr>) -> anyhow::Result<Bridge> {
    let upgrading = Arc::new(Notify::new());
    let address = bridge::address(&setup.catalog)?.telling_of_upgrades(Arc::clone(&upgrading));
    tokio::select! {
        bridge = Bridge::open_at(address, setup, clock, Mode::Serve) => Ok(bridge?),
        never = ask_for_time(&upgrading, socket, ASKED_EVERY) => match never {},
    }
}

/// Asks for more time again and again, from the time on that the ledger is upgraded.
async fn ask_for_time(upgrading: &Notify, socket: Option<&OsStr>, every: Duration) -> Infallible {
    upgrading.notified().await;
    loop {
        notify(socket, MORE_TIME);
        tokio::time::sleep(every).await;
    }
}

/// TLS of our own, beside the listener for it.
struct Secure {
    tls: Arc<web::Tls>,
    loopback: bool,
}

impl Secure {
    async fn bind(setup: &Setup) -> anyhow::Result<Option<(tokio::net::TcpListener, Self)>> {
        let Some(settings) = &setup.catalog.main.server.tls else { return Ok(None) };
        let listen: SocketAddr = settings.listen.parse().context("the address to listen on with TLS")?;
        let tls = web::Tls::load(settings, &setup.catalog.folder).map_err(|words| anyhow::anyhow!("[server.tls]: {words}"))?;
        let listener = tokio::net::TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
        tracing::info!(address = %listener.local_addr()?, "serving with TLS");
        Ok(Some((listener, Self { tls: Arc::new(tls), loopback: listen.ip().is_loopback() })))
    }

    fn reload(&self, setup: &Setup) -> Result<(), String> {
        match &setup.catalog.main.server.tls {
            Some(settings) => self.tls.reload(settings, &setup.catalog.folder),
            None => Ok(()),
        }
    }
}

/// What it works for.
fn say_serving(bridge: &Bridge, address: SocketAddr) {
    let setup = bridge.setup.load();
    let names = |names: Vec<String>| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    let desks = names(setup.desks.iter().map(|(name, desk)| format!("{name} ({:?})", desk.info().level)).collect());
    let sources = names(setup.sources.keys().cloned().collect());
    tracing::info!(%address, catalog = setup.catalog.version, desks, sources, "serving");
}

/// What waits for a person; then it is quiet until something changes.
async fn say_what_waits(bridge: &Bridge) -> anyhow::Result<()> {
    let overview = bridge.ledger.overview(&None, bridge.clock.now()).await?;
    let (parked, unclear, quarantined) = (overview.parked + overview.parked_errands, overview.unclear, overview.quarantined);
    if parked + quarantined > 0 {
        tracing::warn!(parked, unclear, quarantined, "waits for a person: see the operations page");
    }
    for orphan in bridge.orphans().await? {
        tracing::error!("{orphan}");
    }
    Ok(())
}

/// Returns when it shall stop.
async fn until_told(bridge: &Bridge, folder: &Path, secure: Option<&Secure>, mut signals: Signals) {
    while signals.next().await == Told::Reload {
        reload(bridge, folder, secure).await;
    }
    tracing::info!("stopping: calls under way are finished; a second signal stops at once");
    signals.stopping();
}

async fn reload(bridge: &Bridge, folder: &Path, secure: Option<&Secure>) {
    let refused = |why: &str| tracing::error!("the changed configuration is refused, the old one stays: {why}");
    match bridge::load(folder, &bridge.clock) {
        Err(problems) => refused(&problems.to_string()),
        Ok(setup) => {
            let catalog = setup.catalog.version.clone();
            match bridge.swap(setup).await {
                Ok(()) => {
                    tracing::info!(catalog, "the configuration was read again and is in force");
                    if let Some(Err(words)) = secure.map(|secure| secure.reload(&bridge.setup.load())) {
                        tracing::error!("the certificate for TLS stays as it was: {words}");
                    }
                }
                Err(error) => refused(&error.to_string()),
            }
        }
    }
}

/// Tells the service manager; without one there is nobody to tell.
fn notify(socket: Option<&OsStr>, state: &str) {
    let Some(socket) = socket.filter(|s| !s.is_empty()) else { return };
    let sent = std::os::unix::net::UnixDatagram::unbound().and_then(|from| match socket.as_bytes().strip_prefix(b"@") {
        #[cfg(target_os = "linux")]
        Some(name) => {
            use std::os::linux::net::SocketAddrExt as _;
            from.send_to_addr(state.as_bytes(), &std::os::unix::net::SocketAddr::from_abstract_name(name)?)
        }
        _ => from.send_to(state.as_bytes(), socket),
    });
    if let Err(error) = sent {
        tracing::warn!(error = %error, "the service manager could not be told `{state}`");
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn more_time_is_asked_for_again_and_again_while_the_ledger_is_upgraded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        manager.set_nonblocking(true).unwrap();
        let upgrading = Notify::new();
        let ask = || ask_for_time(&upgrading, Some(path.as_os_str()), Duration::from_millis(1));
        assert!(ask().now_or_never().is_none());
        assert!(manager.recv(&mut [0; 64]).is_err(), "a start that hangs is ended");
        upgrading.notify_one();
        manager.set_nonblocking(false).unwrap();
        let heard = tokio::task::spawn_blocking(move || {
            let mut text = [0; 64];
            let mut hear = || manager.recv(&mut text).map(|n| String::from_utf8_lossy(&text[..n]).into_owned()).unwrap();
            [hear(), hear(), hear()]
        });
        tokio::select! {
            heard = heard => assert_eq!(heard.unwrap(), [MORE_TIME; 3]),
            never = ask() => match never {},
        }
        let asked: u64 = MORE_TIME.trim_start_matches("EXTEND_TIMEOUT_USEC=").parse().unwrap();
        assert!(ASKED_EVERY * 3 < Duration::from_micros(asked), "one that is lost does no harm");
    }
}
