//! A platform that waits for each answer, and only so long: between the fake Entra and a source.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use lastmile::catalog::{ConfigFile, EdgeFile};
use lastmile::flow::intake::{self, PollError};
use lastmile::flow::{Pauses, deadline};
use lastmile::http::{CallError, Inbound};
use lastmile::ledger::{Ledger, Recorded, TimeUp};
use lastmile::model::finding::Grade;
use lastmile::model::{Operation, Outcome, Timestamp};
use lastmile::sandbox::entra::{self, Forwarded, SandboxEntra};
use lastmile::source::{self, EventContent, HookRefusal};
use serde_json::{Value, json};

use super::source_bench::{Bench, Kind, NOW};

pub(crate) fn file(url: &str, at_deadline: &str) -> String {
    format!(
        "kind = \"entra\"\ntenant = \"{}\"\nclient_id = \"{}\"\nclient_secret = {{ file = \"secrets/entra\" }}\n\
         wait = \"P14D\"\nat_deadline = \"{at_deadline}\"\ngraph = \"{url}\"\nlogin = \"{url}\"\n\
         [webhook]\nverify = {{ scheme = \"bearer\", secrets = [{{ file = \"secrets/hook\" }}] }}\n",
        entra::TENANT,
        entra::CLIENT_ID
    )
}

fn arrived(headers: std::collections::BTreeMap<String, String>, body: Vec<u8>, received_at: Timestamp) -> Inbound {
    Inbound {
        method: "POST".to_owned(),
        path: "/hooks/iga".to_owned(),
        query: std::collections::BTreeMap::new(),
        headers,
        body,
        peer: None,
        client_certificate: None,
        received_at,
    }
}

/// Every callout that waits is forwarded, and the platform is asked what it no longer wants.
pub(super) async fn round(bench: &Bench, fake: &SandboxEntra) -> Result<(), CallError> {
    if fake.faults().away.load(Ordering::SeqCst) {
        // Its Logic App has nothing to forward, but what is under way is asked about.
        return looked(bench).await.and(Err(CallError::retry("E-CONNECT", "nobody sends")));
    }
    for Forwarded { callout, headers, body } in fake.forwarded().unwrap() {
        let inbound = arrived(headers, body, bench.now());
        let results = intake::take(&bench.ledger, &*bench.source, inbound, bench.now()).await.unwrap();
        assert!(!results.contains(&Recorded::Conflict), "{results:?}");
        fake.state().taken(&callout);
    }
    looked(bench).await
}

async fn looked(bench: &Bench) -> Result<(), CallError> {
    match deadline::look(&bench.ledger, &*bench.source, &Pauses::default(), &*bench.clock).await {
        Ok(_) => Ok(()),
        Err(PollError::Call(error)) => Err(error),
        Err(error) => panic!("{error}"),
    }
}

async fn forwarded(fake: &SandboxEntra) -> Value {
    serde_json::from_slice(&fake.forwarded().unwrap().remove(0).body).unwrap()
}

#[tokio::test]
async fn the_shipped_logic_app_forwards_what_the_mapping_reads() {
    let bench = Bench::new(Kind::Entra).await;
    let fake = bench.entra().unwrap();
    let definition: Value = serde_json::from_str(entra::DEFINITION).unwrap();
    assert_eq!(definition["parameters"]["lastmileUrl"]["value"], "https://LASTMILE/hooks/NAME");
    assert_eq!(definition["parameters"]["lastmileToken"]["value"], "TOKEN");
    let actions = definition["definition"]["actions"].as_object().unwrap();
    // The order is forwarded whether or not the package could be read.
    let after = &actions["Forward_to_lastmile"]["runAfter"]["Read_what_the_package_holds"];
    assert_eq!(after, &json!(["Succeeded", "Failed", "Skipped", "TimedOut"]));
    assert_eq!(definition["definition"]["parameters"]["lastmileToken"]["type"], "SecureString");

    let order = fake.state().ask(7, "Sales reports", "assignmentRequestApproved");
    fake.state().limit(&order, NOW.plus_secs(90 * 86_400));
    let events = bench.source.sample(&forwarded(fake).await);
    let [EventContent::Order(read)] = &events[..] else { panic!("{}", events.len()) };
    assert_eq!((read.external_id.as_str(), read.operation), (order.as_str(), Operation::Grant));
    assert_eq!((read.application.id.as_str(), read.subject()), ("Sales", "Sales reports"));
    assert_eq!(read.beneficiary.id, "p-7");
    assert_eq!(read.valid_until, Some(NOW.plus_secs(90 * 86_400)));
    assert_eq!(read.attributes["resources"], json!("Member on Sales reports team"));
    assert_eq!(read.attributes["answers"], json!("Why?: for work"));
    // Two hours before the end of its fourteen days.
    assert_eq!(read.answer_by, read.approved_at.map(|at| at.plus_secs(14 * 86_400 - 7_200)));
}

