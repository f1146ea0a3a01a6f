//! Paused processes: stopped (SIGSTOP) past their lease with calls leased and not begun, and woken. Whoever wakes finds its
//! lease gone before the first byte.

use std::process::Stdio;
use std::time::Duration;

use lastmile::sandbox::server::USER;
use lastmile::sandbox::{Harm, SandboxDesk, Target, When};
use rustix::process::Signal;
use sqlx::{Connection as _, Executor as _, Row as _};

use super::Engine;
use super::kills::{Place, places, sending, with_quiet};
use crate::program::{Running, Site, get, program, until, until_within};
use crate::real::postgres::connect;

/// A lease lasts as long as a call may, and 15 s more.
const PAST_THE_LEASE: Duration = Duration::from_secs(19);
const ORDERS: u32 = 8;

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
        desk.faults().add(Target::Create, Harm::Slow(1_500), When::Always);
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
        let taken = site.platform.deliver(&site.address("/hooks/iga")).await;
        let begun = std::time::Instant::now();
        while sending(engine, &ledger).await.len() < 3 {
            if begun.elapsed() > Duration::from_secs(15) {
                panic!(
                    "{} taken {taken} {:?}\n{}",
                    engine.name(),
                    site.platform.state().counts(),
                    super::kills::left(&ledger).await
                );
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        paused.signal(Signal::STOP);
        // Two may have been sent, one a desk. Their settlements count only where somebody else has taken the lease.
        let leased = sending(engine, &ledger).await.len();
        let expected = if replicas == 2 { leased } else { leased.saturating_sub(2).max(1) };
        let stopped = std::time::Instant::now();
        let other = if replicas == 2 { Some(start(&places[1]).await) } else { None };
        let desks: [&SandboxDesk; 2] = [&site.jira, &site.servicenow];
        let keys = || desks.iter().flat_map(|d| d.state().keys_created_by(USER).into_values()).collect::<Vec<_>>();
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
