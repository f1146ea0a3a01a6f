//! A PostgreSQL server for figures: on the disk, with flushes; it goes when this process does.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, bail};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, PgConnection};

/// Runs as the user who owns the server. Its standard input is the life line.
const SCRIPT: &str = r#"
set -eu
bin=$1
dir=$(mktemp -d /var/tmp/lastmile-bench-XXXXXX)
chmod 755 "$dir"
"$bin/initdb" -D "$dir/data" -U lastmile -A trust -E UTF8 --locale=C >"$dir/log" 2>&1 || { tail -3 "$dir/log"; rm -rf "$dir"; exit 1; }
"$bin/postgres" -D "$dir/data" -k "$dir" -c listen_addresses= -c max_connections=200 -c shared_buffers=512MB -c max_wal_size=8GB \
  >>"$dir/log" 2>&1 </dev/null &
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
pub struct Server {
    folder: String,
    _life_line: Child,
}

impl Server {
    /// Starts it; an error where none is installed.
    pub fn start() -> anyhow::Result<Self> {
        let mut found: Vec<_> = std::fs::read_dir("/usr/lib/postgresql")
            .context("PostgreSQL is not installed")?
            .flatten()
            .map(|v| v.path().join("bin"))
            .filter(|b| b.join("initdb").is_file())
            .collect();
        found.sort();
        let bin = found.pop().context("PostgreSQL is not installed")?;
        let root = rustix::process::geteuid().is_root();
        let mut command = Command::new(if root { "setpriv" } else { "sh" });
        if root {
            command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "sh"]);
        }
        let mut child =
            command.args(["-c", SCRIPT, "sh"]).arg(bin).current_dir("/").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut said = String::new();
        let mut lines = BufReader::new(child.stdout.take().context("no output")?);
        while lines.read_line(&mut said)? > 0 {
            if let Some(folder) = said.lines().last().and_then(|l| l.strip_prefix("ready ")) {
                return Ok(Self { folder: folder.to_owned(), _life_line: child });
            }
        }
        bail!("PostgreSQL does not start: {said}")
    }

    /// Address of one of its databases.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://lastmile@localhost/{database}?host={}", self.folder)
    }

    /// A connection beside the ledger's.
    pub async fn connect(&self, database: &str) -> anyhow::Result<PgConnection> {
        let options: sqlx::postgres::PgConnectOptions = self.url(database).parse()?;
        Ok(options.disable_statement_logging().connect().await?)
    }

    /// A fresh copy of a database.
    pub async fn copy(&self, from: &str, to: &str) -> anyhow::Result<()> {
        let mut connection = self.connect("postgres").await?;
        connection.execute(AssertSqlSafe(format!("DROP DATABASE IF EXISTS {to} WITH (FORCE)"))).await?;
        connection.execute(AssertSqlSafe(format!("CREATE DATABASE {to} TEMPLATE {from}"))).await?;
        // What the copying left to write weighs on nobody's round.
        connection.execute("CHECKPOINT").await?;
        connection.close().await?;
        Ok(())
    }
}
