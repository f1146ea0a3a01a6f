//! The demo as a stranger runs it: one command, then a kill, then another start.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::program::{Running, free_ports, get, program, run, until_within};

/// A stranger sees an order become a completion.
#[test]
fn the_demo_carries_one_order_through() {
    let said = run(&["demo", "--once"]);
    assert!(said.code == Some(0) && said.out.contains("the platform heard: fulfilled"), "{}{}", said.out, said.err);
}

#[test]
fn what_can_go_wrong_is_listed_and_what_cannot_is_refused() {
    insta::assert_snapshot!(run(&["demo", "--fault", "help"]).out);
    let said = run(&["demo", "--fault", "jira:sloow=10%"]);
    assert_eq!((said.code, said.err.as_str()), (Some(2), "lastmile: there is no fault `sloow`; see --fault help\n"));
}

#[test]
fn a_taken_port_is_told_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let said: crate::program::Said =
        program(&["demo", "--port", &port.to_string(), "--state"]).arg(folder.path()).output().unwrap().into();
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains(&format!("port {port} is taken")) && said.err.contains("--port"), "{}", said.err);
}

/// A demo whose state outlives it.
struct Demo {
    folder: tempfile::TempDir,
    port: u16,
    orders: u64,
}

impl Demo {
    fn command(&self, more: &[&str]) -> Command {
        let (port, orders) = (self.port.to_string(), self.orders.to_string());
        let mut command = program(&["demo", "--port", &port, "--orders", &orders, "--state"]);
        command.arg(self.folder.path()).args(more).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn start(&self, more: &[&str]) -> Running {
        Running::start(self.command(more))
    }

    /// Starts it and waits until it says where its page is; with how long that took.
    async fn greeted(&self) -> (Running, Duration) {
        let begun = Instant::now();
        let mut command = self.command(&[]);
        command.stdout(Stdio::piped());
        let mut running = Running::start(command);
        let said = BufReader::new(running.child.stdout.take().unwrap());
        let greets = || said.lines().map_while(Result::ok).any(|line| line.contains("Page"));
        assert!(tokio::task::spawn_blocking(greets).await.unwrap(), "it ended without a word");
        (running, begun.elapsed())
    }

    /// Tickets of the last 30 days that the figures tell of.
    async fn counted(&self) -> u64 {
        let figures = get(&format!("http://127.0.0.1:{}/api/v1/kpi?days=30", self.port)).await.unwrap();
        figures["all"]["provisioning"]["n"].as_u64().unwrap()
    }

    async fn count(&self, place: u16) -> Option<Value> {
        get(&format!("http://127.0.0.1:{}/sandbox/count", self.port + place)).await
    }

    /// Tickets that the bridge's account ever created on both desks, how many keys they carry, how many twice.
    async fn tickets(&self) -> Option<(u64, u64, u64)> {
        let (jira, servicenow) = (self.count(2).await?, self.count(3).await?);
        let sum = |name: &str| Some(jira[name].as_u64()? + servicenow[name].as_u64()?);
        Some((sum("created")?, sum("keys")?, sum("keys_twice")?))
    }

    /// Orders that wait for a date in the future, by the bridge's own count.
    async fn future(&self) -> Option<u64> {
        get(&format!("http://127.0.0.1:{}/api/v1/overview", self.port)).await?["future"].as_u64()
    }

    /// Everything that was ordered and is due is completed.
    async fn settled(&self) -> Option<Value> {
        let (platform, future) = (self.count(1).await?, self.future().await?);
        let number = |name: &str| platform[name].as_u64().unwrap();
        let done = number("orders") == self.orders && number("undelivered") == 0;
        (done && number("completed") + future == self.orders).then_some(platform)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_ticket_is_there_within_ten_seconds() {
    let demo = Demo { folder: tempfile::tempdir().unwrap(), port: free_ports(4), orders: 100 };
    let begun = Instant::now();
    let mut running = demo.start(&[]);
    until_within(Duration::from_secs(30), "a ticket", async || demo.tickets().await.filter(|(created, ..)| *created > 0)).await;
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(10), "a fresh demo took {took:?}");
    running.signal(rustix::process::Signal::TERM);
    let told = Instant::now();
    assert_eq!(running.wait(), Some(0));
    assert!(told.elapsed() < Duration::from_secs(10), "it stops quickly: {:?}", told.elapsed());
}

/// Whoever opens the page as soon as its address is said sees weeks of work in it, not empty charts. A machine that is too slow for
/// that is not waited for.
#[tokio::test(flavor = "multi_thread")]
async fn the_address_is_said_when_there_are_figures_to_see() {
    let demo = Demo { folder: tempfile::tempdir().unwrap(), port: free_ports(4), orders: 100 };
    let (mut running, took) = demo.greeted().await;
    let n = demo.counted().await;
    assert!(n > 500 || took >= Duration::from_secs(15), "{n} tickets counted after {took:?}");
    running.signal(rustix::process::Signal::TERM);
    assert_eq!(running.wait(), Some(0));

    let (_running, took) = demo.greeted().await;
    assert!(demo.counted().await >= n / 2 && took < Duration::from_secs(5), "what is there is not waited for: {took:?}");
}

/// Killed again and again at any moment, under faults of every sort. The sandbox's own count of all tickets is the
/// judge, never a search; and its platform's count of completions.
#[tokio::test(flavor = "multi_thread")]
async fn killed_at_random_points_under_faults_nothing_is_lost_or_doubled() {
    let demo = Demo { folder: tempfile::tempdir().unwrap(), port: free_ports(4), orders: 30 };
    let faults = [
        ["--fault", "error-after-effect=15%"],
        ["--fault", "answer-lost=10%"],
        ["--fault", "error-before-effect=5%"],
        ["--fault", "html=5%"],
        ["--fault", "too-many-requests=5%"],
        ["--fault", "platform:forget-answers=3"],
        ["--speed", "20"],
    ];
    let arguments = faults.as_flattened();
    for _ in 0..4 {
        let mut running = demo.start(arguments);
        until_within(Duration::from_secs(60), "the demo answers", async || demo.tickets().await).await;
        // Any moment will do; which one it is is the point.
        tokio::time::sleep(Duration::from_millis(200 + lastmile::model::random::u64() % 2_500)).await;
        running.signal(rustix::process::Signal::KILL);
        running.wait();
    }
    // What was left behind settles faster where nothing goes wrong any more.
    let _running = demo.start(&["--speed", "20"]);
    let platform =
        until_within(Duration::from_secs(240), "every order that is due is completed", async || demo.settled().await).await;
    let (created, keys, twice) = demo.tickets().await.unwrap();
    assert_eq!(twice, 0, "nothing is doubled");
    assert_eq!(created, keys, "every ticket has a key of its own");
    assert_eq!(
        platform["completed"].as_u64(),
        Some(created),
        "each ticket's outcome is at the platform, and no order went without one"
    );
    assert_eq!(platform["further"], 0, "no outcome is told twice under two ids");
}
