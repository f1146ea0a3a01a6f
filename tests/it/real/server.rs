//! A PostgreSQL server of a run: a socket in a folder of its own. It goes when this process does, whatever way that ends.
//! The benchmarks take this file as it is: it uses nothing of the crate or of the tests.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Its standard input is the life line.
const SCRIPT: &str = r#"
set -eu
bin=$1
dir=$(mktemp -d "$2/lastmile-pg-XXXXXX")
chmod 755 "$dir"
"$bin/initdb" -D "$dir/data" -U lastmile -A trust -E UTF8 $3 >"$dir/log" 2>&1 || { tail -3 "$dir/log"; rm -rf "$dir"; exit 1; }
"$bin/postgres" -D "$dir/data" -k "$dir" -c listen_addresses= $4 >>"$dir/log" 2>&1 </dev/null &
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
pub struct Server {
    /// Folder of its socket and its data.
    pub folder: PathBuf,
    _life_line: Child,
}

impl Server {
    /// Starts one in a folder below `parent`; words why there is none. Both lists of options are split at blanks.
    pub fn launch(parent: &Path, initdb_options: &str, server_settings: &str) -> Result<Self, String> {
        let bin = newest_bin().ok_or("PostgreSQL is not installed (`bash tests/run --install`)")?;
        let mut child = as_owner(SCRIPT)
            .args([bin.as_path(), parent])
            .args([initdb_options, server_settings])
            .current_dir("/")
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
}

/// A shell for this script, as the user who owns the servers: none of them runs as root. We hold its standard input.
pub fn as_owner(script: &str) -> Command {
    let root = rustix::process::geteuid().is_root();
    let mut command = Command::new(if root { "setpriv" } else { "sh" });
    if root {
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "sh"]);
    }
    command.args(["-c", script, "sh"]).stdin(Stdio::piped());
    command
}

/// Where the newest PostgreSQL has its programs.
pub fn newest_bin() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib/postgresql").ok()?.flatten().map(|entry| entry.path());
    let newest = folders.filter(|f| f.join("bin/initdb").is_file()).max_by_key(|f| version(f))?;
    Some(newest.join("bin"))
}

/// The version that a folder is named for, to be compared: 9.6 is before 10.
fn version(folder: &Path) -> Vec<u32> {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    name.split('.').map(|number| number.parse().unwrap_or(0)).collect()
}

#[test]
fn versions_are_compared_as_numbers() {
    let sorted = ["/x/9.4", "/x/9.6", "/x/10", "/x/17"].map(|folder| version(Path::new(folder)));
    assert!(sorted.is_sorted(), "{sorted:?}");
}
