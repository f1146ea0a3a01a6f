//! The product between a load generator and a loopback desk.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use lastmile::bridge::{self, Bridge};
use lastmile::model::Clock;
use lastmile::model::clock::SystemClock;
use lastmile::runtime::telemetry;
use lastmile::sandbox::config::MAPPING;
use lastmile::web;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::engine::Engine;
use crate::events::SECRET;

/// A router on a port of its own, until dropped.
pub struct Served {
    /// Where.
    pub address: SocketAddr,
    stop: CancellationToken,
}

impl Served {
    /// Serves at once.
    pub async fn start(router: Router) -> anyhow::Result<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let (address, stop) = (listener.local_addr()?, CancellationToken::new());
        let told = stop.clone();
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, service).with_graceful_shutdown(told.cancelled_owned()).await });
        Ok(Self { address, stop })
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A folder on the disk that the build lies on: figures of a memory file system would mean nothing.
pub fn folder() -> anyhow::Result<TempDir> {
    Ok(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?)
}

/// Writes the configuration of one webhook source and one Jira.
pub fn configure(folder: &Path, desk_url: &str, listen: &str) -> anyhow::Result<()> {
    configure_on(folder, desk_url, listen, &format!("sqlite:{}", folder.join("ledger.db").display()), 64)
}

/// The same with a ledger elsewhere, and so many calls at once.
pub fn configure_on(folder: &Path, desk_url: &str, listen: &str, ledger: &str, in_flight: usize) -> anyhow::Result<()> {
    let files = [
        (
            "lastmile.toml",
            format!(
                "[instance]\nname = \"bench\"\n[server]\nlisten = \"{listen}\"\n[ledger]\nurl = \"{ledger}\"\n\
                 [defaults]\ndesk = \"jira\"\n[work]\nsync_every = \"3s\"\n"
            ),
        ),
        (
            "sources/iga.toml",
            format!(
                "kind = \"webhook\"\n[webhook]\n\
                 verify = {{ scheme = \"standard-webhooks\", secrets = [{{ file = \"secrets/hook\" }}] }}\n{MAPPING}"
            ),
        ),
        (
            "desks/jira.toml",
            format!(
                "kind = \"jira\"\nurl = \"{desk_url}\"\nproject = \"IAM\"\nmax_in_flight = {in_flight}\noverlap = \"10s\"\n\
                 auth = {{ basic = {{ user = \"bridge\", password = {{ file = \"secrets/desk\" }} }} }}\n"
            ),
        ),
        ("secrets/hook", SECRET.to_owned()),
        ("secrets/desk", "none".to_owned()),
    ];
    for (name, text) in files {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap_or(folder))?;
        std::fs::write(path, text)?;
    }
    Ok(())
}

/// A serving bridge.
pub struct Bed {
    /// Where it serves.
    pub served: Served,
    /// The bridge itself.
    pub bridge: Bridge,
    /// Its files.
    pub folder: TempDir,
}

impl Bed {
    /// Starts it; its loops run only when asked to.
    pub async fn start(desk_url: &str, singly: bool, loops: bool) -> anyhow::Result<Self> {
        Self::start_on(Engine::Sqlite, desk_url, singly, loops).await
    }

    /// The same on this ledger.
    pub async fn start_on(on: Engine<'_>, desk_url: &str, singly: bool, loops: bool) -> anyhow::Result<Self> {
        let folder = folder()?;
        let store = on.fresh(folder.path(), "bed").await?;
        configure_on(folder.path(), desk_url, "127.0.0.1:0", &store.url, 64)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let bridge = Bridge::open(bridge::load(folder.path(), &clock)?, clock, singly).await?;
        if loops {
            bridge.runtime.start();
        }
        let served = Served::start(web::router(bridge.web(telemetry::metrics_handle(), true, None))).await?;
        Ok(Self { served, bridge, folder })
    }

    /// Stops it and removes its files.
    pub async fn end(self) {
        drop(self.served);
        self.bridge.close().await;
    }
}
