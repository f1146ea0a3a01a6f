//! Graceful life: a stop finishes what is under way, a desk that is away costs time, a disk that is full costs nothing.

use std::process::Stdio;
use std::time::{Duration, Instant};

use lastmile::sandbox::server::USER;
use lastmile::sandbox::{Harm, Target, When};
use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};
use sqlx::Executor as _;

use super::kills::{sending, with_quiet};
use super::trial::Bed;
use super::{Engine, Level, Site};
use crate::program::{self, Running, until};
use crate::real::postgres::{Postgres, connect};

/// What a stop may take.
const STOPS_WITHIN: Duration = Duration::from_secs(25);

/// Time that a desk takes for a create here: long enough to be told to stop meanwhile.
const SLOW_MS: u64 = 4_000;

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_finishes_the_call_under_way() {
    let site = program::Site::new().await;
    site.only_pushed();
    let desks = [&site.jira, &site.servicenow];
    for desk in desks {
        desk.faults().add(Target::Create, Harm::Slow(SLOW_MS), When::Next(1));
        desk.faults().add(Target::Create, Harm::Slow(SLOW_MS), When::Always);
    }
    let mut running = site.serve().await;
    site.platform.order(6);
    site.platform.deliver(&site.address("/hooks/iga")).await;
    let created = || desks.iter().map(|d| d.state().created_by(USER)).sum::<u64>();
    // The first rule of a desk is used up when a call has come.
    let has_come = |desk: &&lastmile::sandbox::SandboxDesk| desk.faults().current().len() == 1;
    until("a call is under way", async || desks.iter().any(has_come).then_some(())).await;
    let told = Instant::now();
    running.signal(Signal::TERM);
    assert_eq!(created(), 0, "it has come and is not done");
    assert_eq!(running.wait(), Some(0), "{}", running.said());
    assert!(told.elapsed() < STOPS_WITHIN);
    let (after, ledger) = (created(), format!("sqlite:{}", site.folder.path().join("ledger.db").display()));
    assert!(after > 0, "it was waited for");
    assert_eq!(sending(Engine::Sqlite, &ledger).await.len(), 0, "and settled: nothing is left for a witness");
    desks.iter().for_each(|desk| desk.faults().set(Vec::new()));
    let again = site.serve().await;
    assert!(!again.said().contains("calls under way"), "{}", again.said());
    let keys = || desks.iter().flat_map(|d| d.state().keys_created_by(USER).into_values()).collect::<Vec<_>>();
    until("what was not begun is filed now", async || (keys().len() == 6).then_some(())).await;
    assert_eq!((created(), keys()), (6, vec![1; 6]));
}

/// Every line of the log fails then, and each loop has something to say. None may end with it.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_reads_the_log_may_go_away() {
    let site = program::Site::new().await;
    with_quiet(&site, ["2s", "500ms", "500ms"]);
    let desks = [&site.jira, &site.servicenow];
    let (reader, writer) = std::io::pipe().unwrap();
    let mut command = site.command(&["serve"]);
    command.stdout(Stdio::null()).stderr(writer);
    let mut running = Running::start(command);
    until("serve is ready", async || site.answers().await.then_some(())).await;
    drop(reader);
    desks.iter().for_each(|desk| desk.faults().add(Target::Any, Harm::FailBefore, When::Next(6)));
    site.platform.order(8);
    site.platform.deliver(&site.address("/hooks/iga")).await;
    let has_failed = |desk: &&lastmile::sandbox::SandboxDesk| desk.faults().current().is_empty();
    until("both desks have failed", async || desks.iter().all(has_failed).then_some(())).await;
    let created = || desks.map(|desk| desk.state().created_by(USER));
    until("all is filed", async || (created().iter().sum::<u64>() == 8).then_some(())).await;
    assert!(created().iter().all(|n| *n > 0), "both desks take part");
    running.signal(Signal::TERM);
    assert_eq!(running.wait(), Some(0));
}