#[tokio::test]
async fn nothing_of_a_callout_is_believed_that_is_not_of_its_form() {
    let bench = Bench::new(Kind::Entra).await;
    let fake = bench.entra().unwrap();
    let order = fake.state().ask(1, "Package", "assignmentRequestApproved");
    let request = order.split('/').next().unwrap().to_owned();
    let good = forwarded(fake).await;
    let problem = |change: &dyn Fn(&mut Value)| {
        let mut body = good.clone();
        change(&mut body["callout"]);
        match bench.source.sample(&body).pop() {
            Some(EventContent::Unmappable { problem, .. }) => problem,
            Some(EventContent::Order(_)) => "an order".to_owned(),
            _ => "nothing".to_owned(),
        }
    };
    let path = format!("/identityGovernance/entitlementManagement/assignmentRequests/{request}/resume");
    for callback in [path.clone(), format!("/v1.0{path}"), format!("{}/beta{path}", fake.url())] {
        assert_eq!(problem(&|c| c["CallbackUriPath"] = json!(callback)), "an order", "{callback}");
    }
    let elsewhere = [
        format!("https://evil.example{path}"),
        format!("//evil.example{path}"),
        format!("{}{path}?x=1", fake.url()),
        path.replace(&request, "other"),
        format!("{path}/../../x"),
        "file:///etc/passwd".to_owned(),
    ];
    for callback in elsewhere {
        let said = problem(&|c| c["CallbackUriPath"] = json!(callback));
        assert!(said.contains("callbackUriPath") && !said.contains("evil"), "{callback}: {said}");
    }
    assert!(problem(&|c| c["CallbackUriPath"] = Value::Null).contains("Launch and wait"));
    assert!(problem(&|c| c["Stage"] = json!("AssignmentRequestCreated")).contains("not in `stages`"));
    assert!(problem(&|c| c["Stage"] = json!("Anything")).contains("not known"));
    assert!(problem(&|c| c["RequestType"] = json!("Person Number 1")).contains("requestType"));
    for id in ["../x", "", "a b", &"x".repeat(65)] {
        assert!(problem(&|c| c["AccessPackageAssignmentRequestId"] = json!(id)).contains("no id stands"), "{id}");
        assert!(problem(&|c| c["CustomExtensionStageInstanceId"] = json!(id)).contains("no id stands"), "{id}");
    }
    // Fourteen days before an expiry nobody waits for an answer.
    assert_eq!(problem(&|c| c["Stage"] = json!("AssignmentFourteenDaysBeforeExpiration")), "nothing");
    assert_eq!(problem(&|c| c["RequestType"] = json!("SystemUpdate")), "an order");

    let Forwarded { mut headers, body, .. } = fake.forwarded().unwrap().remove(0);
    headers.insert("authorization".to_owned(), "Bearer wrong".to_owned());
    let refused = bench.source.accept(arrived(headers, body, NOW), NOW).err();
    assert!(matches!(refused, Some(HookRefusal::NotAuthentic(_))), "{refused:?}");
}

#[tokio::test]
async fn the_wait_is_counted_from_the_callout_and_ends_early_enough() {
    let bench = Bench::new(Kind::Entra).await;
    let fake = bench.entra().unwrap();
    fake.state().ask(1, "Package", "assignmentRequestApproved");
    let mut body = forwarded(fake).await;
    let sent = Timestamp(NOW.0 + 60_000);
    bench.clock.advance_ms(6 * 3_600_000);
    let by = |body: &Value| match bench.source.sample(body).pop() {
        Some(EventContent::Order(order)) => order.answer_by.unwrap().ms_since(sent),
        _ => panic!("no order"),
    };
    let (hour, day) = (3_600_000, 86_400_000);
    assert_eq!(by(&body), 14 * day - 2 * hour, "six hours on its way do not lengthen the wait");
    for (wait, within) in
        [("PT4H", 3 * hour), ("5.00:00:00", 5 * day - 2 * hour), ("PT5M", 225_000), ("anything", 14 * day - 2 * hour)]
    {
        body["callout"]["CallbackConfiguration"]["DurationBeforeTimeout"] = json!(wait);
        assert_eq!(by(&body), within, "{wait}");
    }
    // A clock that is ahead does not either.
    body["sentAt"] = json!(sent.plus_secs(86_400).iso());
    assert_eq!(by(&body), bench.now().ms_since(sent) + 14 * day - 2 * hour);
}

