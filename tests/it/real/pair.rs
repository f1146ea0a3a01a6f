//! A PostgreSQL server of a test's own that may be restarted, and a standby that may take its place. All of it lies in a
//! folder, listens on sockets there, and goes when this process does, whatever way that ends.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use sqlx::{Connection as _, Executor as _};

use super::postgres::connect;
use super::server::{as_owner, newest_bin};

/// Carries out one word a line, as the user who owns the servers, and says `done` after each.
const SCRIPT: &str = r#"
set -u
bin=$1
dir=$(mktemp -d "${TMPDIR:-/tmp}/lastmile-pair-XXXXXX")
chmod 755 "$dir"
trap '' INT TERM HUP
serve() {
  mkdir -p "$dir/$1.sock"
  "$bin/pg_ctl" -D "$dir/$1" -s -w -t 60 -l "$dir/$1.log" -o "-k $dir/$1.sock -c listen_addresses= -c fsync=off -c shared_buffers=32MB -c max_connections=100" start >/dev/null </dev/null
}
ask() { "$bin/psql" -h "$dir/a.sock" -U lastmile -d postgres -qAtc "$1"; }
begin() {
  "$bin/initdb" -D "$dir/a" -U lastmile -A trust -E UTF8 --locale-provider=icu --icu-locale=en --no-sync >"$dir/log" 2>&1 && serve a && ask "CREATE DATABASE ledger"
}
standby() {
  "$bin/pg_basebackup" -h "$dir/a.sock" -U lastmile -D "$dir/b" -R -X stream -c fast --no-sync >>"$dir/log" 2>&1 && serve b || return 1
  ask "ALTER SYSTEM SET synchronous_standby_names = '*'" && ask "SELECT pg_reload_conf()" >/dev/null || return 1
  n=0
  until [ "$(ask "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'")" = 1 ]; do
    n=$((n + 1)); [ $n -lt 600 ] || return 1; sleep 0.1
  done
}
die() {
  main=$(head -1 "$dir/a/postmaster.pid")
  kill -9 "$main" $(cat /proc/$main/task/*/children 2>/dev/null)
}
if begin; then echo "done $dir"; else tail -3 "$dir/log"; rm -rf "$dir"; exit 1; fi
while read -r word; do
  case $word in
    standby) standby ;;
    restart) "$bin/pg_ctl" -D "$dir/a" -s -w -t 60 -m immediate restart >/dev/null </dev/null ;;
    die) die ;;
    promote) "$bin/pg_ctl" -D "$dir/b" -s -w -t 60 promote >/dev/null </dev/null ;;
  esac && echo "done $dir" || echo "failed $word"
done
for which in a b; do "$bin/pg_ctl" -D "$dir/$which" -s -m immediate stop >/dev/null 2>&1 </dev/null; done
rm -rf "$dir"
"#;

/// The servers `a` and, when it was asked for, `b`.
pub struct Pair {
    folder: PathBuf,
    words: ChildStdin,
    answers: BufReader<ChildStdout>,
    _process: Child,
}

impl Pair {
    /// Starts `a`; words why there is none.
    pub fn start() -> Result<Self, String> {
        let bin = newest_bin().ok_or("PostgreSQL is not installed (`bash tests/run --install`)")?;
        let starting = as_owner(SCRIPT).arg(bin).current_dir("/").stdout(Stdio::piped()).spawn();
        let mut process = starting.map_err(|e| e.to_string())?;
        let words = process.stdin.take().ok_or("no input")?;
        let answers = BufReader::new(process.stdout.take().ok_or("no output")?);
        let mut pair = Self { folder: PathBuf::new(), words, answers, _process: process };
        pair.folder = pair.answer()?.into();
        Ok(pair)
    }

    fn answer(&mut self) -> Result<String, String> {
        let mut said = String::new();
        self.answers.read_line(&mut said).map_err(|e| e.to_string())?;
        said.trim_end().strip_prefix("done ").map(str::to_owned).ok_or_else(|| format!("PostgreSQL: {said}"))
    }

    /// `standby`, `restart`, `die`, `promote`; returns when it has happened.
    pub fn tell(&mut self, word: &str) {
        writeln!(self.words, "{word}").unwrap();
        self.answer().unwrap();
    }

    /// Address of the ledger at the primary, whichever that is.
    pub fn url(&self) -> String {
        let folder = self.folder.display();
        format!("postgres://lastmile@localhost/ledger?host={folder}/a.sock,{folder}/b.sock&target_session_attrs=read-write")
    }

    /// Address of the ledger at one of them.
    pub fn at(&self, which: char) -> String {
        format!("postgres://lastmile@localhost/ledger?host={}/{which}.sock", self.folder.display())
    }

    /// Ends every session of the bridge.
    pub async fn cut(&self) {
        let mut connection = connect(&self.at('a')).await;
        let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'lastmile'";
        connection.execute(cut).await.unwrap();
        connection.close().await.unwrap();
    }
}