/// An hour without the desk, by the fake clock: orders are taken, and filed when it is back, each once.
#[test]
fn a_desk_that_is_away_for_an_hour_costs_only_time() {
    let fakes = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    for level in Level::ALL {
        let mut site = fakes.block_on(Site::new(level, Engine::Sqlite));
        for away in [Harm::FailBefore, Harm::Html, Harm::Lost] {
            site.begin(0);
            fakes.block_on(async {
                let bed = Bed::open(&site).await;
                site.desk.faults().add(Target::Any, away, When::Always);
                for minute in 0..60 {
                    if minute % 12 == 0 {
                        bed.order(minute / 12 + 1);
                    }
                    bed.minute().await;
                }
                site.desk.faults().set(Vec::new());
                for _ in 0..40 {
                    bed.minute().await;
                }
                let keys = site.desk.state().keys_created_by(USER);
                assert_eq!((keys.len(), site.desk.state().created_by(USER)), (5, 5), "{level:?}, {away:?}");
                bed.close().await;
            });
        }
    }
}

/// An hour without the database, by the fake clock, with calls under way when it goes: nothing is taken meanwhile, and all
/// of it is when it is back, each once.
#[test]
fn a_database_that_is_away_for_an_hour_costs_only_time() {
    let server = match Postgres::start() {
        Ok(server) => &*Box::leak(Box::new(server)),
        Err(why) => return crate::real::skipped(&why),
    };
    let fakes = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mut site = fakes.block_on(async {
        server.make("migrated", "template1").await;
        Site::new(Level::D1, Engine::Postgres(server)).await
    });
    site.begin(0);
    fakes.block_on(async {
        let bed = Bed::open(&site).await;
        site.desk.faults().add(Target::Create, Harm::Lost, When::Next(1));
        (1..=2).for_each(|n| bed.order(n));
        bed.minute().await;
        let (socket, aside) = (server.folder.join(".s.PGSQL.5432"), server.folder.join("aside"));
        let mut inside = connect(&server.url("postgres")).await;
        std::fs::rename(&socket, &aside).unwrap();
        let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";
        inside.execute(cut).await.unwrap();
        for minute in 0..60 {
            if minute % 12 == 0 {
                bed.order(3 + minute / 12);
            }
            assert!(bed.any_minute().await.is_err(), "minute {minute}: there is no database");
        }
        assert_eq!(site.platform.state().counts().undelivered, 5, "nothing is promised that is not kept");
        std::fs::rename(&aside, &socket).unwrap();
        for _ in 0..40 {
            bed.minute().await;
        }
        let keys = site.desk.state().keys_created_by(USER);
        assert_eq!((keys.len(), site.desk.state().created_by(USER)), (7, 7));
        assert_eq!(site.platform.state().counts().undelivered, 0);
        bed.close().await;
    });
}

/// Lets no file of the process grow beyond so many bytes.
fn let_files_grow_to(running: &Running, bytes: Option<u64>) {
    let limit = Rlimit { current: bytes, maximum: None };
    prlimit(Some(Pid::from_child(&running.child)), Resource::Fsize, limit).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_intake_and_recovers_by_itself() {
    let site = program::Site::new().await;
    site.only_pushed();
    // The signal that comes with the refused write is ignored, as where a disk is really full there is none.
    let program = site.command(&["serve"]);
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(program.get_program()).args(program.get_args());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut running = Running::start(command);
    until("serve is ready", async || site.answers().await.then_some(())).await;
    let hook = site.address("/hooks/iga");
    site.platform.order(1);
    assert_eq!(site.platform.deliver(&hook).await, 1);

    // No file may grow any more: the next commits are refused.
    let_files_grow_to(&running, Some(4096));
    site.platform.order(30);
    let taken = site.platform.deliver(&hook).await;
    assert_eq!((taken, site.platform.state().counts().undelivered), (0, 30), "nothing is promised that is not on disk");
    assert!(!site.answers().await, "it says that it is not ready");
    assert!(running.child.try_wait().unwrap().is_none(), "it lives: {}", running.said());

    let_files_grow_to(&running, None);
    until("it takes orders again", async || (site.platform.deliver(&hook).await > 0).then_some(())).await;
    until("all are taken", async || {
        site.platform.deliver(&hook).await;
        (site.platform.state().counts().undelivered == 0).then_some(())
    })
    .await;
    until("it says that it is ready", async || site.answers().await.then_some(())).await;
    running.signal(Signal::TERM);
    assert_eq!(running.wait(), Some(0), "{}", running.said());
}
