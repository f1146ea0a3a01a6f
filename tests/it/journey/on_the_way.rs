//! Orders on their way: how far they are is told, leavers go first, what lies with a ticket travels with its outcome.

use lastmile::ledger::views::Filter;
use lastmile::sandbox::desk_state::Stage;
use serde_json::json;

use super::*;

const PROGRESS: &str = "[progress]\nurl = \"PLATFORM/progress\"\nsigning = { file = \"secrets/platform-report\" }\n\n[report]";

/// The demo's configuration with [progress], and with a word for people who left.
pub(super) async fn telling() -> Bed {
    Bed::with(with_progress).await
}

fn with_progress(text: String) -> String {
    let Some(at) = text.find("[report]\nurl = \"").map(|at| at + "[report]\nurl = \"".len()) else { return text };
    let platform = text[at..].split("/completions").next().unwrap_or_default().to_owned();
    text.replacen("[report]", &PROGRESS.replace("PLATFORM", &platform), 1).replacen(
        "[mapping]\n",
        "[mapping]\nleft = { pointer = \"/status\", values = [\"left\"] }\n",
        1,
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_hears_of_every_step_from_the_moment_its_file_asks_for_them() {
    let bed = Bed::new().await;
    let mut catalog = (*bed.bridge.setup.load_full().catalog).clone();
    let edge = catalog.sources.get_mut(config::SOURCE).unwrap();
    let text = with_progress(edge.file.text().to_owned());
    edge.file = lastmile::catalog::ConfigFile::from_text(edge.file.path(), &text);
    bed.bridge.swap(bridge::setup(catalog.clone(), &bed.bridge.clock).unwrap()).await.unwrap();
    let (id, _) = bed.order(1).await;
    bed.rounds(3).await;
    assert_eq!(bed.platform.state().steps_of(&id), ["filed"]);
}

fn works_on_all(bed: &Bed, stage: &Stage) {
    for desk in [&bed.jira, &bed.servicenow] {
        for ticket in desk.state().all() {
            desk.state().change(&ticket.number, |t, now| {
                t.assignee = Some("alice".to_owned());
                t.move_to(stage.clone(), "alice", now);
            });
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_platform_hears_how_far_an_order_is_and_its_outcome_comes_last_with_everything() {
    let bed = telling().await;
    let (id, _) = bed.order(1).await;
    let steps = || bed.platform.state().steps_of(&id);
    bed.rounds(4).await;
    assert_eq!(steps(), ["filed"]);
    works_on_all(&bed, &Stage::Working);
    bed.rounds(4).await;
    assert_eq!(steps(), ["filed", "in_work"]);
    works_on_all(&bed, &Stage::Waiting);
    bed.rounds(4).await;
    assert_eq!(steps(), ["filed", "in_work", "waiting"]);
    for ticket in bed.jira.state().all() {
        let file = json!([{"filename": "proof.png", "content": "https://desk.example/files/1"}]);
        bed.jira.state().change(&ticket.number, |t, _| drop(t.fields.insert("attachment".to_owned(), file)));
    }
    bed.close_all(Outcome::Fulfilled, "Done.");
    bed.rounds(4).await;
    assert_eq!(steps(), ["filed", "in_work", "waiting"], "nothing follows the outcome");
    let told = bed.platform.state().completions_of(&id);
    assert_eq!((told.len(), told[0]["outcome"].as_str()), (1, Some("fulfilled")));
    assert!(told[0]["closed_by"]["id"].is_string() && told[0]["filed_at_iso"].is_string(), "{}", told[0]);
    assert!(told[0]["started_at_iso"].is_string(), "{}", told[0]);
    if bed.jira.state().all().len() == 1 {
        assert_eq!(told[0]["evidence"][0]["name"], "proof.png");
    }
    let row = bed.bridge.ledger.assignments(&Filter::default(), true, 10).await.unwrap().remove(0);
    let detail = bed.bridge.ledger.assignment(row.id, &None, true).await.unwrap().unwrap();
    let life: Vec<&str> = detail.journal.iter().map(|row| row.event.as_str()).collect();
    let paused = life.iter().position(|e| *e == "paused").unwrap();
    assert!(life[paused..].contains(&"resumed"), "{life:?}");
    bed.chains_hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_to_be_given_to_somebody_who_left_is_taken_back_and_the_platform_hears_it() {
    let bed = telling().await;
    let mut document = orders::dateless(company::order(1, 1, bed.clock.now()));
    document["operation"] = json!("add");
    let id = bed.platform.state().place(document.clone(), bed.clock.now());
    bed.deliver().await;
    bed.rounds(2).await;
    let tickets = || bed.jira.state().all().into_iter().chain(bed.servicenow.state().all()).collect::<Vec<_>>();
    assert_eq!(tickets().len(), 1);
    // The same person, gone.
    document["id"] = json!("LEFT-1");
    document["status"] = json!("left");
    bed.platform.state().place(document, bed.clock.now());
    assert_eq!(bed.deliver().await, Recorded::Withdrawn { assignments: 1 });
    bed.rounds(6).await;
    assert!(tickets().iter().all(|t| t.closed_at.is_some()), "an untouched ticket is closed");
    let told = bed.platform.state().completions_of(&id);
    assert_eq!((told.len(), told[0]["outcome"].as_str()), (1, Some("cancelled")));
    bed.chains_hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_application_shows_proves_the_order_by_hook_and_by_list() {
    let bed = Bed::new().await;
    for (n, by_list) in [false, true].into_iter().enumerate() {
        let mut document = orders::dateless(company::order(1, 40 + n as u64, bed.clock.now()));
        document["application"] = json!({"id": company::READ_BACK[n], "name": "Read back"});
        document["operation"] = json!("add");
        let id = bed.platform.state().place(document, bed.clock.now());
        bed.deliver().await;
        bed.all_delivered();
        bed.rounds(2).await;
        assert_eq!(bed.platform.state().read_back(bed.clock.now()), 0, "nothing is there yet");
        bed.close_all(Outcome::Fulfilled, "Done.");
        bed.rounds(4).await;
        let state = async || {
            let rows = bed.bridge.ledger.assignments(&Filter::default(), true, 10).await.unwrap();
            rows.into_iter().find(|row| row.external_id == id).unwrap().state
        };
        assert_eq!(state().await, "reported");
        bed.clock.advance_ms(60_000);
        assert_eq!(bed.platform.state().read_back(bed.clock.now()), 1);
        if by_list {
            let setup = bed.bridge.setup.load_full();
            intake::poll(&*bed.bridge.ledger, &*setup.sources[config::SOURCE], &bed.worker.pauses, &*bed.clock).await.unwrap();
        } else {
            assert_eq!(bed.deliver().await, Recorded::Seen { assignments: 1 });
        }
        bed.all_delivered();
        assert_eq!(state().await, "proven");
        assert_eq!(bed.platform.state().read_back(bed.clock.now()), 0, "once");
    }
    bed.chains_hold().await;
}
