//! Every fault of a desk × where the process dies × how far the search lags, on both kinds of desks at once. The oracle is
//! the desks' complete list of what the bridge's account made, never a search.

use futures_util::StreamExt;

use super::*;

/// Where the process dies: after so many waits of a round; none: it lives.
const CRASHES: [Option<usize>; 4] = [None, Some(3), Some(7), Some(12)];
/// How far Jira's search lags; its declaration says up to five minutes.
const LAGS_MS: [i64; 2] = [0, 290_000];
const HARMS: [Harm; 5] = [Harm::Busy(Some(90)), Harm::FailBefore, Harm::FailAfter, Harm::Lost, Harm::Html];
/// Orders of one trial.
const ORDERS: u64 = 3;
/// Most minutes a phase may take.
const MINUTES: usize = 40;

/// The company's first orders for Jira, and its first one for ServiceNow: both desks take part.
fn of_both() -> [u64; 3] {
    let on_servicenow = |n: u64| {
        let order = company::order(1, n, Timestamp(1_795_000_000_000));
        company::APPS.iter().any(|app| app.on_servicenow && order["application"]["id"] == app.id)
    };
    let mut on_jira = (1..).filter(|n| !on_servicenow(*n));
    [on_jira.next().unwrap(), on_jira.next().unwrap(), (1..).find(|n| on_servicenow(*n)).unwrap()]
}

impl Bed {
    fn harm(&self, on: Target, harm: Harm) {
        for desk in [&self.jira, &self.servicenow] {
            desk.faults().add(on, harm, When::Next(1));
        }
    }

    /// Minutes until it is so, at most as many as a phase may take; then some more, in which nothing may happen.
    async fn until(&self, so: impl Fn(&Self) -> bool) {
        let mut more = 3;
        for _ in 0..MINUTES {
            self.round().await;
            self.clock.advance_ms(60_000);
            more -= usize::from(so(self));
            if more == 0 {
                return;
            }
        }
    }

    /// Tickets by our account, per key: none may be above one.
    fn most_of_a_key(&self) -> u64 {
        [&self.jira, &self.servicenow].into_iter().flat_map(|d| d.state().keys_created_by(USER).into_values()).max().unwrap_or(0)
    }

    /// Every ticket: its number, its key, who made it and when, and how often it was told something.
    fn stands(&self) -> String {
        let line = |t: &lastmile::sandbox::Ticket| {
            format!(
                "{} {:?} {:?} by {} at {}, {} comments",
                t.number,
                t.labels,
                t.fields,
                t.created_by,
                t.created_at.iso(),
                t.comments.len()
            )
        };
        [&self.jira, &self.servicenow].iter().flat_map(|d| d.state().all()).map(|t| format!("\n{}", line(&t))).collect()
    }

    fn comments(&self) -> Vec<usize> {
        let all = [&self.jira, &self.servicenow].map(|d| d.state().all());
        all.into_iter().flatten().map(|t| t.comments.iter().filter(|c| c.by == USER).count()).collect()
    }
}

