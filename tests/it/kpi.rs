//! Figures of a generated history whose truth is known: each measure against a plain count over the same orders.

use std::collections::BTreeMap;
use std::path::Path;

use lastmile::catalog::calendar::CalendarFile;
use lastmile::catalog::{Calendar, Catalog, ClockKind, ConfigFile};
use lastmile::kpi::measure::{Line, Spread};
use lastmile::kpi::report::{Asked, Report, Which, behind};
use lastmile::kpi::rollup::Rollup;
use lastmile::kpi::verify::{Verified, verify};
use lastmile::ledger::{
    Decision, End, LeaseRequest, Ledger, Observation, Past, PlanAction, Receipt, ReceiptContent, Recorded, Rollups, Settlement,
    SqlLedger, TicketPlan,
};
use lastmile::model::assignment::Named;
use lastmile::model::clock::FakeClock;
use lastmile::model::ticket::{Category, Created, Draft, TicketReading, TicketRef, TicketStatus};
use lastmile::model::{Assignment, Clock, Id, Key, Operation, Outcome, Person, Timestamp};
use lastmile::plan::business::Working;
use lastmile::sandbox::config;

use crate::engines::Place;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const NOW: Timestamp = Timestamp(1_795_000_000_000);

struct Bed {
    place: Place,
    ledger: SqlLedger,
    catalog: Catalog,
    clock: FakeClock,
    figures: Rollup,
}

/// An order of the past, and what the test knows of it.
struct Truth {
    past: Past,
    pause: Option<(Timestamp, Timestamp)>,
    moved: bool,
    reopened: bool,
}

