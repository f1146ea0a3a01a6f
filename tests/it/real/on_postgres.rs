//! The program on PostgreSQL as people use it: its commands beside a server and without one, and three replicas that share
//! a desk's rate.

use lastmile::model::Clock as _;
use lastmile::model::clock::SystemClock;
use lastmile::sandbox::company;
use lastmile::sandbox::server::USER;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::postgres::{Postgres, connect};
use super::skipped;
use crate::orders;
use crate::program::{Site, serve_at, until, until_within};

/// A site whose ledger a server keeps.
async fn site() -> Option<(Site, String)> {
    let server = match Postgres::shared().await {
        Ok(server) => server,
        Err(why) => {
            skipped(why);
            return None;
        }
    };
    let (site, url) = (Site::new().await, server.database().await);
    site.only_pushed();
    site.keeps_in(&url);
    Some((site, url))
}

fn order(id: &str, application: &str) -> Value {
    let mut document = orders::dateless(company::order(1, 1, SystemClock.now()));
    document["id"] = json!(id);
    document["operation"] = json!("add");
    document["risk"] = json!("low");
    document["entitlement"] = json!({"id": "analyst", "name": "Analyst"});
    document["application"] = json!({"id": application, "name": application});
    document["beneficiary"]["id"] = json!(format!("P-{id}"));
    document
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_works_beside_a_server_and_without_one() {
    let Some((site, _)) = site().await else { return };
    // Nothing is there yet, and asking makes nothing.
    let fresh = site.run(&["doctor"]);
    assert!(fresh.out.contains("PostgreSQL"), "{}{}", fresh.out, fresh.err);
    site.change("sources/iga.toml", |text| text.replace("external_id = \"/id\"", "external_id = \"/number\""));
    let mut server = site.serve().await;
    for id in ["REQ-1", "REQ-2", "REQ-3"] {
        site.platform.state().place(order(id, "lims"), SystemClock.now());
    }
    assert_eq!(site.platform.deliver(&site.address("/hooks/iga")).await, 3);
    let listed = site.run(&["replay"]);
    assert!(listed.code == Some(0) && listed.out.contains("3 held."), "{}{}", listed.out, listed.err);
    let ids: Vec<&str> =
        listed.out.lines().filter(|l| l.contains("source iga")).filter_map(|l| l.split_whitespace().next()).collect();
    let still = site.run(&["replay", ids[0]]);
    assert!(still.code == Some(1) && still.out.contains("still does not map"), "{}{}", still.out, still.err);
    site.change("sources/iga.toml", |text| text.replace("external_id = \"/number\"", "external_id = \"/id\""));
    server.signal(Signal::HUP);
    until("the mended mapping is in force", async || {
        site.run(&["replay", ids[0]]).out.contains("it is an order now").then_some(())
    })
    .await;
    assert!(site.run(&["replay", "--discard", ids[1]]).out.contains("done"));
    until("its ticket", async || (site.jira.state().created_by(USER) == 1).then_some(())).await;
    let opened = until("it is open", async || {
        let said = site.run(&["doctor", "--chains", "--online"]);
        said.out.contains("1 open").then_some(said)
    })
    .await;
    // Tests wait for no disk, and doctor sees it.
    let wrong: Vec<&str> = opened.out.lines().filter(|l| l.trim_start().starts_with("WRONG")).collect();
    assert!(matches!(wrong[..], [one] if one.contains("fsync off")), "{}", opened.out);
    server.signal(Signal::TERM);
    assert_eq!(server.wait(), Some(0), "{}", server.said());
    // Nobody serves.
    let alone = site.run(&["replay", "--all"]);
    assert!(alone.code == Some(0) && alone.out.contains("it is an order now"), "{}{}", alone.out, alone.err);
    let ticket = site.jira.state().all().remove(0);
    site.jira.state().change(&ticket.id, |t, _| t.deleted = true);
    let lost = site.run(&["reconcile", "--now"]);
    let finding = lost.out.lines().find(|l| l.contains("  lost  ")).unwrap_or_else(|| panic!("{}{}", lost.out, lost.err));
    let finding = finding.split(' ').next().unwrap();
    let mended = site.run(&["reconcile", "--repair", finding]);
    assert!(mended.code == Some(0) && mended.out.starts_with("done"), "{}{}", mended.out, mended.err);
    assert_eq!(site.run(&["reconcile", "--repair", finding]).code, Some(1), "once is enough");
    // Served again: the lost one is filed anew, the replayed one for the first time.
    let mut server = site.serve().await;
    until("both tickets", async || (site.jira.state().created_by(USER) == 3).then_some(())).await;
    let verified = until("the figures have caught up", async || {
        let said = site.run(&["kpi", "verify"]);
        (said.code == Some(0)).then_some(said)
    })
    .await;
    assert!(!verified.out.is_empty());
    let unknown = site.run(&["act", "unpark", ids[0]]);
    assert!(unknown.code == Some(1) && unknown.out.starts_with("NOT DONE: "), "{}{}", unknown.out, unknown.err);
    server.signal(Signal::TERM);
    assert_eq!(server.wait(), Some(0), "{}", server.said());
}

const ORDERS: usize = 48;
const PER_SECOND: usize = 4;
/// Every span of so many seconds is looked at.
const SPAN: i64 = 5;

#[tokio::test(flavor = "multi_thread")]
async fn three_replicas_keep_within_the_rate_of_a_desk_together() {
    let Some((site, url)) = site().await else { return };
    site.change("desks/jira.toml", |text| format!("per_second = {PER_SECOND}\n{text}"));
    let (second, third) = (site.another("second"), site.another("third"));
    let _replicas =
        [serve_at(&site.config(), site.port).await, serve_at(&second.0, second.1).await, serve_at(&third.0, third.1).await];
    // Each has been there for two beats: all know of all.
    until("three are known", async || {
        let settled = "SELECT COUNT(*) FROM replica WHERE until - since >= 10000 + 4000";
        let (count,): (i64,) = sqlx::query_as(settled).fetch_one(&mut connect(&url).await).await.unwrap();
        (count == 3).then_some(())
    })
    .await;
    for n in 0..ORDERS {
        site.platform.state().place(order(&format!("REQ-{n}"), "lims"), SystemClock.now());
    }
    site.platform.deliver(&site.address("/hooks/iga")).await;
    let filed = until_within(std::time::Duration::from_secs(120), "all are filed", async || {
        let all = site.jira.state().all();
        (all.len() == ORDERS).then_some(all)
    })
    .await;
    let mut times: Vec<i64> = filed.iter().map(|t| t.created_at.0).collect();
    times.sort_unstable();
    // What a second allows may go at once, and one call of each may be on its way.
    let most = PER_SECOND * (usize::try_from(SPAN).unwrap() + 1) + 3;
    for (n, from) in times.iter().enumerate() {
        let within = times[n..].iter().take_while(|at| **at - from < SPAN * 1000).count();
        assert!(within <= most && most < ORDERS, "{within} creates within {SPAN} s: {times:?}");
    }
    let (owners,): (i64,) = sqlx::query_as("SELECT COUNT(DISTINCT owner) FROM attempt WHERE what = 'create'")
        .fetch_one(&mut connect(&url).await)
        .await
        .unwrap();
    assert!(owners >= 2, "several of them filed");
}
