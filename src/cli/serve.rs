//! `lastmile serve`: the bridge, until it is told to stop.

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

use crate::bridge::{self, Bridge};
use crate::model::Clock;
use crate::model::clock::SystemClock;
use crate::runtime::telemetry;
use crate::web;

/// Serves until SIGTERM or SIGINT; SIGHUP swaps the whole checked configuration or nothing.
pub(super) async fn run(folder: &Path) -> anyhow::Result<ExitCode> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let setup = bridge::load(folder, &clock)?;
    let listen: SocketAddr = setup.catalog.main.server.listen.parse().context("the address to listen on")?;
    let bridge = Arc::new(Bridge::open(setup, clock, false).await?);
    let listener = tokio::net::TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
    bridge.runtime.start();
    tracing::info!(address = %listener.local_addr()?, catalog = bridge.setup.load().catalog.version, "serving");
    let app = web::router(bridge.web(telemetry::metrics_handle(), listen.ip().is_loopback(), None));
    web::serve(listener, app, until_told(Arc::clone(&bridge), folder.to_owned())).await;
    bridge.close().await;
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

async fn until_told(bridge: Arc<Bridge>, folder: std::path::PathBuf) {
    let (Ok(mut term), Ok(mut hup)) = (signal(SignalKind::terminate()), signal(SignalKind::hangup())) else {
        // Without signals of its own the process is stopped by the system.
        return std::future::pending().await;
    };
    loop {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => return,
            _ = term.recv() => return,
            _ = hup.recv() => match bridge::load(&folder, &bridge.clock) {
                Ok(setup) => {
                    tracing::info!(catalog = setup.catalog.version, "the configuration was read again and swapped in");
                    bridge.swap(setup);
                }
                Err(problems) => tracing::error!(problems = %problems, "the changed configuration is refused; the old one stays"),
            },
        }
    }
}