#[tokio::test]
async fn a_callout_that_is_sent_again_is_the_same_and_another_one_is_another() {
    let bench = Bench::new(Kind::Entra).await;
    let fake = bench.entra().unwrap();
    let first = fake.state().ask(1, "Package", "assignmentRequestApproved");
    bench.round().await.unwrap();
    fake.state().send_again();
    bench.clock.advance_ms(3_600_000);
    bench.round().await.unwrap();
    let rows = bench.rows().await;
    assert_eq!((rows.len(), rows[0].revision), (1, 1));
    // The same request comes to its next stage: that is work of its own.
    let second = fake.state().call_again(first.split('/').next().unwrap(), "assignmentRequestGranted");
    bench.round().await.unwrap();
    let ids: Vec<String> = bench.rows().await.into_iter().map(|r| r.external_id).collect();
    assert_eq!(ids, [first, second]);
}

#[tokio::test]
async fn an_outcome_is_denied_only_where_the_platform_can_deny() {
    for (stage, denied) in [("Approved", true), ("Granted", false), ("Removed", false)] {
        let bench = Bench::new(Kind::Entra).await;
        let fake = bench.entra().unwrap();
        let order = fake.state().ask(1, "Package", &format!("assignmentRequest{stage}"));
        bench.round().await.unwrap();
        bench.tell(&bench.completion(&order, Outcome::NotPossible).await).await.unwrap();
        let answers = fake.state().answers(&order);
        assert_eq!(answers.len(), 1, "{stage}");
        let detail = "Not possible, ticket IAM-1: It is \"done\". Really. https://desk.example/IAM-1 [lmr-";
        assert!(answers[0].0 == denied && answers[0].1.starts_with(detail), "{stage}: {answers:?}");
    }
}

#[tokio::test]
async fn what_graph_answers_is_told_apart() {
    let bench = Bench::new(Kind::Entra).await;
    let fake = bench.entra().unwrap();
    let orders = bench.place(6);
    bench.round().await.unwrap();
    let told = async |n: usize| bench.source.report(&bench.completion(&orders[n], Outcome::Fulfilled).await).await;

    fake.faults().throttle.store(1, Ordering::SeqCst);
    let slower = told(0).await;
    assert!(
        matches!(slower, Err(CallError::Retry { code: "E-BUSY", after: Some(after), .. }) if after == Duration::from_secs(120))
    );
    fake.faults().conflict.store(1, Ordering::SeqCst);
    assert!(matches!(told(0).await, Err(CallError::Retry { code: "E-PENDING", .. })), "it waits all the same");
    fake.faults().no_right.store(true, Ordering::SeqCst);
    assert!(matches!(told(0).await, Err(CallError::Retry { code: "E-AUTH", .. })));
    fake.faults().no_right.store(false, Ordering::SeqCst);
    told(0).await.unwrap();

    // Its answer is lost, and its requests do not list their callouts: only the whole request can be asked.
    fake.faults().forget_answers.store(1, Ordering::SeqCst);
    assert!(matches!(told(1).await, Err(CallError::Unclear { .. })));
    let completion = bench.completion(&orders[1], Outcome::Fulfilled).await;
    assert_eq!(bench.source.confirm(&completion).await, Ok(true));
    fake.faults().no_callouts.store(true, Ordering::SeqCst);
    let blind = bench.source.confirm(&completion).await;
    assert!(matches!(blind, Err(CallError::Reject { code: "E-DECIDED", .. })), "a person looks: {blind:?}");
    fake.faults().no_callouts.store(false, Ordering::SeqCst);

    fake.state().resume_by_hand(&orders[2]);
    assert!(matches!(told(2).await, Err(CallError::Reject { code: "E-DECIDED", .. })));
    fake.state().cancel(&orders[3]);
    assert!(matches!(told(3).await, Err(CallError::Reject { code: "E-DECIDED", .. })));
    bench.clock.advance_ms(15 * 86_400_000);
    assert!(matches!(told(4).await, Err(CallError::Reject { code: "E-DEADLINE", .. })));
    assert!(fake.state().answers(&orders[4]).is_empty());
    // What was taken back needs no answer any more.
    let cancelled = bench.completion(&orders[5], Outcome::Cancelled).await;
    assert_eq!(bench.source.report(&cancelled).await, Ok(()));
}