impl Bed {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let nowhere = "http://127.0.0.1:1";
        for (path, text) in config::files(nowhere, nowhere, nowhere, "127.0.0.1:8480") {
            let place = folder.path().join(&path);
            std::fs::create_dir_all(place.parent().unwrap()).unwrap();
            std::fs::write(place, &text).unwrap();
        }
        let catalog = Catalog::load(folder.path()).unwrap();
        let place = Place::of(module_path!()).await;
        let ledger = place.open().await;
        Self { ledger, catalog, clock: FakeClock::at(NOW), figures: Rollup::new(), place }
    }

    async fn sql(&self, text: &str) {
        self.place.run(text).await;
    }

    async fn count(&mut self) -> usize {
        self.figures.catch_up(&self.ledger, &self.catalog, &self.clock).await.unwrap()
    }

    /// As a process that starts anew: it remembers nothing.
    async fn count_anew(&mut self) -> usize {
        self.figures = Rollup::new();
        self.count().await
    }

    async fn report(&self, asked: &Asked) -> Report {
        Report::of(&self.ledger, &self.catalog, &None, asked, self.clock.now()).await.unwrap()
    }

    async fn verified(&self) -> Verified {
        verify(&self.ledger, &self.catalog, self.clock.now()).await.unwrap()
    }

    async fn load(&self, truth: &[Truth]) {
        for part in truth.chunks(100) {
            let n = self.ledger.load_history(part.iter().map(|t| t.past.clone()).collect()).await.unwrap();
            assert_eq!(n, part.len());
        }
        // What a desk tells on the way, as sync writes it.
        let mut text = String::new();
        for t in truth {
            let id = format!("(SELECT id FROM assignment WHERE external_id = '{}')", t.past.assignment.external_id);
            let mut line = |at: Timestamp, event: &str, state: &str| {
                text.push_str(&format!(
                    "INSERT INTO journal (assignment_id, seq, happened_at, whose_clock, seen_at, event, state, actor, cause, hash)
                     VALUES ({id}, (SELECT chain_seq + 1 FROM assignment WHERE id = {id}), {}, 'desk', {}, '{event}', '{state}', 'desk', '', '');
                     UPDATE assignment SET chain_seq = chain_seq + 1 WHERE id = {id};",
                    at.0, at.0
                ));
            };
            if t.moved {
                line(t.past.filed_at, "moved", "reported");
            }
            if t.reopened {
                line(t.past.closed_at.plus_ms(-2 * MINUTE), "reopened", "rework");
                line(t.past.closed_at, "closed", "closed");
                line(t.past.reported_at, "reported", "reported");
            }
        }
        self.sql(&text).await;
        // Pauses stand before the closing that the history loaded: their lines take the place of "due" and "sending".
        for t in truth.iter().filter(|t| t.pause.is_some()) {
            let (from, until) = t.pause.unwrap();
            let of =
                format!("assignment_id = (SELECT id FROM assignment WHERE external_id = '{}')", t.past.assignment.external_id);
            self.sql(&format!(
                "UPDATE journal SET event = 'paused', state = 'open', happened_at = {} WHERE event = 'due' AND {of};
                 UPDATE journal SET event = 'resumed', state = 'open', happened_at = {} WHERE event = 'sending' AND {of};",
                from.0, until.0
            ))
            .await;
        }
    }

    /// An order whose ticket is owed since then.
    async fn open(&self, name: &str, app: &str, operation: Operation, since: Timestamp, valid_from: Option<Timestamp>) -> Id {
        let mut assignment = order(name, app, operation, "someone");
        (assignment.approved_at, assignment.valid_from) = (Some(since), valid_from);
        let receipt = Receipt {
            source: "idm".to_owned(),
            event_id: name.to_owned(),
            digest: name.to_owned(),
            received_at: since,
            content: ReceiptContent::Order(Box::new(assignment)),
        };
        let Recorded::New { id } = self.ledger.record(vec![receipt]).await.unwrap().remove(0) else { panic!("not new") };
        let order = self.ledger.to_plan(NOW, 10).await.unwrap().into_iter().find(|o| o.id == id).unwrap();
        let draft = Draft {
            key: Key::of("test", &[name], 1),
            admin_group: "g".to_owned(),
            summary: "s".to_owned(),
            body: "b".to_owned(),
            priority: 1,
            due_at: None,
            fields: BTreeMap::new(),
        };
        let plan = TicketPlan {
            desk: "jira".to_owned(),
            admin_group: format!("{app}-admins"),
            route: "by convention".to_owned(),
            draft,
            template: "default".to_owned(),
            template_version: "1".to_owned(),
            cycle: 1,
            rank: 1,
        };
        let decision = Decision {
            id,
            revision: order.revision,
            eligible_at: since,
            catalog_version: "c".to_owned(),
            persons: Vec::new(),
            action: PlanAction::File(Box::new(plan)),
        };
        assert_eq!(self.ledger.plan(vec![decision], since).await.unwrap(), 1);
        id
    }
}

fn order(name: &str, app: &str, operation: Operation, person: &str) -> Assignment {
    Assignment {
        answer_by: None,
        source: "idm".to_owned(),
        external_id: name.to_owned(),
        generation: 1,
        operation,
        application: Named { id: app.to_owned(), name: app.to_uppercase() },
        entitlement: Some(Named { id: format!("role-{name}"), name: "Role".to_owned() }),
        account: None,
        beneficiary: Person { id: person.to_owned(), name: None, email: None },
        requester: None,
        approvals: Vec::new(),
        requested_at: None,
        approved_at: None,
        valid_from: None,
        valid_until: None,
        priority: 1,
        reason: None,
        attributes: BTreeMap::new(),
    }
}

