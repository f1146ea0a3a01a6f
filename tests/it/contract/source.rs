//! What every source promises, pushed and polled, against the sandbox platform.

#![expect(clippy::unwrap_used, reason = "helpers of tests may")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use lastmile::catalog::{ConfigFile, EdgeFile};
use lastmile::http::signature::Refusal;
use lastmile::http::{CallError, Inbound};
use lastmile::model::clock::FakeClock;
use lastmile::model::completion::Completion;
use lastmile::model::{Clock, Operation, Outcome, Timestamp};
use lastmile::sandbox::config::{MAPPING, files};
use lastmile::sandbox::{PlatformFaults, SandboxPlatform};
use lastmile::source::{self, EventContent, HookRefusal, Source, SourceEvent};
use serde_json::json;

const NOW: Timestamp = Timestamp(1_764_000_000_000);

struct World {
    clock: Arc<FakeClock>,
    platform: SandboxPlatform,
    folder: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let clock = Arc::new(FakeClock::at(NOW));
        let listen = "127.0.0.1:0".parse().unwrap();
        let platform =
            SandboxPlatform::start(clock.clone(), None, listen, Arc::new(PlatformFaults::default()), 11).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("secrets")).unwrap();
        for (path, text) in files(platform.url(), "", "", "").into_iter().filter(|(p, _)| p.starts_with("secrets/")) {
            std::fs::write(folder.path().join(path), text).unwrap();
        }
        Self { clock, platform, folder }
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn build(&self, kind: &str, tables: &str) -> Arc<dyn Source> {
        let url = self.platform.url();
        let text = format!(
            "kind = \"{kind}\"\n{}\n[report]\nurl = \"{url}/completions\"\nsigning = {{ file = \"secrets/platform-report\" }}\n{MAPPING}",
            tables.replace("URL", url)
        );
        let file = ConfigFile::from_text(Path::new("sources/iga.toml"), &text);
        source::build("iga", &EdgeFile { kind: kind.to_owned(), file }, self.folder.path(), self.clock.clone())
            .unwrap_or_else(|problems| panic!("{problems:?}"))
    }

    fn hook(&self) -> Arc<dyn Source> {
        self.build("webhook", HOOK)
    }

    fn cursor(&self, paging: &str) -> Arc<dyn Source> {
        self.build("poll", &CURSOR.replace("PAGING", paging))
    }

    fn snapshot(&self) -> Arc<dyn Source> {
        self.build("poll", SNAPSHOT)
    }

    /// Every waiting message as it would arrive now.
    fn arriving(&self) -> Vec<Inbound> {
        self.platform.messages().into_iter().map(|(headers, body)| self.inbound(headers, body)).collect()
    }

    fn inbound(&self, headers: BTreeMap<String, String>, body: Vec<u8>) -> Inbound {
        Inbound {
            method: "POST".to_owned(),
            path: "/hooks/iga".to_owned(),
            query: BTreeMap::new(),
            headers,
            body,
            peer: None,
            client_certificate: None,
            received_at: self.now(),
        }
    }
}

const HOOK: &str = r#"
[webhook]
verify = { scheme = "standard-webhooks", secrets = [{ file = "secrets/new-hook" }, { file = "secrets/platform-hook" }] }
events = "/data"
"#;

const CURSOR: &str = r#"
[poll]
url = "URL/orders?limit=7"
schedule = "*/5 * * * *"
auth = { bearer = { file = "secrets/platform-list" } }
list = "cursor"
items = "/items"
paging = PAGING
cursor = { field = "/updatedAt", parameter = "since", overlap = "60s", ascending = true }
"#;

const SNAPSHOT: &str = r#"
[poll]
url = "URL/pending"
schedule = "1h"
auth = { bearer = { file = "secrets/platform-list" } }
list = "snapshot"
items = "/items"
paging = { by = "offset", limit = 7, total = "/total" }
"#;

const PAGINGS: [&str; 3] = [
    r#"{ by = "next_pointer", pointer = "/next" }"#,
    r#"{ by = "link_header" }"#,
    r#"{ by = "token", pointer = "/token", parameter = "after" }"#,
];

fn new_secret(world: &World) -> &'static str {
    let secret = "whsec_bmV3LXNlY3JldC1vZi10aGUtc2FuZGJveC1wbGF0Zm9ybTA=";
    std::fs::write(world.folder.path().join("secrets/new-hook"), secret).unwrap();
    secret
}

