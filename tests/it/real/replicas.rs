//! `lastmile serve` twice on one PostgreSQL, as installed: one is killed, and every order still becomes one ticket.

use std::process::Stdio;

use lastmile::model::Clock as _;
use lastmile::model::clock::SystemClock;
use lastmile::sandbox::company;
use lastmile::sandbox::server::USER;
use rustix::process::Signal;

use super::postgres::{Postgres, connect};
use super::skipped;
use crate::orders;
use crate::program::{Running, Site, program, serve_at, until, until_within};

const ORDERS: u64 = 40;

/// The site's ledger on a server, and a second folder that differs in the port alone.
async fn two(site: &Site) -> Option<(String, u16, std::path::PathBuf)> {
    let server = match Postgres::shared().await {
        Ok(server) => server,
        Err(why) => {
            skipped(why);
            return None;
        }
    };
    let url = server.database().await;
    site.keeps_in(&url);
    site.change("sources/iga.toml", |text| text.replace("schedule = \"30s\"", "schedule = \"2s\""));
    let (second, port) = site.another("second");
    Some((url, port, second))
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_replicas_is_killed_and_every_order_becomes_one_ticket() {
    let site = Site::new().await;
    let Some((url, port, second)) = two(&site).await else { return };
    let first = serve_at(&site.config(), site.port).await;
    let mut other = serve_at(&second, port).await;
    let place = |from: u64| {
        for n in from..from + ORDERS {
            let document = orders::dateless(company::order(1, n, SystemClock.now()));
            site.platform.state().place(document, SystemClock.now());
        }
    };
    let created = || site.jira.state().created_by(USER) + site.servicenow.state().created_by(USER);
    place(1);
    until("all are filed", async || (created() == ORDERS).then_some(())).await;
    // A duty is one replica's.
    let text = async |sql: &'static str| -> i64 {
        use sqlx::{Executor as _, Row as _};
        connect(&url).await.fetch_one(sql).await.unwrap().get(0)
    };
    assert_eq!(text("SELECT COUNT(*) FROM turn WHERE duty = 'poll/iga'").await, 1);
    until("both are known", async || (text("SELECT COUNT(*) FROM replica").await == 2).then_some(())).await;
    place(ORDERS + 1);
    first.signal(Signal::KILL);
    // What the dead one was sending is looked for when its lease is over; all others are filed at once, and nothing twice.
    let under_way = "SELECT COUNT(*) FROM errand WHERE kind = 'create' AND state IN ('sending', 'unclear')";
    until_within(std::time::Duration::from_secs(40), "the other goes on", async || {
        let waiting = i64::try_from(2 * ORDERS - created()).unwrap();
        let received = text("SELECT COUNT(*) FROM assignment").await;
        (received == i64::try_from(2 * ORDERS).unwrap() && waiting <= text(under_way).await).then_some(())
    })
    .await;
    assert_eq!(text("SELECT COUNT(*) FROM (SELECT key FROM ticket GROUP BY key HAVING COUNT(*) > 1) AS doubles").await, 0);
    other.signal(Signal::TERM);
    assert_eq!(other.wait(), Some(0), "{}", other.said());
    assert_eq!(text("SELECT COUNT(*) FROM replica").await, 1, "who stops says so; the dead one could not");
}

/// What another process compares is waited for, in words, and not done twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_leaves_a_comparison_to_the_process_whose_turn_it_is() {
    use lastmile::ledger::{Mode, Replicas as _, SqlLedger};
    let site = Site::new().await;
    let Some((url, ..)) = two(&site).await else { return };
    let other = SqlLedger::open(&url, "other", Mode::Serve).await.unwrap();
    let held = "compare/desk/jira";
    other.turn(held, "other", 600_000).await.unwrap();
    let mut command = program(&["--config"]);
    command.arg(site.config()).args(["reconcile", "--now"]).stderr(Stdio::piped()).stdout(Stdio::null());
    let mut running = Running::start(command);
    running.says("waiting for desk/jira (0 looked at)").await;
    other.leave("other").await.unwrap();
    assert_eq!(running.wait(), Some(0), "{}", running.said());
}
