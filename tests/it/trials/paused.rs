//! Paused processes: stopped (SIGSTOP) past their lease with calls leased and not begun, and woken. Whoever wakes finds its
//! lease gone before the first byte.

use std::collections::{BTreeMap, HashSet};
use std::process::Stdio;
use std::time::{Duration, Instant};

use lastmile::sandbox::server::USER;
use lastmile::sandbox::{Harm, SandboxDesk, Target, When};
use rustix::process::Signal;
use sqlx::{Connection as _, Executor as _, Row as _};

use super::Engine;
use super::kills::{Place, places, with_quiet};
use crate::program::{Running, Site, get, program, until, until_within};
use crate::real::postgres::connect;

/// A lease lasts as long as a call may, and 15 s more.
const PAST_THE_LEASE: Duration = Duration::from_secs(19);
const ORDERS: u32 = 8;
/// How long a create takes on the desks' side, milliseconds; and when one that had begun has certainly ended.
const A_CALL_TAKES_MS: u64 = 1_500;
const A_CALL_ENDS: Duration = Duration::from_secs(3);

async fn start(place: &Place) -> Running {
    let mut command = program(&["--config"]);
    command.arg(&place.config).arg("serve").stderr(Stdio::piped()).stdout(Stdio::null());
    let running = Running::start(command);
    let ready = format!("http://127.0.0.1:{}/api/v1/overview", place.port);
    until("it is ready", async || get(&ready).await).await;
    running
}

/// One create at a time on each desk, slow: of what is leased, most waits for its turn.
fn one_slow_call_at_a_time(site: &Site) {
    with_quiet(site, ["3s", "1s", "500ms"]);
    for desk in ["jira", "servicenow"] {
        site.change(&format!("desks/{desk}.toml"), |text| format!("max_in_flight = 1\n{text}"));
    }
    for desk in [&site.jira, &site.servicenow] {
        desk.faults().add(Target::Create, Harm::Slow(A_CALL_TAKES_MS), When::Always);
    }
}

/// Edge and key of every create that is leased.
async fn leased(engine: Engine, ledger: &str) -> Vec<(String, String)> {
    const LEASED: &str = "SELECT edge, mark FROM errand WHERE state = 'sending' AND kind = 'create'";
    if let Engine::Postgres(_) = engine {
        let rows = connect(ledger).await.fetch_all(LEASED).await.unwrap();
        return rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    }
    let options: sqlx::sqlite::SqliteConnectOptions = ledger.parse().unwrap();
    let mut connection = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
    connection.fetch_all(LEASED).await.unwrap().iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// Stops the process while it holds calls that have not begun: when, how many are leased, and how many of those have
/// reached no desk. A desk that has two leased makes one call; where that one ended just then, it is tried once more.
async fn stop_holding(
    paused: &Running,
    engine: Engine,
    ledger: &str,
    created: impl Fn() -> HashSet<String>,
) -> (Instant, usize, usize) {
    let two_of_a_desk = async || {
        let mut edges: Vec<String> = leased(engine, ledger).await.into_iter().map(|(edge, _)| edge).collect();
        edges.sort();
        edges.windows(2).any(|two| two[0] == two[1]).then_some(())
    };
    loop {
        until("more is leased than is under way", two_of_a_desk).await;
        paused.signal(Signal::STOP);
        let stopped = Instant::now();
        tokio::time::sleep(A_CALL_ENDS).await;
        let (leased, created) = (leased(engine, ledger).await, created());
        let held = leased.iter().filter(|(_, key)| !created.contains(key)).count();
        if held > 0 {
            return (stopped, leased.len(), held);
        }
        paused.signal(Signal::CONT);
    }
}

/// How many calls were held back at the gate, and how many settlements came without their lease.
async fn held_back(engine: Engine, ledger: &str, said: &str) -> usize {
    const HELD: &str = "SELECT COUNT(*) FROM attempt WHERE code = 'E-HELD' AND reason LIKE 'its lease %'";
    let count: i64 = match engine {
        Engine::Postgres(_) => connect(ledger).await.fetch_one(HELD).await.unwrap().get(0),
        Engine::Sqlite => {
            let options: sqlx::sqlite::SqliteConnectOptions = ledger.parse().unwrap();
            sqlx::SqliteConnection::connect_with(&options).await.unwrap().fetch_one(HELD).await.unwrap().get(0)
        }
    };
    usize::try_from(count).unwrap() + said.matches("the lease was gone when the call ended").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_woken_after_its_lease_sends_nothing_of_what_it_held() {
    for engine in Engine::all().await {
        let site = Site::new().await;
        one_slow_call_at_a_time(&site);
        let mut ledger = format!("sqlite:{}", site.folder.path().join("ledger.db").display());
        if let Engine::Postgres(server) = engine {
            let (file, url) = (ledger, server.database().await);
            site.change("lastmile.toml", |text| text.replace(&file, &url));
            ledger = url;
        }
        // On SQLite nobody serves meanwhile; on PostgreSQL another replica does.
        let replicas = if matches!(engine, Engine::Sqlite) { 1 } else { 2 };
        let places = places(&site, replicas);
        let paused = start(&places[0]).await;
        site.platform.order(ORDERS.into());
        let desks: [&SandboxDesk; 2] = [&site.jira, &site.servicenow];
        let created = || desks.iter().flat_map(|d| d.state().keys_created_by(USER)).collect::<BTreeMap<_, _>>();
        site.platform.deliver(&site.address("/hooks/iga")).await;
        let (stopped, leased, held) = stop_holding(&paused, engine, &ledger, || created().into_keys().collect()).await;
        // What was sent counts only where somebody else has taken the lease.
        let expected = if replicas == 2 { leased } else { held };
        let other = if replicas == 2 { Some(start(&places[1]).await) } else { None };
        let keys = || created().into_values().collect::<Vec<_>>();
        if other.is_some() {
            let all = async || (keys().len() == ORDERS as usize).then_some(());
            until_within(Duration::from_secs(150), "the other files what the paused one held", all).await;
        }
        tokio::time::sleep(PAST_THE_LEASE.saturating_sub(stopped.elapsed())).await;
        paused.signal(Signal::CONT);
        until("what was held is held back", async || {
            (held_back(engine, &ledger, &paused.said()).await >= expected).then_some(())
        })
        .await;
        until_within(Duration::from_secs(150), "everything is filed", async || (keys().len() == ORDERS as usize).then_some(()))
            .await;
        assert_eq!(keys(), vec![1; ORDERS as usize], "{}: {}", engine.name(), paused.said());
    }
}