#[tokio::test]
async fn a_check_says_what_is_missing() {
    let bench = Bench::new(Kind::Entra).await;
    let fake = bench.entra().unwrap();
    let graded = async |what: &str| {
        let findings = bench.source.check().await;
        findings.into_iter().find(|f| f.what == what).map(|f| (f.grade, f.words)).unwrap()
    };
    assert_eq!(graded("resume").await.0, Grade::Good);
    assert_eq!(graded("extensions").await.0, Grade::Good);
    fake.faults().no_right.store(true, Ordering::SeqCst);
    let (grade, words) = graded("resume").await;
    assert!(grade == Grade::Bad && words.contains("EntitlementManagement.ReadWrite.All"), "{words}");
    fake.state().set_wait("P2D", 2 * 86_400_000);
    assert_eq!(graded("extensions").await.0, Grade::Bad, "it waits shorter than we think");
    assert!(fake.state().ids().is_empty(), "nothing was made or resumed by asking");

    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("secrets")).unwrap();
    std::fs::write(folder.path().join("secrets/entra"), "wrong").unwrap();
    std::fs::write(folder.path().join("secrets/hook"), "hook").unwrap();
    let build = |text: &str| {
        let file = ConfigFile::from_text(Path::new("sources/iga.toml"), text);
        source::build("iga", &EdgeFile { kind: "entra".to_owned(), file }, folder.path(), bench.clock.clone())
    };
    let wrong = build(&file(fake.url(), "deny")).unwrap();
    let findings = wrong.check().await;
    assert!(findings[0].grade == Grade::Bad && findings[0].words.contains("client_secret"), "{findings:?}");
    let order = "r/assignmentRequestApproved/i";
    assert!(matches!(wrong.time_is_up(order, Operation::Grant), TimeUp::Deny { .. }));
    assert_eq!(wrong.time_is_up(order, Operation::Revoke), TimeUp::Alarm, "a removal is not given up");
    assert_eq!(wrong.time_is_up("r/assignmentRequestGranted/i", Operation::Grant), TimeUp::Alarm);

    let problems = |from: &str, to: &str| {
        let built = build(&file(fake.url(), "deny").replace(from, to));
        built.err().unwrap_or_default().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    for wait in ["14 days", "P15D", "PT1M", "P1M"] {
        assert!(problems("P14D", wait).contains("between \"PT5M\" and \"P14D\""), "{wait}");
    }
    assert!(problems("at_deadline = \"deny\"\n", "").contains("at_deadline"), "the operator chooses");
    assert!(problems("corp.example", "a/b").contains("tenant") || problems("corp.example", "a/b").contains("directory"));
    let at = problems("[webhook]", "[resume]\ndeny_at = [\"assignmentRequestGranted\"]\n[webhook]");
    assert!(at.contains("takes no denial"), "{at}");
}

#[tokio::test]
async fn what_does_not_map_is_mapped_afresh_with_the_time_it_was_sent() {
    let bench = Bench::new(Kind::Entra).await;
    let fake = bench.entra().unwrap();
    fake.state().ask(1, "Package", "assignmentRequestApproved");
    let mut body = forwarded(fake).await;
    body["callout"]["RequestType"] = json!("Conjure");
    let Forwarded { headers, .. } = fake.forwarded().unwrap().remove(0);
    let inbound = arrived(headers, body.to_string().into_bytes(), bench.now());
    let results = intake::take(&bench.ledger, &*bench.source, inbound, bench.now()).await.unwrap();
    let [Recorded::Quarantined { id }] = results[..] else { panic!("{results:?}") };
    let held = bench.ledger.quarantined(id).await.unwrap().unwrap();
    let lastmile::ledger::ReceiptContent::Unmappable { body, .. } = held.content else { panic!("it maps") };
    bench.clock.advance_ms(86_400_000);
    let mended = bench.source.remap(&held.event_id, &body.replace("Conjure", "UserAdd"));
    let EventContent::Order(order) = &mended.content else { panic!("it does not map") };
    assert_eq!(order.answer_by.map(|by| by.0), order.approved_at.map(|at| at.0 + (14 * 24 - 2) * 3_600_000));
}