fn natural_keys(events: &[SourceEvent]) -> BTreeSet<String> {
    events
        .iter()
        .map(|event| match &event.content {
            EventContent::Order(order) => order.natural_key(),
            EventContent::Withdrawn { external_id, .. } => format!("withdrawn {external_id}"),
            EventContent::Left { .. } => panic!("nobody leaves here"),
            EventContent::Seen { .. } => panic!("nothing is proven here"),
            EventContent::Unmappable { problem, .. } => panic!("unmappable: {problem}"),
        })
        .collect()
}

fn event_ids(events: &[SourceEvent]) -> BTreeSet<String> {
    events.iter().map(|e| e.event_id.clone()).collect()
}

pub(super) fn completion(id: &str, order: &str) -> Completion {
    Completion {
        id: id.to_owned(),
        external_id: order.to_owned(),
        natural_key: format!("iga/{order}/grant/1"),
        operation: Operation::Grant,
        application: "sap-erp".to_owned(),
        outcome: Outcome::Fulfilled,
        success: true,
        reason: None,
        words: Some("done".to_owned()),
        closed_by: None,
        ticket: Some("IAM-1".to_owned()),
        ticket_url: None,
        desk: Some("jira".to_owned()),
        closed_at: Some(NOW),
        seen_at: NOW,
        closed_at_iso: Some(NOW.iso()),
        seen_at_iso: NOW.iso(),
        filed_at: None,
        started_at: None,
        filed_at_iso: None,
        started_at_iso: None,
        evidence: Vec::new(),
    }
}

#[tokio::test]
async fn pushed_and_polled_orders_are_the_same_and_none_is_skipped() {
    let world = World::new().await;
    new_secret(&world);
    let ids = world.platform.order(40);
    let hook = world.hook();
    let pushed: Vec<SourceEvent> = world.arriving().into_iter().flat_map(|m| hook.accept(m, world.now()).unwrap()).collect();
    assert_eq!(pushed.len(), ids.len());
    let keys = natural_keys(&pushed);
    assert_eq!(keys.len(), ids.len());
    for paging in PAGINGS {
        let polled = world.cursor(paging).pull(None, world.now()).await.unwrap();
        assert!(polled.complete);
        assert_eq!(polled.events.len(), ids.len(), "{paging}");
        assert_eq!(natural_keys(&polled.events), keys, "{paging}");
    }
    let listed = world.snapshot().pull(None, world.now()).await.unwrap();
    assert!(listed.complete);
    assert_eq!(natural_keys(&listed.events), keys);
    assert_eq!(listed.present.iter().collect::<BTreeSet<_>>(), ids.iter().collect());
}

#[tokio::test]
async fn a_cursor_moves_with_what_was_returned_and_repeats_are_recognised() {
    let world = World::new().await;
    let source = world.cursor(PAGINGS[0]);
    let nothing = source.pull(None, world.now()).await.unwrap();
    assert!(nothing.events.is_empty() && nothing.complete);
    world.platform.order(10);
    // Nothing was returned so far, so the first round after it still starts at the beginning.
    let first = source.pull(Some(&nothing.next_cursor), world.now()).await.unwrap();
    assert_eq!(first.events.len(), 10);
    assert_eq!(first.next_cursor, NOW.0.to_string());

    world.clock.advance_ms(30_000);
    let later = world.platform.order(3);
    let second = source.pull(Some(&first.next_cursor), world.now()).await.unwrap();
    assert_eq!(second.events.len(), 13, "the overlap reaches back a minute");
    assert!(event_ids(&second.events).is_superset(&event_ids(&first.events)), "a row seen again has the same event id");

    world.clock.advance_ms(3_600_000);
    assert!(world.platform.state().withdraw(&later[0], world.now()));
    let third = source.pull(Some(&second.next_cursor), world.now()).await.unwrap();
    let withdrawn = third.events.iter().find_map(|e| match &e.content {
        EventContent::Withdrawn { external_id, .. } => Some(external_id.clone()),
        _ => None,
    });
    assert_eq!(withdrawn.as_ref(), Some(&later[0]));
    let quiet = source.pull(Some(&third.next_cursor), world.now()).await.unwrap();
    assert_eq!(quiet.next_cursor, third.next_cursor, "asking does not move it");
}

#[tokio::test]
async fn a_half_written_page_loses_nothing() {
    let world = World::new().await;
    world.platform.order(20);
    let source = world.cursor(PAGINGS[1]);
    world.platform.faults().cut_page.store(1, Ordering::SeqCst);
    assert!(matches!(source.pull(None, world.now()).await.err(), Some(CallError::Retry { code: "E-NOT-JSON", .. })));

    world.platform.faults().cut_page.store(2, Ordering::SeqCst);
    let broken = source.pull(None, world.now()).await.unwrap();
    assert_eq!((broken.events.len(), broken.complete), (7, false));
    world.platform.faults().cut_page.store(0, Ordering::SeqCst);
    let mended = source.pull(Some(&broken.next_cursor), world.now()).await.unwrap();
    let all: BTreeSet<String> = event_ids(&broken.events).union(&event_ids(&mended.events)).cloned().collect();
    assert_eq!(all.len(), 20);
}

