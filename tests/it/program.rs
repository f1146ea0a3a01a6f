//! The real binary: started, signalled, asked; and a sandbox around it whose configuration lies in a folder.

use std::io::BufRead as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use lastmile::http::client::ClientSettings;
use lastmile::http::{Call, HttpClient};
use lastmile::model::Clock;
use lastmile::model::clock::SystemClock;
use lastmile::model::random;
use lastmile::sandbox::{DeskKind, Faults, PlatformFaults, SandboxDesk, SandboxPlatform, config};

/// How long a test waits for something that must come.
const PATIENCE: Duration = Duration::from_secs(60);

/// The program with these arguments, not started yet. Nothing of the caller's environment changes what it does.
pub fn program(arguments: &[&str]) -> Command {
    // A copied test binary may bring its own program along: later builds do not change what it runs.
    let path = std::env::var_os("LASTMILE_TRIALS_PROGRAM").unwrap_or_else(|| env!("CARGO_BIN_EXE_lastmile").into());
    let mut command = Command::new(path);
    command.args(arguments).stdin(Stdio::null());
    for name in ["LASTMILE_CONFIG", "LASTMILE_LOG", "LASTMILE_TOKEN", "NOTIFY_SOCKET"] {
        command.env_remove(name);
    }
    command
}

/// What a command said and how it ended.
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }
}

/// Runs a command to its end.
pub fn run(arguments: &[&str]) -> Said {
    program(arguments).output().unwrap().into()
}

/// A running program; killed when the test ends, however it ends.
pub struct Running {
    pub child: Child,
    guard: Child,
    said: Arc<Mutex<String>>,
}