/// Four weeks: three applications, grants, and people who leave, whose accounts on two applications end.
fn history() -> Vec<Truth> {
    (0..600i64)
        .map(|n| {
            let app = ["crm", "lims", "erp"][usize::try_from(n % 3).unwrap()];
            let leaves = n % 10 >= 8;
            let operation = match n % 10 {
                8 => Operation::Revoke,
                9 => Operation::DisableAccount,
                _ => Operation::Grant,
            };
            let person = if leaves { format!("leaver-{}", n / 10) } else { format!("p-{n}") };
            let mut assignment = order(&format!("A-{n}"), app, operation, &person);
            let approved = NOW.plus_ms(-28 * DAY + (n - n % 10) * 60 * MINUTE);
            let dated = n % 7 == 3 && !leaves;
            let eligible = if dated { approved.plus_ms(DAY) } else { approved };
            assignment.requested_at = (n % 5 != 0).then(|| approved.plus_ms(-(n % 50 + 1) * HOUR));
            assignment.approved_at = Some(approved);
            assignment.valid_from = dated.then(|| eligible.plus_ms(6 * HOUR));
            let filed = eligible.plus_ms((n % 4) * 1000);
            let work = (n % 6 != 0).then(|| filed.plus_ms((n % 40 + 1) * MINUTE));
            let closed = filed.plus_ms((n * n % 97 + 1) * 21 * MINUTE + HOUR);
            let outcome = match n % 20 {
                5 => Outcome::Rejected,
                11 => Outcome::Cancelled,
                _ => Outcome::Fulfilled,
            };
            let past = Past {
                received_at: approved,
                eligible_at: eligible,
                filed_at: filed,
                first_work_at: work,
                closed_at: closed,
                reported_at: closed.plus_ms(30_000),
                outcome,
                desk: if app == "erp" { "servicenow" } else { "jira" }.to_owned(),
                admin_group: format!("{app}-admins"),
                number: format!("T-{n}"),
                assignment,
            };
            let pause = (n % 8 == 1).then(|| (filed.plus_ms(20 * MINUTE), filed.plus_ms((20 + n % 30) * MINUTE)));
            Truth { past, pause, moved: n % 9 == 2, reopened: n % 25 == 7 }
        })
        .collect()
}

fn near(told: &Spread, mut exact: Vec<i64>, what: &str) {
    exact.sort_unstable();
    assert_eq!(told.n, i64::try_from(exact.len()).unwrap(), "n of {what}");
    assert_eq!(told.max_ms, exact.last().copied(), "longest {what}");
    for (percent, told) in [(50, told.p50_ms), (90, told.p90_ms), (95, told.p95_ms)] {
        if exact.len() < 20 {
            assert_eq!(told, None, "{what} of too few");
            continue;
        }
        let exact = exact[(exact.len() * percent).div_ceil(100) - 1];
        assert!((told.unwrap() - exact).abs() * 100 <= exact + 100, "p{percent} of {what}: {told:?} instead of {exact}");
    }
}

impl Truth {
    fn revocation(&self) -> bool {
        self.past.assignment.operation.is_revocation()
    }

    fn paused(&self) -> (Timestamp, Timestamp) {
        let (from, until) = self.pause.filter(|_| !self.revocation()).unwrap_or((NOW, NOW));
        if until.0 > self.past.closed_at.0 { (from.min(self.past.closed_at), self.past.closed_at) } else { (from, until) }
    }

    fn provisioning(&self) -> i64 {
        let (from, until) = self.paused();
        self.past.closed_at.ms_since(self.past.eligible_at) - until.ms_since(from)
    }

    fn business(&self, catalog: &Catalog) -> Option<i64> {
        let calendar = catalog.calendar_of(&self.past.admin_group)?;
        let working = Working::over(calendar, NOW.plus_ms(-60 * DAY), NOW.plus_ms(DAY));
        let (from, until) = self.paused();
        Some(working.between(self.past.eligible_at, self.past.closed_at) - working.between(from, until))
    }

    fn in_target(&self, catalog: &Catalog) -> Option<bool> {
        let a = &self.past.assignment;
        let target = catalog.target_of(&a.application.id, a.operation)?;
        let took = match target.clock {
            ClockKind::Elapsed => self.provisioning(),
            ClockKind::Business => self.business(catalog)?,
        };
        Some(took <= target.within.ms())
    }
}