#[tokio::test]
async fn absence_counts_only_in_a_complete_snapshot() {
    let world = World::new().await;
    let ids = world.platform.order(20);
    let source = world.snapshot();
    assert!(world.platform.state().withdraw(&ids[4], world.now()));
    world.platform.faults().cut_page.store(3, Ordering::SeqCst);
    let broken = source.pull(None, world.now()).await.unwrap();
    assert!(!broken.complete, "a failed page makes the round incomplete");
    world.platform.faults().cut_page.store(0, Ordering::SeqCst);
    let whole = source.pull(Some(&broken.next_cursor), world.now()).await.unwrap();
    assert!(whole.complete);
    assert_eq!(whole.present.len(), 19);
    assert!(!whole.present.contains(&ids[4]));
}

#[tokio::test]
async fn repeats_forgeries_and_old_messages_are_told_apart() {
    let world = World::new().await;
    new_secret(&world);
    world.platform.order(1);
    let hook = world.hook();
    let accept = || hook.accept(world.arriving().remove(0), world.now()).map(|mut events| events.remove(0));
    let first = accept().unwrap();
    world.clock.advance_ms(60_000);
    let again = accept().unwrap();
    assert_eq!((&first.event_id, &first.digest), (&again.event_id, &again.digest), "sent again, it is the same event");

    let mut forged = world.arriving().remove(0);
    let at = forged.body.len() / 2;
    forged.body[at] ^= 1;
    assert_eq!(hook.accept(forged, world.now()).err(), Some(HookRefusal::NotAuthentic(Refusal::Signature)));

    let old = world.arriving().remove(0);
    world.clock.advance_ms(301_000);
    let refusal = hook.accept(old, world.now()).err();
    assert_eq!(refusal, Some(HookRefusal::NotAuthentic(Refusal::Stale(301, 300))));
    assert!(matches!(world.cursor(PAGINGS[0]).accept(world.arriving().remove(0), world.now()), Err(HookRefusal::NoHook(_))));
}

#[tokio::test]
async fn secrets_rotate_without_a_gap() {
    let world = World::new().await;
    let new = new_secret(&world);
    world.platform.order(1);
    let hook = world.hook();
    for secrets in [&[lastmile::sandbox::platform::HOOK_SECRET][..], &[new, lastmile::sandbox::platform::HOOK_SECRET], &[new]] {
        world.platform.sign_with(secrets);
        assert_eq!(hook.accept(world.arriving().remove(0), world.now()).unwrap().len(), 1);
    }
    world.platform.sign_with(&["whsec_c29tZWJvZHktZWxzZXMtc2VjcmV0LTAwMDAwMDAwMDA="]);
    let refusal = hook.accept(world.arriving().remove(0), world.now()).err();
    assert_eq!(refusal, Some(HookRefusal::NotAuthentic(Refusal::Signature)));
}

#[tokio::test]
async fn what_does_not_map_is_kept_and_can_be_mapped_afresh() {
    let world = World::new().await;
    new_secret(&world);
    let id = world.platform.order(1).remove(0);
    let mut document = world.platform.state().get(&id).unwrap();
    document["operation"] = json!("transmogrify");
    world.platform.state().place(document.clone(), world.now());
    let hook = world.hook();
    let polled = world.cursor(PAGINGS[0]).pull(None, world.now()).await.unwrap();
    let pushed = hook.accept(world.arriving().remove(1), world.now()).unwrap().remove(0);
    for event in [&pushed, &polled.events[0]] {
        let EventContent::Unmappable { problem, body } = &event.content else { panic!("it maps") };
        assert!(problem.contains("`operation`") && problem.contains("/operation"), "{problem}");
        assert!(!problem.contains(document["beneficiary"]["name"].as_str().unwrap()));
        // As if the mapping had been mended: the kept body now says something it knows.
        let mended = hook.remap(&event.event_id, &body.replace("transmogrify", "add"));
        assert_eq!(mended.event_id, event.event_id);
        assert!(matches!(&mended.content, EventContent::Order(order) if order.external_id == id));
    }
    assert!(polled.complete, "an order that does not map is present all the same");
}

