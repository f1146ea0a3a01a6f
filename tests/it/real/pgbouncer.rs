//! PgBouncer between the bridge and its database: session mode works, transaction mode is refused at the start.

use std::path::Path;
use std::process::{Child, Stdio};

use lastmile::ledger::{Ledger as _, LedgerError, Mode, SqlLedger};

use super::postgres::{Postgres, connect};
use super::server::as_owner;
use super::skipped;
use crate::program::until;

/// The pooler goes when its standard input does.
const SCRIPT: &str =
    r#"pgbouncer -q "$1" >"$2" 2>&1 </dev/null & pooler=$!; cat >/dev/null; kill -INT $pooler; wait $pooler || true"#;

struct Pooler {
    folder: tempfile::TempDir,
    _life_line: Child,
}

impl Pooler {
    async fn start(server: &Postgres, mode: &str) -> Result<Self, String> {
        if !Path::new("/usr/sbin/pgbouncer").is_file() {
            return Err("PgBouncer is not installed (`bash tests/run --install`)".to_owned());
        }
        let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
        let place = folder.path().display();
        let settings = format!(
            "[databases]\n* = host={} user=lastmile\n[pgbouncer]\nunix_socket_dir = {place}\nlisten_port = 6432\nauth_type = any\n\
             pool_mode = {mode}\nmax_client_conn = 100\ndefault_pool_size = 40\n",
            server.folder.display()
        );
        std::fs::write(folder.path().join("pgbouncer.ini"), settings).map_err(|e| e.to_string())?;
        let open = |path: &Path| {
            use std::os::unix::fs::PermissionsExt as _;
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777))
        };
        open(folder.path()).map_err(|e| e.to_string())?;
        let child = as_owner(SCRIPT)
            .args([folder.path().join("pgbouncer.ini"), folder.path().join("log")])
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .stdout(Stdio::null())
            .spawn()
            .map_err(|e| e.to_string())?;
        let socket = folder.path().join(".s.PGSQL.6432");
        until("PgBouncer listens", async || socket.exists().then_some(())).await;
        Ok(Self { folder, _life_line: child })
    }

    fn url(&self, direct: &str) -> String {
        let database = direct.split(['/', '?']).nth(3).unwrap_or_default();
        format!("postgres://lastmile@localhost:6432/{database}?host={}", self.folder.path().display())
    }
}

async fn through(mode: &str) -> Option<(String, String, Pooler)> {
    let server = match Postgres::shared().await {
        Ok(server) => server,
        Err(why) => {
            return {
                skipped(why);
                None
            };
        }
    };
    match Pooler::start(server, mode).await {
        Ok(pooler) => {
            let direct = server.database().await;
            Some((pooler.url(&direct), direct, pooler))
        }
        Err(why) => {
            skipped(&why);
            None
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn session_mode_works() {
    let Some((url, _, _pooler)) = through("session").await else { return };
    let ledger = SqlLedger::open(&url, "test", Mode::Serve).await.unwrap();
    assert!(ledger.move_cursor("x", None, "1", lastmile::model::Timestamp(1)).await.unwrap());
    assert_eq!(ledger.cursor("x").await.unwrap().as_deref(), Some("1"));
    let second = SqlLedger::open(&url, "test", Mode::Serve).await.unwrap();
    assert!(!second.move_cursor("x", None, "1", lastmile::model::Timestamp(1)).await.unwrap());
    ledger.close().await;
    second.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn transaction_and_statement_mode_are_refused() {
    for mode in ["transaction", "statement"] {
        let Some((url, _, _pooler)) = through(mode).await else { return };
        for how in [Mode::Serve, Mode::Read] {
            let refused = SqlLedger::open(&url, "test", how).await.unwrap_err();
            assert!(matches!(refused, LedgerError::Unfit(_)), "{mode}: {refused}");
            assert!(refused.to_string().contains("pool_mode = session"), "{refused}");
        }
        // Also where others already keep some of its connections busy or idle.
        let mut others = Vec::new();
        for _ in 0..5 {
            others.push(connect(&url).await);
        }
        assert!(SqlLedger::open(&url, "test", Mode::Serve).await.is_err());
    }
}