/// Every figure of a line against a plain count.
fn check(line: &Line, of: &[&Truth], catalog: &Catalog) {
    let count = |test: &dyn Fn(&Truth) -> bool| i64::try_from(of.iter().filter(|t| test(t)).count()).unwrap();
    let spread = |took: &dyn Fn(&Truth) -> Option<i64>| of.iter().filter_map(|t| took(t)).collect::<Vec<i64>>();
    near(&line.provisioning, spread(&|t| Some(t.provisioning())), "provisioning");
    near(&line.provisioning_business, spread(&|t| t.business(catalog)), "provisioning in working time");
    let approval = |t: &Truth| Some(t.past.assignment.approved_at?.ms_since(t.past.assignment.requested_at?));
    near(&line.approval, spread(&approval), "approval");
    near(&line.queue.elapsed, spread(&|t| Some(t.past.first_work_at?.ms_since(t.past.filed_at))), "queue");
    near(&line.filing.elapsed, spread(&|t| Some(t.past.filed_at.ms_since(t.past.eligible_at))), "filing");
    near(&line.sync_back.elapsed, spread(&|t| Some(t.past.reported_at.ms_since(t.past.closed_at))), "telling the platform");
    let asked = |t: &Truth| t.past.assignment.requested_at.unwrap_or(t.past.received_at);
    near(&line.end_to_end.elapsed, spread(&|t| Some(t.past.reported_at.ms_since(asked(t)))), "all of it");
    assert_eq!(line.target.in_target, count(&|t| t.in_target(catalog) == Some(true)));
    assert_eq!(line.target.late, count(&|t| t.in_target(catalog) == Some(false)));
    let quality = line.quality;
    assert_eq!((line.flow.closed, line.flow.arrived), (count(&|_| true), count(&|_| true)));
    assert_eq!(quality.cancelled, count(&|t| t.past.outcome == Outcome::Cancelled));
    assert_eq!(quality.rejected, count(&|t| t.past.outcome == Outcome::Rejected));
    assert_eq!(quality.meant, count(&|t| t.past.outcome != Outcome::Cancelled));
    assert_eq!(quality.right, count(&|t| t.past.outcome == Outcome::Fulfilled && !t.reopened));
    assert_eq!((quality.reopened, quality.rerouted), (count(&|t| t.reopened), count(&|t| t.moved)));
    assert_eq!((quality.reported, quality.proven, quality.unapproved), (count(&|_| true), 0, 0));
    let done = |t: &Truth| t.past.outcome == Outcome::Fulfilled;
    let day = |t: &Truth| t.past.assignment.valid_from;
    assert_eq!(line.dates.n, count(&|t| day(t).is_some() && t.past.outcome != Outcome::Cancelled));
    assert_eq!(line.dates.kept, count(&|t| done(t) && day(t).is_some_and(|d| t.past.closed_at <= d)));
    assert_eq!(line.dates.premature, count(&|t| done(t) && day(t).is_some_and(|d| t.past.closed_at < d)));
    assert_eq!(line.pauses.cases, count(&|t| t.pause.is_some() && !t.revocation()));
    assert_eq!(line.pauses.paused_ms, of.iter().map(|t| t.paused().1.ms_since(t.paused().0)).sum::<i64>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_of_known_truth_gives_every_figure() {
    let mut bed = Bed::new().await;
    let truth = history();
    bed.load(&truth).await;
    assert!(bed.count().await >= 600);
    let month = Asked { days: Some(60), ..Asked::default() };
    let report = bed.report(&month).await;
    assert!(!report.behind);
    check(&report.all, &truth.iter().collect::<Vec<_>>(), &bed.catalog);
    assert_eq!(report.applications.iter().map(|l| l.name.as_str()).collect::<Vec<_>>(), ["CRM", "ERP", "LIMS"]);
    for line in &report.applications {
        let of: Vec<&Truth> = truth.iter().filter(|t| t.past.assignment.application.id == line.id).collect();
        check(line, &of, &bed.catalog);
        let asked = Asked { application: Some(line.id.clone()), ..month.clone() };
        assert_eq!(&bed.report(&asked).await.applications[0], line, "filtered or not, it is the same");
    }
    for line in &report.operations {
        check(line, &truth.iter().filter(|t| t.past.assignment.operation.as_str() == line.id).collect::<Vec<_>>(), &bed.catalog);
    }
    for line in &report.desks {
        check(line, &truth.iter().filter(|t| t.past.desk == line.id).collect::<Vec<_>>(), &bed.catalog);
    }
    // Months and days tell the same; a short period cuts at midnight.
    assert_eq!(report.trend.iter().map(|p| p.closed).sum::<i64>(), 600);
    let week = bed.report(&Asked { days: Some(7), ..Asked::default() }).await;
    let within: Vec<&Truth> = truth.iter().filter(|t| t.past.closed_at >= week.from).collect();
    assert_eq!((week.all.flow.closed, week.trend.len()), (i64::try_from(within.len()).unwrap(), 7));
    near(&week.all.provisioning, within.iter().map(|t| t.provisioning()).collect(), "provisioning of a week");

    // Periods that are added up ahead are what their days are.
    for days in [7, 30, 90, 365] {
        let told = bed.report(&Asked { days: Some(days), ..Asked::default() }).await;
        bed.sql(&format!("UPDATE kpi_cell SET oldest = 1 WHERE kind IN ('window', 'leaver_window') AND at = {days}")).await;
        let added = bed.report(&Asked { days: Some(days), ..Asked::default() }).await;
        assert_eq!((&told.all, &told.groups), (&added.all, &added.groups), "{days} days");
    }

    // Leavers: two revocations each; the last application counts.
    let mut persons: BTreeMap<&str, i64> = BTreeMap::new();
    for t in truth.iter().filter(|t| t.revocation()) {
        let took = t.past.closed_at.ms_since(t.past.assignment.approved_at.unwrap());
        let longest = persons.entry(t.past.assignment.beneficiary.id.as_str()).or_default();
        *longest = took.max(*longest);
    }
    let leavers = &report.all.leavers;
    let within = |hours: i64| i64::try_from(persons.values().filter(|took| **took <= hours * HOUR).count()).unwrap();
    assert_eq!((leavers.n, leavers.within_24h, leavers.within_4h), (60, within(24), within(4)));
    assert_eq!((leavers.late, leavers.overdue_open), (60 - within(24), 0));
    near(&leavers.took, persons.values().copied().collect(), "leaving");

    // Lists are what the numbers count.
    for (which, n) in [
        (Which::Closed, report.all.flow.closed),
        (Which::Late, report.all.target.late),
        (Which::Reopened, report.all.quality.reopened),
        (Which::Cancelled, report.all.quality.cancelled),
        (Which::Rerouted, report.all.quality.rerouted),
        (Which::NotRight, report.all.quality.meant - report.all.quality.right),
        (Which::Premature, report.all.dates.premature),
        (Which::DateMissed, report.all.dates.n - report.all.dates.kept),
        (Which::Paused, report.all.pauses.cases),
        (Which::Leavers, report.all.leavers.n),
        (Which::Arrived, report.all.flow.arrived),
    ] {
        let asked = Asked { which: Some(which), ..month.clone() };
        let rows = behind(&bed.ledger, &bed.catalog, &None, &asked, NOW, 10_000).await.unwrap();
        assert_eq!(i64::try_from(rows.len()).unwrap(), n, "{which:?}");
    }
    let found = bed.verified().await;
    assert!(found.agrees() && found.waiting == 0 && found.assignments == 600 && found.cells > 400, "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_open_is_counted_by_age_target_and_day() {
    let mut bed = Bed::new().await;
    let ago = |days: i64| NOW.plus_ms(-days * DAY);
    let old = bed.open("O-1", "crm", Operation::Grant, ago(20), None).await;
    bed.open("O-2", "crm", Operation::Grant, ago(2), Some(ago(1))).await;
    bed.open("O-3", "crm", Operation::Grant, NOW.plus_ms(-HOUR), None).await;
    bed.open("O-4", "lims", Operation::DisableAccount, ago(2), None).await;
    assert_eq!(bed.count().await, 4);
    let report = bed.report(&Asked::default()).await;
    let flow = report.all.flow;
    assert_eq!((flow.open, flow.bands, flow.oldest, flow.p90_age_ms), (4, [1, 2, 0, 0, 1], Some(ago(20)), None));
    assert_eq!((report.all.dates.overdue_open, report.all.leavers.n, report.all.leavers.overdue_open), (1, 1, 1));
    assert_eq!(
        report.backlog.iter().map(|b| (b.admin_group.as_str(), b.bands)).collect::<Vec<_>>(),
        [("crm-admins", [1, 1, 0, 0, 1]), ("lims-admins", [0, 1, 0, 0, 0])]
    );
    let overdue = report.all.target.overdue_open;
    let asked = Asked { which: Some(Which::Overdue), ..Asked::default() };
    let rows = behind(&bed.ledger, &bed.catalog, &None, &asked, NOW, 100).await.unwrap();
    assert!(overdue >= 1 && i64::try_from(rows.len()).unwrap() == overdue && rows[0].row.id == old);
    // Time alone moves it, and nothing is written for that.
    bed.clock.advance_ms(40 * DAY);
    assert_eq!(bed.count().await, 0);
    let later = bed.report(&Asked::default()).await;
    assert_eq!((later.all.flow.bands, later.backlog.len()), ([0, 0, 0, 0, 4], 2));
    assert!(later.all.target.overdue_open > overdue);
    let scoped = Report::of(&bed.ledger, &bed.catalog, &Some(vec!["lims".to_owned()]), &Asked::default(), NOW).await.unwrap();
    assert_eq!((scoped.all.flow.open, scoped.groups.len()), (1, 1), "out of scope is not counted");
    assert!(bed.verified().await.agrees());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_learned_late_corrects_its_day_and_tampering_is_found() {
    let mut bed = Bed::new().await;
    let truth = history();
    bed.load(&truth).await;
    bed.count().await;
    let asked = Asked { days: Some(60), ..Asked::default() };
    let before = bed.report(&asked).await;

    // A line that came by another process, and one whose commit this process forgot: the sweep finds both.
    let late = &truth[100].past;
    assert_eq!(late.outcome, Outcome::Fulfilled);
    let id = format!("(SELECT id FROM assignment WHERE external_id = '{}')", late.assignment.external_id);
    bed.sql(&format!(
        "INSERT INTO journal (assignment_id, seq, happened_at, whose_clock, seen_at, event, state, actor, cause, hash)
         VALUES ({id}, 50, {0}, 'desk', {0}, 'reopened', 'rework', 'desk', '', '');
         UPDATE assignment SET chain_seq = 50, state = 'rework', closed_at = NULL, outcome = NULL, reported_at = NULL WHERE id = {id};",
        NOW.0
    ))
    .await;
    if bed.place.is_postgres() {
        assert_eq!(bed.count().await, 1, "the journal tells, whoever wrote it");
        assert_eq!(bed.count().await, 0, "once");
    } else {
        assert_eq!(bed.count().await, 0, "nobody told");
        assert_eq!(bed.verified().await.waiting, 1, "it is not judged before it is counted");
        assert_eq!(bed.count_anew().await, 1);
    }
    let after = bed.report(&asked).await;
    assert_eq!((after.all.flow.closed, after.all.flow.open), (before.all.flow.closed - 1, 1));
    assert!(bed.verified().await.agrees());

    bed.sql("UPDATE kpi_cell SET n = n + 1 WHERE kind = 'closed' AND at = (SELECT MAX(at) FROM kpi_cell WHERE kind = 'closed')")
        .await;
    bed.sql("DELETE FROM kpi_cell WHERE kind = 'arrived' AND at = (SELECT MIN(at) FROM kpi_cell WHERE kind = 'arrived')").await;
    let found = bed.verified().await;
    assert!(!found.agrees() && found.wrong >= 2, "{found:?}");
    assert!(
        found.differences.iter().any(|d| d.starts_with("arrived ") && d.contains("-admins / ") && d.ends_with("none kept")),
        "{found:?}"
    );
    bed.ledger.forget_figures(false).await.unwrap();
    assert_eq!(bed.count_anew().await, 600);
    assert!(bed.verified().await.agrees());
    assert_eq!(bed.report(&asked).await.all, after.all, "made afresh, it is what it was");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_calendar_changes_what_is_open_and_nothing_that_is_closed() {
    let mut bed = Bed::new().await;
    bed.load(&history()).await;
    bed.open("O-1", "crm", Operation::Grant, NOW.plus_ms(-HOUR), None).await;
    bed.count().await;
    let asked = Asked { days: Some(60), ..Asked::default() };
    let before = bed.report(&asked).await;
    let due = async |bed: &Bed| {
        let asked = Asked { which: Some(Which::Open), ..Asked::default() };
        behind(&bed.ledger, &bed.catalog, &None, &asked, NOW, 10).await.unwrap()[0].case.clone()
    };
    let due_before = due(&bed).await;

    let text = "zone = \"Europe/Berlin\"\n[hours]\nmonday = [\"08:00-09:00\"]\n";
    let file = ConfigFile::from_text(Path::new("calendars/office.toml"), text);
    let written: CalendarFile = file.parse().unwrap();
    let changed = Calendar::of(&file, &written, &BTreeMap::new()).unwrap();
    let old_version = bed.catalog.calendars.insert("office".to_owned(), changed).unwrap().version;
    assert_eq!(bed.count().await, 1, "only the open one is measured again");
    assert_eq!(bed.report(&asked).await.all.provisioning_business, before.all.provisioning_business);
    let due_after = due(&bed).await;
    assert!(due_after.due_by > due_before.due_by, "{due_before:?} {due_after:?}");
    assert_ne!(due_after.calendar.unwrap().version, old_version);
    // A closed one that is touched later keeps its calendar.
    bed.sql("UPDATE kpi_case SET seq = seq - 1 WHERE open = 0").await;
    assert_eq!(bed.count_anew().await, 600);
    assert_eq!(bed.report(&asked).await.all.provisioning_business, before.all.provisioning_business);
    let rows = behind(&bed.ledger, &bed.catalog, &None, &asked, NOW, 10_000).await.unwrap();
    let by_office = rows.iter().filter(|r| r.case.calendar.as_ref().is_some_and(|c| c.version == old_version)).count();
    assert!(by_office > 300, "{by_office}");
    assert!(bed.verified().await.agrees());
    // Only when asked for.
    bed.ledger.forget_figures(true).await.unwrap();
    bed.count_anew().await;
    assert!(bed.report(&asked).await.all.provisioning_business.max_ms < before.all.provisioning_business.max_ms);
    assert!(bed.verified().await.agrees());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_ticket_is_told_once_by_when_it_is_expected() {
    let mut bed = Bed::new().await;
    bed.load(&history()).await;
    bed.count().await;
    let id = bed.open("O-1", "crm", Operation::Grant, NOW, None).await;
    bed.count().await;
    assert_eq!(bed.ledger.case(id).await.unwrap().1, None, "without a ticket nothing is said");
    let request = LeaseRequest {
        edge: "desk/jira".to_owned(),
        owner: "w".to_owned(),
        now: NOW,
        lease_ms: 30_000,
        quiet_ms: 60_000,
        limit: 10,
        witnesses_only: false,
    };
    let leased = bed.ledger.lease(request).await.unwrap().remove(0);
    let ticket = TicketRef { id: "1".to_owned(), number: "T-1".to_owned() };
    let created = Created { ticket, url: None, key_confirmed: true, group_missed: false };
    let settled = Settlement { id: leased.id, lease_no: leased.lease_no, at: NOW, end: End::Filed(created) };
    assert_eq!(bed.ledger.settle(vec![settled]).await.unwrap(), [true]);
    assert_eq!(bed.count().await, 1, "the commit told that it changed");
    let said = bed.ledger.case(id).await.unwrap().1.unwrap();
    // By the working time of the group's own grants on this application, stretched or shortened by its small backlog.
    assert_eq!(said.made_at, NOW);
    assert!(NOW < said.half_by && said.half_by < said.nine_by && said.nine_by < NOW.plus_ms(14 * DAY), "{said:?}");
    bed.clock.advance_ms(DAY);
    bed.count_anew().await;
    assert_eq!(bed.ledger.case(id).await.unwrap().1, Some(said), "said once");
    // Closed in between: in time for nine of ten, too late for half.
    let closed = Timestamp(i64::midpoint(said.half_by.0, said.nine_by.0));
    bed.clock.advance_ms(14 * DAY);
    let held = bed.ledger.held("jira", &["1".to_owned()]).await.unwrap().remove(0);
    let status = TicketStatus {
        ticket: held.ticket.clone(),
        key: Some(held.key.clone()),
        category: Category::Closed,
        outcome: Some(Outcome::Fulfilled),
        status: "Done".to_owned(),
        resolution: None,
        group: None,
        assigned: false,
        created_by: None,
        updated_at: None,
        closed_at: Some(closed),
    };
    let reading =
        TicketReading { status, closer: None, words: None, first_work_at: None, closed_by_us: None, evidence: Vec::new() };
    let seen = Observation::Closed { ticket_id: held.id, reading: Box::new(reading) };
    assert_eq!(bed.ledger.observe(vec![seen], bed.clock.now()).await.unwrap(), 1);
    bed.count().await;
    let hits = bed.report(&Asked::default()).await.all.forecast;
    assert_eq!((hits.n, hits.half, hits.nine), (1, 0, 1));
    assert!(bed.verified().await.agrees());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_comes_again_was_not_right_the_first_time() {
    let mut bed = Bed::new().await;
    let again = |name: &str, role: &str, ago_days: i64| {
        let mut truth = history().swap_remove(0);
        truth.past.assignment.external_id = name.to_owned();
        truth.past.assignment.entitlement = Some(Named { id: role.to_owned(), name: "Role".to_owned() });
        truth.past.assignment.approved_at = Some(NOW.plus_ms(-ago_days * DAY));
        for at in [&mut truth.past.received_at, &mut truth.past.eligible_at, &mut truth.past.filed_at] {
            *at = NOW.plus_ms(-ago_days * DAY);
        }
        truth.past.first_work_at = None;
        truth.past.closed_at = NOW.plus_ms(-ago_days * DAY + HOUR);
        truth.past.reported_at = truth.past.closed_at;
        truth.past.number = format!("T-{name}");
        truth
    };
    bed.load(&[again("B-1", "one", 25), again("B-2", "two", 25)]).await;
    bed.count().await;
    let right = async |bed: &Bed| bed.report(&Asked::default()).await.all.quality.right;
    assert_eq!(right(&bed).await, 2);
    bed.load(&[again("B-3", "one", 20), again("B-4", "two", 5)]).await;
    bed.count().await;
    assert_eq!(right(&bed).await, 3, "five days later counts, twenty do not");
    assert!(bed.verified().await.agrees());
}