async fn trial(harm: Harm, crash: Option<usize>, lag_ms: i64) {
    let what = format!("{harm:?}, crash {crash:?}, lag {lag_ms} ms");
    let mut bed = Bed::with(|text| text.replace("index_lag = \"5s\"", "index_lag = \"5m\"")).await;
    bed.jira.faults().set_search_lag_ms(lag_ms);
    let mut ids = Vec::new();
    for n in of_both() {
        ids.push(bed.order(n).await.0);
    }
    bed.harm(Target::Create, harm);
    if let Some(waits) = crash {
        bed.crash(waits).await;
    }
    bed.until(|b| b.created() == ORDERS).await;
    assert_eq!((bed.created(), bed.most_of_a_key()), (ORDERS, 1), "tickets: {what}: {}", bed.stands());
    let on_jira = bed.jira.state().created_by(USER);
    assert!(0 < on_jira && on_jira < ORDERS, "both desks take part");

    // Every order is changed: its ticket is told once.
    bed.harm(Target::Amend, harm);
    for n in of_both() {
        let mut document = orders::dateless(company::order(1, n, bed.clock.now()));
        document["validUntil"] = bed.clock.now().plus_secs(90 * 86_400).iso().into();
        bed.platform.state().place(document, bed.clock.now());
        assert!(matches!(bed.deliver().await, Recorded::Changed { .. }), "{what}");
    }
    if let Some(waits) = crash {
        bed.crash(waits).await;
    }
    bed.until(|b| b.comments().iter().all(|n| *n > 0)).await;
    assert_eq!((bed.most_of_a_key(), bed.comments()), (1, vec![1; ids.len()]), "comments: {what}: {}", bed.stands());

    // Every ticket is closed, one reading fails, and the platform forgets an answer.
    bed.harm(Target::Read, harm);
    bed.platform.faults().forget_answers.store(1, std::sync::atomic::Ordering::SeqCst);
    bed.close_all(Outcome::Fulfilled, "Done.");
    if let Some(waits) = crash {
        bed.crash(waits).await;
    }
    let heard = |b: &Bed| ids.iter().all(|id| !b.platform.state().completions_of(id).is_empty());
    bed.until(heard).await;
    for id in &ids {
        let heard = bed.platform.state().completions_of(id);
        assert_eq!(heard.iter().map(|c| c["outcome"].as_str().unwrap()).collect::<Vec<_>>(), ["fulfilled"], "{id}: {what}");
    }
    assert_eq!((bed.created(), bed.most_of_a_key()), (ORDERS, 1), "tickets in the end: {what}: {}", bed.stands());
    bed.chains_hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_crash_and_lag_gives_one_ticket_one_comment_one_completion() {
    let mut trials = Vec::new();
    for harm in HARMS {
        for crash in CRASHES {
            trials.extend(LAGS_MS.map(|lag| trial(harm, crash, lag)));
        }
    }
    let total = trials.len();
    let done = futures_util::stream::iter(trials).buffer_unordered(4).count().await;
    assert_eq!(done, total);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_desk_that_is_down_does_not_turn_its_whole_queue_unclear() {
    let bed = Bed::new().await;
    for n in 1..=40 {
        bed.order(n).await;
    }
    for desk in [&bed.jira, &bed.servicenow] {
        desk.faults().add(Target::Create, Harm::FailAfter, When::Always);
    }
    bed.round().await;
    let sent = bed.created();
    assert!(sent > 0 && sent < 30, "{sent} of the queue were sent to a desk that fails");
    for desk in [&bed.jira, &bed.servicenow] {
        desk.faults().set(Vec::new());
    }
    for _ in 0..30 {
        bed.round().await;
        bed.clock.advance_ms(30_000);
    }
    assert_eq!(bed.most_of_a_key(), 1);
    bed.chains_hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_ledger_finds_the_tickets_it_has_forgotten() {
    let mut bed = Bed::new().await;
    bed.bridge.close().await;
    bed.place.back_up().await;
    bed.bridge = open(bed.folder.path(), &bed.place, bed.clock.clone()).await;
    for n in 1..=ORDERS {
        bed.order(n).await;
    }
    bed.until(|b| b.created() == ORDERS).await;
    bed.bridge.close().await;
    bed.place.restore().await;
    bed.bridge = open(bed.folder.path(), &bed.place, bed.clock.clone()).await;
    bed.bridge.distrust().await.unwrap();
    // The platform repeats what it was never told to be finished, and orders something new.
    let setup = bed.bridge.setup.load_full();
    intake::poll(&*bed.bridge.ledger, &*setup.sources[config::SOURCE], &bed.worker.pauses, &*bed.clock).await.unwrap();
    let (fresh, _) = bed.order(9).await;
    bed.until(|b| b.created() > ORDERS).await;
    assert_eq!((bed.created(), bed.most_of_a_key()), (ORDERS + 1, 1), "the old ones were found, the new one was made");
    bed.close_all(Outcome::Fulfilled, "Done.");
    bed.until(|b| !b.platform.state().completions_of(&fresh).is_empty()).await;
    assert_eq!(bed.platform.state().counts().completed, usize::try_from(ORDERS).unwrap() + 1);
    bed.chains_hold().await;
}

/// Ports are given anew, also while somebody still calls what used to be there.
#[tokio::test(flavor = "multi_thread")]
async fn a_desk_that_has_got_another_ones_port_takes_nothing_from_its_bridge() {
    let mut bed = Bed::new().await;
    let [n, ..] = of_both();
    bed.order(n).await;
    let listen: SocketAddr = bed.jira.url().trim_start_matches("http://").parse().unwrap();
    let time: Arc<dyn Clock> = bed.clock.clone();
    let at =
        async |listen| SandboxDesk::start(DeskKind::JiraCloud, time.clone(), Arc::new(Faults::seeded(1)), None, listen).await;
    let old = std::mem::replace(&mut bed.jira, at(SocketAddr::from(LOOPBACK)).await.unwrap());
    old.shutdown().await;
    let new = at(listen).await.unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    keep_strangers_out(elsewhere.path(), &[&new]);
    bed.rounds(40).await;
    assert_eq!(new.state().created_by(USER), 0);
    // What was there before has no ticket either: it was refused, and waits.
    bed.chains_hold().await;
}