#[tokio::test]
async fn a_report_is_taken_once_however_often_it_is_told() {
    let world = World::new().await;
    new_secret(&world);
    let ids = world.platform.order(1);
    for (n, source) in [world.hook(), world.snapshot()].into_iter().enumerate() {
        let report = completion(&format!("report-{n}"), &ids[0]);
        let before = world.platform.state().counts();
        world.platform.faults().refuse_reports.store(1, Ordering::SeqCst);
        world.platform.faults().forget_answers.store(1, Ordering::SeqCst);
        // Refused without effect, then taken with a lost answer: both are safe to repeat.
        for _ in 0..2 {
            assert!(matches!(source.report(&report).await, Err(CallError::Retry { .. })));
        }
        source.report(&report).await.unwrap();
        source.report(&report).await.unwrap();
        let after = world.platform.state().counts();
        assert_eq!((after.completions - before.completions, after.repeats - before.repeats), (1, 2));
        assert_eq!(after.refused, before.refused, "every report was signed well");
    }
    let told = world.platform.state().completions_of(&ids[0]);
    assert!(told.iter().all(|c| c["outcome"] == "fulfilled" && c["ticket"] == "IAM-1"));
}

#[tokio::test]
async fn a_refused_report_is_given_to_a_person() {
    let world = World::new().await;
    let source = world.snapshot();
    let unknown = source.report(&completion("report-1", "REQ-none")).await;
    assert!(matches!(unknown, Err(CallError::Reject { .. })), "{unknown:?}");
    let ids = world.platform.order(1);
    world.platform.faults().gone.store(true, Ordering::SeqCst);
    let gone = source.report(&completion("report-2", &ids[0])).await;
    assert!(matches!(gone, Err(CallError::Reject { .. })), "{gone:?}");
    assert_eq!(world.platform.state().counts().completions, 0);
}

#[tokio::test]
async fn probe_and_check_find_wrong_credentials() {
    let world = World::new().await;
    let good = world.snapshot();
    good.probe().await.unwrap();
    assert_eq!(good.next_poll(NOW), Some(NOW.plus_secs(3600)));
    std::fs::write(world.folder.path().join("secrets/platform-list"), "wrong").unwrap();
    let wrong = world.snapshot();
    assert!(matches!(wrong.probe().await, Err(CallError::Retry { code: "E-AUTH", .. })));
    assert!(wrong.check().await.iter().any(|f| f.grade == lastmile::model::finding::Grade::Bad && f.what == "list"));
}

#[tokio::test]
async fn the_platform_sends_again_until_it_is_taken() {
    let world = World::new().await;
    world.platform.order(3);
    // Refuses the second call, takes every other.
    let calls = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let counted = calls.clone();
    let router = axum::Router::new().fallback(move || async move {
        let second = counted.fetch_add(1, Ordering::SeqCst) == 1;
        if second { axum::http::StatusCode::SERVICE_UNAVAILABLE } else { axum::http::StatusCode::ACCEPTED }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hook = format!("http://{}/hooks/iga", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    assert_eq!(world.platform.deliver(&hook).await, 2);
    assert_eq!(world.platform.state().counts().undelivered, 1);
    assert_eq!(world.platform.deliver(&hook).await, 1);
    assert_eq!(world.platform.deliver(&hook).await, 0);
    assert_eq!(calls.load(Ordering::SeqCst), 4);
}

#[test]
fn a_wrong_file_is_refused_with_line_and_suggestion() {
    let clock: Arc<dyn Clock> = Arc::new(FakeClock::at(NOW));
    let problems = |kind: &str, text: &str| {
        let file = ConfigFile::from_text(Path::new("sources/iga.toml"), text);
        source::build("iga", &EdgeFile { kind: kind.to_owned(), file }, Path::new("/nowhere"), clock.clone()).err().unwrap()
    };
    let kind = problems("webhok", "kind = \"webhok\"");
    assert_eq!(kind[0].help.as_deref(), Some("did you mean `webhook`?"));
    let text = format!("kind = \"webhook\"\n{HOOK}{}", MAPPING.replace("Europe/Berlin", "Europe/Berln"));
    let several = problems("webhook", &text);
    assert_eq!(several.len(), 2, "zone and secret are found at once: {several:?}");
    assert!(several.iter().all(|p| p.line > 0));
    assert!(several.iter().any(|p| p.message.contains("secrets/new-hook")));
    let unknown =
        problems("poll", &format!("kind = \"poll\"\n{}", CURSOR.replace("PAGING", PAGINGS[0]).replace("schedule", "shedule")));
    assert_eq!(unknown[0].help.as_deref(), Some("did you mean `schedule`?"), "{unknown:?}");
}
