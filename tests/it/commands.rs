//! Commands as a person runs them: what they say, and the code they end with.

use std::io::Write as _;
use std::os::unix::net::UnixDatagram;
use std::process::Stdio;
use std::time::{Duration, Instant};

use lastmile::model::clock::SystemClock;
use lastmile::model::{Clock as _, Outcome, Timestamp};
use lastmile::sandbox::server::USER;
use lastmile::sandbox::{Harm, Target, When, admins, company};
use rustix::process::Signal;
use serde_json::{Value, json};
use sqlx::ConnectOptions as _;
use sqlx::sqlite::SqliteConnectOptions;

use crate::orders::dateless;
use crate::program::{Running, Said, Site, file, free_ports, get, program, run, until};

/// When the samples of these tests were approved.
const APPROVED: Timestamp = Timestamp(1_795_000_000_000);

/// An order of the sandbox's company for an application, due at once.
fn order(id: &str, application: (&str, &str), risk: &str) -> Value {
    let mut order = dateless(company::order(1, 1, APPROVED));
    order["id"] = json!(id);
    order["operation"] = json!("add");
    order["application"] = json!({"id": application.0, "name": application.1});
    order["entitlement"] = json!({"id": "analyst", "name": "Analyst"});
    order["risk"] = json!(risk);
    order
}

