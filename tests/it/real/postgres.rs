//! A PostgreSQL server of this test run: a socket in a folder of its own, a fresh database for every test. It goes when
//! this process does, whatever way that ends.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use lastmile::ledger::{Ledger as _, Mode, SqlLedger};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, PgConnection};
use tokio::sync::OnceCell;

/// The database that others are copies of.
const TEMPLATE: &str = "migrated";

/// Runs as the user who owns the server: no server runs as root. Its standard input is the life line.
const SCRIPT: &str = r#"
set -eu
bin=$1
dir=$(mktemp -d "${TMPDIR:-/tmp}/lastmile-pg-XXXXXX")
chmod 755 "$dir"
"$bin/initdb" -D "$dir/data" -U lastmile -A trust -E UTF8 --locale-provider=icu --icu-locale=en --no-sync >"$dir/log" 2>&1 || { tail -3 "$dir/log"; rm -rf "$dir"; exit 1; }
"$bin/postgres" -D "$dir/data" -k "$dir" -c listen_addresses= -c fsync=off -c max_connections=300 -c shared_buffers=64MB \
  -c logging_collector=off >>"$dir/log" 2>&1 </dev/null &
server=$!
trap '' INT TERM HUP
n=0
until "$bin/pg_isready" -q -h "$dir"; do
  n=$((n + 1))
  if [ $n -gt 300 ] || ! kill -0 $server 2>/dev/null; then tail -3 "$dir/log"; rm -rf "$dir"; exit 1; fi
  sleep 0.1
done
echo "ready $dir"
cat >/dev/null
kill -INT $server
wait $server || true
rm -rf "$dir"
"#;

/// The server.
#[derive(Debug)]
pub struct Postgres {
    /// Folder of its socket and its data.
    pub folder: PathBuf,
    _life_line: Child,
}

static SHARED: OnceCell<Result<Postgres, String>> = OnceCell::const_new();
static DATABASES: AtomicU32 = AtomicU32::new(0);

impl Postgres {
    /// The server of this run; words why there is none.
    pub async fn shared() -> Result<&'static Self, &'static str> {
        let make = || async {
            let server = Self::start()?;
            server.make(TEMPLATE, "template1").await;
            let ledger = SqlLedger::open(&server.url(TEMPLATE), "test", Mode::Serve).await.map_err(|e| e.to_string())?;
            ledger.close().await;
            Ok(server)
        };
        SHARED.get_or_init(make).await.as_ref().map_err(String::as_str)
    }

    /// A server of one's own, for tests that stop it.
    pub fn start() -> Result<Self, String> {
        let bin = newest_bin().ok_or("PostgreSQL is not installed (`bash tests/run --install`)")?;
        let root = rustix::process::geteuid().is_root();
        let mut command = if root { Command::new("setpriv") } else { Command::new("sh") };
        if root {
            command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "sh"]);
        }
        let mut child = command
            .args(["-c", SCRIPT, "sh"])
            .arg(bin)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| e.to_string())?;
        let mut said = String::new();
        let mut lines = BufReader::new(child.stdout.take().ok_or("no output")?);
        while lines.read_line(&mut said).map_err(|e| e.to_string())? > 0 {
            let last = said.lines().last().unwrap_or_default();
            if let Some(folder) = last.strip_prefix("ready ") {
                return Ok(Self { folder: folder.into(), _life_line: child });
            }
        }
        Err(format!("PostgreSQL does not start: {said}"))
    }

    /// Address of one of its databases.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://lastmile@localhost/{database}?host={}", self.folder.display())
    }

    /// A database with the newest schema and nothing in it.
    pub async fn database(&self) -> String {
        let name = format!("t{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        self.make(&name, TEMPLATE).await;
        self.url(&name)
    }

    /// A database as a copy of another.
    pub async fn make(&self, name: &str, template: &str) {
        let mut connection = connect(&self.url("postgres")).await;
        connection.execute(AssertSqlSafe(format!("CREATE DATABASE {name} TEMPLATE {template}"))).await.unwrap();
        connection.close().await.unwrap();
    }
}

/// A connection beside the ledger's own.
pub async fn connect(url: &str) -> PgConnection {
    let options: sqlx::postgres::PgConnectOptions = url.parse().unwrap();
    options.extra_float_digits(None).disable_statement_logging().connect().await.unwrap()
}

/// Where the newest PostgreSQL has its programs.
pub fn newest_bin() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let mut found: Vec<PathBuf> =
        versions.flatten().map(|v| v.path().join("bin")).filter(|b| b.join("initdb").is_file()).collect();
    found.sort();
    found.pop()
}