/// Ends a program whose test was killed and could not: left over, it would go on calling desks at ports that other tests get.
/// The guard's standard input ends with the process that holds its other end.
fn guard(of: &Child) -> Child {
    let mut command = Command::new("sh");
    command.args(["-c", "read _; kill -9 \"$0\"", &of.id().to_string()]);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

impl Running {
    /// What it writes to standard error is kept, where it is piped.
    pub fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        if let Some(errors) = child.stderr.take() {
            let said = Arc::clone(&said);
            std::thread::spawn(move || {
                for line in std::io::BufReader::new(errors).lines().map_while(Result::ok) {
                    said.lock().unwrap().push_str(&(line + "\n"));
                }
            });
        }
        Self { guard: guard(&child), child, said }
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> Option<i32> {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait().unwrap() {
                self.dismiss_guard();
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("it does not end");
    }

    /// Its number may be another program's soon.
    fn dismiss_guard(&mut self) {
        let _ = self.guard.kill();
        let _ = self.guard.wait();
    }

    /// What it wrote to standard error so far.
    pub fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// Waits until it has written this.
    pub async fn says(&self, words: &str) -> String {
        until(words, async || Some(self.said()).filter(|said| said.contains(words))).await
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("a program of the test had said:\n{}", self.said());
        }
        self.dismiss_guard();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_program_does_not_outlive_its_test() {
    let mut command = Command::new("sleep");
    command.arg("600");
    let mut running = Running::start(command);
    assert!(running.child.try_wait().unwrap().is_none());
    // As when the process of the test is gone.
    drop(running.guard.stdin.take());
    assert_eq!(running.wait(), None, "it was killed");
}

/// A JSON answer; `None` while nobody answers.
pub async fn get(address: &str) -> Option<serde_json::Value> {
    let client = HttpClient::new(ClientSettings::for_edge("test")).unwrap();
    client.send(Call::new("GET", address)).await.ok().filter(|a| a.is_success())?.json()
}

/// Asks until it is there.
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, ask: impl Fn() -> F) -> T {
    until_within(PATIENCE, what, ask).await
}

/// As [`until`], with a patience of its own.
pub async fn until_within<T, F: Future<Output = Option<T>>>(patience: Duration, what: &str, ask: impl Fn() -> F) -> T {
    let end = Instant::now() + patience;
    while Instant::now() < end {
        if let Some(found) = ask().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("did not happen within {} s: {what}", patience.as_secs());
}

/// The first of `n` free ports in a row.
pub fn free_ports(n: u16) -> u16 {
    loop {
        let first = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = first.local_addr().unwrap().port();
        let free = |n: u16| port.checked_add(n).and_then(|p| std::net::TcpListener::bind(("127.0.0.1", p)).ok());
        let others: Vec<_> = (1..n).filter_map(free).collect();
        if others.len() == usize::from(n) - 1 {
            return port;
        }
    }
}

/// The desks let nobody in but the bridge of this folder. Ports are given anew, and whatever still calls what used to be its
/// desk, a program that a killed test left behind for one, would be taken for ours.
pub fn keep_strangers_out(config: &Path, desks: &[&SandboxDesk]) {
    let password = random::token();
    config::write(config, "secrets/desk", &password).unwrap();
    desks.iter().for_each(|desk| desk.lets_in_only(&password));
}

/// A platform and two desks, and a folder with the configuration of a bridge between them.
pub struct Site {
    pub folder: tempfile::TempDir,
    pub platform: SandboxPlatform,
    pub jira: SandboxDesk,
    pub servicenow: SandboxDesk,
    pub port: u16,
}

impl Site {
    pub async fn new() -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let platform = SandboxPlatform::start(clock.clone(), None, listen, Arc::new(PlatformFaults::default()), 1).await.unwrap();
        let desk = |kind| SandboxDesk::start(kind, clock.clone(), Arc::new(Faults::seeded(1)), None, listen);
        let (jira, servicenow) = (desk(DeskKind::JiraCloud).await.unwrap(), desk(DeskKind::ServiceNow).await.unwrap());
        let folder = tempfile::tempdir().unwrap();
        let port = free_ports(1);
        let site = Self { folder, platform, jira, servicenow, port };
        let listen = format!("127.0.0.1:{port}");
        for (path, text) in config::files(site.platform.url(), site.jira.url(), site.servicenow.url(), &listen) {
            site.write(&path, &text);
        }
        keep_strangers_out(&site.config(), &[&site.jira, &site.servicenow]);
        let ledger = format!("\n[ledger]\nurl = \"sqlite:{}\"\n", site.folder.path().join("ledger.db").display());
        site.change("lastmile.toml", |text| text.to_owned() + &ledger);
        site
    }

    pub fn config(&self) -> PathBuf {
        self.folder.path().join("config")
    }

    pub fn write(&self, path: &str, text: &str) {
        config::write(&self.config(), path, text).unwrap();
    }

    /// The platform only pushes: its list would bring the same orders once more, whenever it is read.
    pub fn only_pushed(&self) {
        self.change("sources/iga.toml", |text| {
            let (before, poll) = text.split_once("[poll]").unwrap();
            let (_, after) = poll.split_once("\n[").unwrap();
            format!("{before}[{after}")
        });
    }

    pub fn remove(&self, path: &str) {
        std::fs::remove_file(self.config().join(path)).unwrap();
    }

    pub fn change(&self, path: &str, change: impl FnOnce(&str) -> String) {
        let text = std::fs::read_to_string(self.config().join(path)).unwrap();
        self.write(path, &change(&text));
    }

    /// Its ledger is elsewhere.
    pub fn keeps_in(&self, url: &str) {
        self.change("lastmile.toml", |text| {
            let (before, _) = text.split_once("\n[ledger]").unwrap();
            format!("{before}\n[ledger]\nurl = \"{url}\"\n")
        });
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program(&["--config"]);
        command.arg(self.config()).args(arguments);
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Said {
        self.command(arguments).output().unwrap().into()
    }

    /// Starts `serve` and waits until it is ready.
    pub async fn serve(&self) -> Running {
        let mut command = self.command(&["serve"]);
        command.stderr(Stdio::piped()).stdout(Stdio::null());
        let running = Running::start(command);
        until("serve is ready", async || self.answers().await.then_some(())).await;
        running
    }

    /// A copy of the configuration that listens elsewhere, and its port.
    pub fn another(&self, name: &str) -> (PathBuf, u16) {
        let (port, folder) = (free_ports(1), self.folder.path().join(name));
        assert!(Command::new("cp").arg("-r").arg(self.config()).arg(&folder).status().unwrap().success());
        let main = std::fs::read_to_string(folder.join("lastmile.toml")).unwrap();
        let (here, there) = (format!("127.0.0.1:{}", self.port), format!("127.0.0.1:{port}"));
        std::fs::write(folder.join("lastmile.toml"), main.replace(&here, &there)).unwrap();
        (folder, port)
    }

    pub async fn answers(&self) -> bool {
        let client = HttpClient::new(ClientSettings::for_edge("test")).unwrap();
        client.send(Call::new("GET", self.address("/readyz"))).await.is_ok_and(|a| a.is_success())
    }

    pub fn address(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// What was said, without what differs from run to run.
    pub fn redacted(&self, text: &str) -> String {
        let mut text = text.replace(&self.folder.path().display().to_string(), "<folder>");
        for (url, name) in
            [(self.platform.url(), "<platform>"), (self.jira.url(), "<jira>"), (self.servicenow.url(), "<servicenow>")]
        {
            text = text.replace(url, name);
        }
        redacted(&text.replace(&format!("127.0.0.1:{}", self.port), "<address>"))
    }
}

/// Without versions, ids and times of today.
pub fn redacted(text: &str) -> String {
    let after = |line: &str, word: &str, name: &str, good: fn(char) -> bool| {
        let Some(at) = line.find(word).map(|at| at + word.len()) else { return line.to_owned() };
        let rest = line[at..].trim_start_matches(good);
        if rest.len() == line[at..].len() { line.to_owned() } else { format!("{}<{name}>{rest}", &line[..at]) }
    };
    let line = |line: &str| {
        let line = after(line, "version ", "version", |c| c.is_ascii_hexdigit());
        let line = after(&line, "schema: ", "schema", |c| c.is_ascii_digit());
        let line = after(&line, "lastmile ", "version", |c| c.is_ascii_digit() || c == '.');
        let line = after(&line, "process: ", "id", |c| c.is_ascii_digit());
        let line = after(&line, "next: ", "times", |c| c != '\n');
        let line = after(&line, "size: ", "sizes", |c| c != '\n');
        after(&line, "disk: ", "space", |c| c != ':')
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// A file for a command to read.
pub fn file(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

/// Serves a configuration of its own; it is ready.
pub async fn serve_at(folder: &Path, port: u16) -> Running {
    let mut command = program(&["--config"]);
    command.arg(folder).arg("serve").stderr(Stdio::piped()).stdout(Stdio::null());
    let running = Running::start(command);
    let address = format!("http://127.0.0.1:{port}/api/v1/overview");
    until("the replica is ready", async || get(&address).await).await;
    running
}