#[tokio::test(flavor = "multi_thread")]
async fn check_tells_what_is_configured_and_where_orders_go() {
    let site = Site::new().await;
    let said = site.run(&["check"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    insta::assert_snapshot!(site.redacted(&said.out));
}

#[tokio::test(flavor = "multi_thread")]
async fn check_finds_every_problem_at_once_whatever_it_is_in() {
    let site = Site::new().await;
    site.change("lastmile.toml", |text| text.replace("lead_time", "leed_time"));
    site.change("desks/jira.toml", |text| text.replace("secrets/desk", "secrets/nowhere"));
    site.change("sources/iga.toml", |text| text.replace("schedule = \"30s\"", "schedule = \"* * *\""));
    site.write("applications/crm.toml", "[route]\ndesk = \"jirra\"\n");
    site.write("templates/tickets/default.hbs", "summary: {{aplication.name}}\n---\nx\n");
    let said = site.run(&["check"]);
    assert_eq!((said.code, said.out.as_str()), (Some(78), ""));
    insta::assert_snapshot!(site.redacted(&said.err));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_never_wins_is_worth_a_look() {
    let site = Site::new().await;
    site.write(
        "applications/lims.toml",
        "[[rules]]\nname = \"everybody\"\nroute = { admin_group = \"plant-it\" }\n\n[[rules]]\nname = \"risky\"\nwhen = { risk = [\"high\"] }\nroute = { admin_group = \"plant-it-pune\" }\n",
    );
    let said = site.run(&["check"]);
    assert_eq!(said.code, Some(0));
    assert!(said.out.contains("rule `risky`: look: this rule never wins, an earlier one does"), "{}", said.out);
    assert!(said.out.contains("1 route worth a look"), "{}", said.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn check_online_groups_what_is_missing_and_fails_for_it() {
    let site = Site::new().await;
    let groups = ["SAP Basis", "SAP Security", "Access Desk"].map(str::to_owned);
    site.servicenow.state().set_groups(Some(groups.into()));
    site.jira.state().set_groups(Some(["Access Desk", "Plant IT"].map(str::to_owned).into()));
    let said = site.run(&["check", "--online"]);
    assert_eq!(said.code, Some(1), "{}", said.err);
    let (_, online) = said.out.split_once("is sound").unwrap();
    insta::assert_snapshot!(site.redacted(online));
}

#[tokio::test(flavor = "multi_thread")]
async fn plan_prints_the_very_tickets_of_both_desks() {
    let site = Site::new().await;
    let mut later = order("REQ-3", ("lims", "LIMS"), "low");
    later["validFrom"] = json!("2099-06-01");
    let lines = [
        json!({"type": "order.changed", "data": order("REQ-1", ("lims", "LIMS"), "low")}),
        order("REQ-2", ("sap-erp", "SAP ERP"), "high"),
        later,
    ];
    let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let said = site.run(&["plan", &file(site.folder.path(), "events.jsonl", &lines)]);
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
    insta::assert_snapshot!(site.redacted(&said.out));
    let untouched = site.jira.state().created_by(USER) + site.servicenow.state().created_by(USER);
    assert!(untouched == 0 && !site.folder.path().join("ledger.db").exists(), "nobody is asked and nothing is written");
}

#[tokio::test(flavor = "multi_thread")]
async fn plan_says_what_would_need_a_person_and_what_is_cut() {
    let site = Site::new().await;
    site.change("lastmile.toml", |text| {
        text.replace("{{application.id}}-admins", "{{attributes.owner}}")
            .replace("fallback_admin_group", "# fallback_admin_group")
    });
    let mut long = order("REQ-2", ("sap-erp", "SAP ERP"), "low");
    long["justification"] = json!("because of the year-end closing. ".repeat(400));
    let mut broken = order("REQ-3", ("lims", "LIMS"), "low");
    broken["operation"] = json!("explode");
    let mut gone = order("REQ-4", ("lims", "LIMS"), "low");
    gone["status"] = json!("withdrawn");
    let array = json!([order("REQ-1", ("salesforce", "Salesforce"), "low"), long, broken, gone]).to_string();
    let mut child = site.command(&["plan", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(array.as_bytes()).unwrap();
    let said: Said = child.wait_with_output().unwrap().into();
    assert_eq!(said.code, Some(1));
    let shown: Vec<&str> = said.out.lines().filter(|line| !line.starts_with("    ") && !line.contains("as it is sent")).collect();
    insta::assert_snapshot!(site.redacted(&shown.join("\n")));
}

#[tokio::test(flavor = "multi_thread")]
async fn plan_used_wrongly_says_how_to_use_it() {
    let site = Site::new().await;
    let event = file(site.folder.path(), "event.json", "{}");
    let said = site.run(&["plan", &event, "--source", "igga"]);
    assert_eq!((said.code, said.err.as_str()), (Some(2), "lastmile: there is no source `igga`; configured are: iga\n"));
    site.change("sources/iga.toml", str::to_owned);
    let second = std::fs::read_to_string(site.config().join("sources/iga.toml")).unwrap();
    site.write("sources/other.toml", &second);
    let said = site.run(&["plan", &event]);
    let words = "lastmile: say which source with --source; configured are: iga, other\n";
    assert_eq!((said.code, said.err.as_str()), (Some(2), words));
    let said = site.run(&["plan", &file(site.folder.path(), "torn.json", "{\"id\": "), "--source", "iga"]);
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("torn.json: it is not JSON: line 1, column 7"), "{}", said.err);
    assert_eq!(run(&["plan"]).code, Some(2));
}

#[test]
fn the_schema_covers_every_kind_of_file() {
    let said = run(&["schema"]);
    assert_eq!(said.code, Some(0));
    let schema: Value = serde_json::from_str(&said.out).unwrap();
    for kind in ["lastmile.toml", "applications/*.toml", "admin-groups.toml", "sources/*.toml", "desks/*.toml (jira)"] {
        assert!(
            schema["files"][kind]["properties"].is_object() || schema["files"][kind]["additionalProperties"].is_object(),
            "{kind}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_looks_beside_a_server_and_without_one() {
    let site = Site::new().await;
    site.only_pushed();
    let said = site.run(&["doctor"]);
    assert_eq!(said.code, Some(1));
    assert!(said.out.contains("there is no ledger at"), "{}", said.out);
    let mut server = site.serve().await;
    site.platform.state().place(order("REQ-1", ("lims", "LIMS"), "low"), Timestamp(0));
    site.platform.state().place(json!({"id": "REQ-9"}), Timestamp(0));
    assert_eq!(site.platform.deliver(&site.address("/hooks/iga")).await, 2);
    until("the ticket is filed", async || (site.jira.state().created_by(USER) == 1).then_some(())).await;
    let beside = until("it is open", async || {
        let said = site.run(&["doctor", "--chains", "--integrity", "--online"]);
        said.out.contains("1 open").then_some(said)
    })
    .await;
    assert_eq!(beside.code, Some(0), "{}", beside.out);
    insta::assert_snapshot!(site.redacted(&beside.out));
    insta::assert_snapshot!("dump", site.redacted(&dump(&site)));
    server.signal(Signal::TERM);
    assert_eq!(server.wait(), Some(0));
    // Wrong on purpose: the desk of an open ticket is no longer described, and another's clock is far off.
    site.remove("desks/jira.toml");
    site.change("lastmile.toml", |text| text.replace("desk = \"jira\"", "desk = \"servicenow\""));
    site.servicenow.faults().set_skew_ms(900_000);
    let alone = site.run(&["doctor", "--online"]);
    assert_eq!(alone.code, Some(1), "{}", alone.out);
    let wrong: Vec<&str> = alone.out.lines().filter(|l| l.contains("WRONG") || l.contains("warning")).collect();
    // Desks tell the time in whole seconds.
    let wrong = wrong.join("\n").replace("899 s ahead", "900 s ahead").replace("901 s ahead", "900 s ahead");
    insta::assert_snapshot!("wrong", site.redacted(&wrong));
    let ledger = SqliteConnectOptions::new().filename(site.folder.path().join("ledger.db"));
    sqlx::query("UPDATE assignment SET closed_at = 1").execute(&mut ledger.connect().await.unwrap()).await.unwrap();
    let lanes = site.run(&["doctor", "--chains"]);
    let told = lanes.out.lines().find(|l| l.contains("lanes: ")).unwrap_or_default();
    assert!(told.contains("WRONG") && told.contains("1 order with a time of closing that does not fit the state"), "{told}");
    site.change("lastmile.toml", |text| text.replace("[server]", "[sever]"));
    let refused = site.run(&["doctor"]);
    assert!(refused.code == Some(78) && refused.out.contains("did you mean `server`?"), "{}", refused.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn reconcile_tells_and_mends_beside_a_server_and_without_one() {
    let site = Site::new().await;
    site.only_pushed();
    let mut server = site.serve().await;
    let fresh = site.run(&["reconcile"]);
    assert_eq!(fresh.code, Some(0), "{}{}", fresh.out, fresh.err);
    insta::assert_snapshot!("reconcile_fresh", site.redacted(&fresh.out));
    site.platform.state().place(order("REQ-1", ("lims", "LIMS"), "low"), Timestamp(0));
    assert_eq!(site.platform.deliver(&site.address("/hooks/iga")).await, 1);
    until("it is open", async || dump(&site).contains("jira/lims-admins open").then_some(())).await;
    assert_eq!(site.run(&["reconcile", "--now"]).code, Some(0));
    let ticket = site.jira.state().all().remove(0);
    site.jira.state().change(&ticket.id, |t, _| t.deleted = true);
    let lost = site.run(&["reconcile", "--now"]);
    assert_eq!(lost.code, Some(1), "{}{}", lost.out, lost.err);
    let told = lost.out.lines().find(|l| l.contains("  lost  ")).unwrap_or_else(|| panic!("{}", lost.out));
    assert!(told.ends_with("lost  IAM-1 on desk/jira, for LIMS"), "{told}");
    let id = told.split(' ').next().unwrap();
    assert!(lost.out.contains(&format!("`lastmile reconcile --repair {id}` searches it by key")), "{}", lost.out);
    let mended = site.run(&["reconcile", "--repair", id]);
    assert_eq!((mended.code, mended.out.as_str()), (Some(0), "done\n"));
    assert_eq!(site.run(&["reconcile", "--repair", id]).code, Some(1), "once is enough");
    until("it is filed again", async || (site.jira.state().created_by(USER) == 2).then_some(())).await;
    until("it is open again", async || dump(&site).contains("jira/lims-admins open").then_some(())).await;
    server.signal(Signal::TERM);
    assert_eq!(server.wait(), Some(0));
    // Nobody serves: the command compares by itself.
    let alone = site.run(&["reconcile", "--now"]);
    assert_eq!(alone.code, Some(0), "{}{}", alone.out, alone.err);
    assert!(alone.out.contains("agree") && !alone.out.contains("never compared"), "{}", alone.out);
    let (desk, again) = (&site.jira, site.jira.state().all().remove(1));
    desk.state().change(&again.id, |t, _| t.deleted = true);
    let lost = site.run(&["reconcile", "--now"]);
    let id = lost.out.lines().find(|l| l.contains("  lost  ")).and_then(|l| l.split(' ').next()).unwrap().to_owned();
    assert_eq!(site.run(&["reconcile", "--dismiss", &id]).code, Some(0));
    assert_eq!(site.run(&["reconcile"]).code, Some(0), "what is dismissed is not told again");
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_compared_on_schedule() {
    let site = Site::new().await;
    site.change("lastmile.toml", |text| text.replace("sync_every", "reconcile = \"* * * * * *\"\nsync_every"));
    let _server = site.serve().await;
    until("each edge is compared unasked", async || (!site.run(&["reconcile"]).out.contains("never compared")).then_some(()))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn quarantined_events_are_replayed_through_the_server_or_without_one() {
    let site = Site::new().await;
    site.only_pushed();
    site.change("sources/iga.toml", |text| text.replace("external_id = \"/id\"", "external_id = \"/number\""));
    let mut server = site.serve().await;
    for id in ["REQ-1", "REQ-2", "REQ-3"] {
        site.platform.state().place(order(id, ("lims", "LIMS"), "low"), Timestamp(0));
    }
    assert_eq!(site.platform.deliver(&site.address("/hooks/iga")).await, 3, "kept, and answered 202");
    let listed = site.run(&["replay"]);
    assert_eq!(listed.code, Some(0));
    assert!(
        listed.out.contains("field `external_id`: nothing stands at /number") && listed.out.contains("3 held."),
        "{}",
        listed.out
    );
    let ids: Vec<&str> =
        listed.out.lines().filter(|l| l.contains("source iga")).filter_map(|l| l.split_whitespace().next()).collect();
    let still = site.run(&["replay", ids[0]]);
    assert_eq!(still.code, Some(1), "{}{}", still.out, still.err);
    assert!(still.out.contains("NOT DONE: it still does not map"), "{}", still.out);
    // Mended; the running server reads it again.
    site.change("sources/iga.toml", |text| text.replace("external_id = \"/number\"", "external_id = \"/id\""));
    server.signal(Signal::HUP);
    until("the mended mapping is in force", async || {
        site.run(&["replay", ids[0]]).out.contains("it is an order now").then_some(())
    })
    .await;
    assert!(site.run(&["replay", "--discard", ids[1]]).out.contains("done"));
    until("its ticket", async || (site.jira.state().created_by(USER) == 1).then_some(())).await;
    server.signal(Signal::TERM);
    assert_eq!(server.wait(), Some(0));
    let said = site.run(&["replay", "--all"]);
    assert!(said.code == Some(0) && said.out.contains("it is an order now (assignment "), "{}{}", said.out, said.err);
    let gone = site.run(&["replay", ids[1]]);
    assert!(gone.code == Some(1) && gone.out.contains("NOT DONE: there is no such quarantined event"), "{}", gone.out);
    assert_eq!(site.run(&["replay"]).out, "Nothing is held in quarantine.\n");
    assert_eq!(site.run(&["replay", "--discard"]).code, Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_order_is_acted_on_from_the_command_line() {
    let site = Site::new().await;
    site.change("lastmile.toml", |text| {
        text.replace("{{application.id}}-admins", "{{attributes.owner}}")
            .replace("fallback_admin_group", "# fallback_admin_group")
    });
    let server = site.serve().await;
    site.platform.state().place(order("REQ-1", ("salesforce", "Salesforce"), "low"), Timestamp(0));
    site.platform.deliver(&site.address("/hooks/iga")).await;
    let parked = until("it is parked", async || {
        get(&site.address("/api/v1/operations")).await?["parked"][0]["id"].as_str().map(str::to_owned)
    })
    .await;
    let said = site.run(&["act", "decide", &parked, "not_possible", "Nobody owns it."]);
    assert_eq!((said.code, said.out.as_str()), (Some(0), "done\n"), "{}", said.err);
    until("the platform hears it", async || {
        (site.platform.state().completions_of("REQ-1").first()?["outcome"] == "not_possible").then_some(())
    })
    .await;
    let said = site.run(&["act", "unpark", &parked]);
    assert_eq!(said.code, Some(1));
    assert!(said.out.starts_with("NOT DONE: "), "{}", said.out);
    assert_eq!(site.run(&["act", "decide", &parked, "perhaps", "x"]).code, Some(2));
    drop(server);
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_says_when_it_is_ready_and_refuses_what_cannot_be() {
    let site = Site::new().await;
    let socket = site.folder.path().join("notify");
    let manager = UnixDatagram::bind(&socket).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut command = site.command(&["serve"]);
    command.env("NOTIFY_SOCKET", &socket).stderr(Stdio::piped()).stdout(Stdio::null());
    let mut server = Running::start(command);
    let heard = |socket: &UnixDatagram| {
        let mut text = [0; 64];
        let n = socket.recv(&mut text).unwrap();
        String::from_utf8_lossy(&text[..n]).into_owned()
    };
    assert_eq!(heard(&manager), "READY=1");
    let second = site.run(&["serve"]);
    assert_eq!(second.code, Some(1));
    assert!(second.err.contains("cannot listen on 127.0.0.1:"), "{}", second.err);
    let elsewhere = format!("127.0.0.1:{}", free_ports(1));
    site.change("lastmile.toml", |text| text.replace(&format!("127.0.0.1:{}", site.port), &elsewhere));
    let second = site.run(&["serve"]);
    let holder = format!("held by process {}", server.child.id());
    assert!(second.code == Some(1) && second.err.contains(&holder), "{}", second.err);
    server.signal(Signal::TERM);
    let told = Instant::now();
    assert_eq!(server.wait(), Some(0));
    // Nothing is under way that the 25 s of a stop would be for.
    assert!(told.elapsed() < Duration::from_secs(20), "{:?}", told.elapsed());
    assert_eq!(heard(&manager), "STOPPING=1");
    let said = server.says("stopped").await;
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines.len() == 3 && lines[0].contains("serving") && lines[2].contains("stopped"), "few lines: {said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_stops_at_once() {
    let site = Site::new().await;
    // The call outlasts the 25 s that a stop waits, so that only the second signal ends it sooner.
    site.change("desks/servicenow.toml", |text| text.replace("timeout = \"5s\"", "timeout = \"60s\""));
    site.servicenow.faults().add(Target::Any, Harm::Slow(60_000), When::Always);
    let mut server = site.serve().await;
    site.platform.state().place(order("REQ-1", ("sap-erp", "SAP ERP"), "low"), Timestamp(0));
    site.platform.deliver(&site.address("/hooks/iga")).await;
    until("a call is under way", async || dump(&site).contains("create").then_some(())).await;
    server.signal(Signal::TERM);
    until("it stops taking requests", async || (!site.answers().await).then_some(())).await;
    server.signal(Signal::TERM);
    let told = Instant::now();
    let code = server.wait();
    assert!(told.elapsed() < Duration::from_secs(20), "{:?}", told.elapsed());
    assert_eq!(code, Some(143));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_swaps_everything_or_nothing() {
    let site = Site::new().await;
    let sources = std::fs::read_to_string(site.config().join("sources/iga.toml")).unwrap();
    let servicenow = std::fs::read_to_string(site.config().join("desks/servicenow.toml")).unwrap();
    // It begins with one desk, and a list that is asked for once a day only.
    for id in ["sap-erp", "badge", "file-shares", "treasury", "travel", "mainframe"] {
        site.remove(&format!("applications/{id}.toml"));
    }
    let groups = std::fs::read_to_string(site.config().join("admin-groups.toml")).unwrap();
    site.write("admin-groups.toml", "[access-desk]\nname = \"Access Desk\"\n[plant-it]\n[plant-it-pune]\n");
    site.remove("desks/servicenow.toml");
    site.write("sources/iga.toml", &sources.replace("schedule = \"30s\"", "schedule = \"0 3 * * *\""));
    let mut server = site.serve().await;
    // The list is asked for at the start, too, and that may be late: an order in it then is filed by the old configuration.
    let polled = async || metrics(&site).await.contains("lastmile_poll_last_success_timestamp_seconds").then_some(());
    until("the first poll", polled).await;
    // A changed schedule and a new desk take effect: the order comes by the list alone and goes to the new desk.
    site.write("admin-groups.toml", &groups);
    site.write("desks/servicenow.toml", &servicenow);
    site.write("applications/travel.toml", "[route]\ndesk = \"servicenow\"\n");
    site.write("sources/iga.toml", &sources.replace("schedule = \"30s\"", "schedule = \"1s\""));
    server.signal(Signal::HUP);
    site.platform.state().place(order("REQ-1", ("travel", "Travel booking"), "low"), SystemClock.now());
    until("the new desk's ticket", async || (site.servicenow.state().created_by(USER) == 1).then_some(())).await;
    until("it is known to be open", async || dump(&site).contains("servicenow/travel-admins open").then_some(())).await;
    // A broken file, and a desk that is still needed: each is refused, and the bridge goes on as it was.
    site.change("lastmile.toml", |text| text.replace("sync_every", "sink_every"));
    server.signal(Signal::HUP);
    server.says("lastmile.toml:26: unknown field `sink_every`").await;
    site.change("lastmile.toml", |text| text.replace("sink_every", "sync_every"));
    site.remove("desks/servicenow.toml");
    site.write("applications/travel.toml", "");
    site.write("admin-groups.toml", "[access-desk]\nname = \"Access Desk\"\n[plant-it]\n[plant-it-pune]\n");
    server.signal(Signal::HUP);
    server
        .says(
            "is refused, the old one stays: desk `servicenow` is no longer described, but it has 1 open tickets and 0 calls to \
             make: put desks/servicenow.toml back",
        )
        .await;
    let ticket = site.servicenow.state().all().remove(0);
    site.servicenow.state().change(&ticket.number, |t, now| {
        admins::close(t, "alice", now, Outcome::Fulfilled, "Done.");
    });
    until("the old desk is still listened to", async || site.platform.state().completions_of("REQ-1").first().cloned()).await;
    until("the ledger knows it", async || dump(&site).contains("servicenow/travel-admins closed").then_some(())).await;
    // Nothing is left to do there: now it may go. What only a start can change is refused.
    server.signal(Signal::HUP);
    until("the desk is gone", async || (in_force(&server) == 2).then_some(())).await;
    site.change("lastmile.toml", |text| text.replace("name = \"demo\"", "name = \"other\""));
    server.signal(Signal::HUP);
    server.says("[instance] name was changed: that takes effect only with a restart").await;
    server.signal(Signal::TERM);
    assert_eq!(server.wait(), Some(0));
}

fn dump(site: &Site) -> String {
    site.run(&["doctor", "--dump"]).out
}

fn in_force(server: &Running) -> usize {
    server.said().matches("the configuration was read again and is in force").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_edge_is_told_once_and_its_recovery_once() {
    let site = Site::new().await;
    site.change("lastmile.toml", |text| text.replace("sync_every = \"3s\"", "sync_every = \"1s\""));
    let mut server = site.serve().await;
    site.jira.faults().set_revoked(true);
    until("metrics say so", async || failing(&site).await.then_some(())).await;
    site.jira.faults().set_revoked(false);
    until("metrics say it is over", async || (!failing(&site).await).then_some(())).await;
    server.signal(Signal::TERM);
    assert_eq!(server.wait(), Some(0));
    let said = server.says("stopped").await;
    assert_eq!(said.matches("fails; nothing is lost").count(), 1, "{said}");
    assert_eq!(said.matches("works again").count(), 1, "{said}");
    assert!(said.contains("code=\"E-AUTH\"") && said.contains("edge=\"desk/jira\""), "{said}");
}

async fn metrics(site: &Site) -> String {
    let client = lastmile::http::HttpClient::new(lastmile::http::client::ClientSettings::for_edge("test")).unwrap();
    let answer = client.send(lastmile::http::Call::new("GET", site.address("/metrics"))).await.unwrap();
    String::from_utf8_lossy(&answer.body).into_owned()
}

async fn failing(site: &Site) -> bool {
    let text = metrics(site).await;
    text.lines().any(|l| l.starts_with("lastmile_edge_failing{") && l.contains("desk/jira") && l.ends_with(" 1"))
}

#[test]
fn the_command_line_says_what_there_is() {
    let said = run(&["--help"]);
    assert_eq!(said.code, Some(0));
    insta::assert_snapshot!(said.out);
    assert_eq!(program(&["frobnicate"]).output().unwrap().status.code(), Some(2));
}
