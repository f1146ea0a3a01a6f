//! How figures are kept: corrected late, proven, made afresh, and never of a later time than what they count.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_learned_late_corrects_its_day_and_tampering_is_found() {
    let mut bed = Bed::new().await;
    let truth = history();
    bed.load(&truth).await;
    bed.count().await;
    let asked = Asked { days: Some(60), ..Asked::default() };
    let before = bed.report(&asked).await;
    let weeks = Asked { days: Some(90), application: Some("lims".to_owned()), ..Asked::default() };
    let by_week = async |bed: &Bed| bed.report(&weeks).await.trend.iter().map(|p| p.closed).collect::<Vec<i64>>();
    let weeks_before = by_week(&bed).await;

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
    let less: Vec<i64> = weeks_before.iter().zip(by_week(&bed).await).map(|(before, after)| before - after).collect();
    assert_eq!((less.iter().max(), less.iter().sum()), (Some(&1), 1), "its week alone: {less:?}");
    assert!(bed.verified().await.agrees());

    bed.sql("UPDATE kpi_cell SET n = n + 1 WHERE kind = 'closed' AND at = (SELECT MAX(at) FROM kpi_cell WHERE kind = 'closed')")
        .await;
    bed.sql("DELETE FROM kpi_cell WHERE kind = 'arrived' AND at = (SELECT MIN(at) FROM kpi_cell WHERE kind = 'arrived')").await;
    // What is added up from them is judged by the journal too.
    bed.sql("UPDATE kpi_cell SET n = n + 1 WHERE kind = 'window' AND at = 30").await;
    bed.sql("DELETE FROM kpi_cell WHERE kind = 'now'").await;
    bed.sql("UPDATE kpi_cell SET n = 1 WHERE kind IN ('trend_month', 'trend_week')").await;
    let one = "dim = (SELECT MIN(dim) FROM kpi_cell WHERE kind = 'week')";
    bed.sql(&format!("UPDATE kpi_cell SET oldest = oldest + 1 WHERE kind IN ('week', 'month') AND {one}")).await;
    let found = bed.verified().await;
    assert!(!found.agrees() && found.wrong >= 2, "{found:?}");
    for beginning in ["the last 30 days of ", "what is open now of ", "trend_month ", "trend_week ", "week ", "month "] {
        assert!(found.differences.iter().any(|d| d.starts_with(beginning)), "{beginning}: {found:?}");
    }
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
        bed.behind(&asked, 10).await[0].case.clone()
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
    let rows = bed.behind(&asked, 10_000).await;
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
async fn figures_are_never_of_a_later_time_than_what_they_count() {
    let mut bed = Bed::new().await;
    bed.load(&history()[..20]).await;
    let asked = Asked::default();
    let fresh = bed.report(&asked).await;
    assert_eq!((fresh.as_of, fresh.all.flow.closed), (Timestamp(0), 0), "nothing was ever counted");
    bed.count().await;
    assert_eq!(bed.report(&asked).await.as_of, NOW);
    bed.clock.advance_ms(HOUR);
    bed.open("O-1", "crm", Operation::Grant, NOW, None).await;
    let mut steps = 0;
    loop {
        // Whatever is half done: a figure without the new order is of the time before it.
        let told = bed.report(&asked).await;
        assert!(
            told.all.flow.open == 1 || (told.as_of == NOW && (told.behind || bed.place.is_postgres())),
            "{steps}: {}",
            told.as_of.iso()
        );
        if !bed.figures.step(&bed.ledger, &bed.catalog, &bed.clock).await.unwrap().any() {
            break;
        }
        steps += 1;
    }
    let told = bed.report(&asked).await;
    assert!(steps > 2 && !told.behind);
    assert_eq!((told.as_of, told.all.flow.open), (NOW.plus_ms(HOUR), 1));
    // A process that only reads knows no more than what is noted.
    bed.clock.advance_ms(HOUR);
    let reader = bed.place.reader().await;
    let told = Report::of(&reader, &bed.catalog, &None, &asked, bed.clock.now()).await.unwrap();
    assert_eq!(told.as_of, NOW.plus_ms(HOUR));
    bed.count().await;
    let told = Report::of(&reader, &bed.catalog, &None, &asked, bed.clock.now()).await.unwrap();
    assert_eq!(told.as_of, NOW.plus_ms(2 * HOUR), "another hour was counted");
    // Where others believe it, it is noted again and again, though nothing changes.
    bed.clock.advance_ms(2 * MINUTE);
    bed.count().await;
    let told = Report::of(&reader, &bed.catalog, &None, &asked, bed.clock.now()).await.unwrap();
    assert_eq!(told.as_of, NOW.plus_ms(2 * HOUR + if bed.place.is_postgres() { 2 * MINUTE } else { 0 }));
}

#[tokio::test(flavor = "multi_thread")]
async fn once_a_day_everything_is_looked_through() {
    let mut bed = Bed::new().await;
    bed.load(&history()[..20]).await;
    bed.count().await;
    // Nobody tells of it, as where a commit came too late.
    bed.sql("UPDATE kpi_case SET seq = seq - 1").await;
    bed.clock.advance_ms(DAY - HOUR);
    assert_eq!(bed.count().await, 0);
    bed.clock.advance_ms(2 * HOUR);
    bed.count().await;
    assert_eq!(bed.count().await, 20);
    assert!(bed.verified().await.agrees());
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_are_proven_as_of_one_moment_whatever_is_counted_meanwhile() {
    let mut bed = Bed::new().await;
    bed.load(&history()[..100]).await;
    bed.count().await;
    let still = bed.place.still().await;
    // A busy server: what was read first is gone from where it stood.
    bed.load(&history()[100..150]).await;
    bed.sql("UPDATE kpi_case SET seq = seq - 1 WHERE assignment_id IN (SELECT assignment_id FROM kpi_case LIMIT 20)").await;
    bed.open("O-1", "crm", Operation::DisableAccount, NOW.plus_ms(-HOUR), None).await;
    bed.count_anew().await;
    let found = verify(&still, &bed.catalog, NOW).await.unwrap();
    assert_eq!((found.assignments, found.waiting), (100, 0), "{found:?}");
    assert!(found.agrees(), "{found:?}");
    let found = bed.verified().await;
    assert!(found.agrees() && found.assignments == 151, "{found:?}");
}

/// A sum as builds before this schema wrote it: fewer counts, in another order, and fewer stages.
const OLD_SUM: (&str, &str) = ("HwEBAAAAAAABAQAAAAAAAAEAAAAAAAAAAAEAAQEAAQAAAAAAAAA", "AAAAAAAAAAAAAAAAAAA");

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_counted_by_an_older_build_is_counted_again_by_the_calendars_of_then() {
    let mut bed = Bed::new().await;
    bed.load(&history()).await;
    bed.count().await;
    let asked = Asked { days: Some(60), ..Asked::default() };
    let before = bed.report(&asked).await;
    // Cases of ten stages; sums that say something else by today's reading; the schema of before.
    let mut old =
        format!("UPDATE kpi_cell SET main = '{}', rest = '{}' WHERE main LIKE '_%' AND kind <> 'now';", OLD_SUM.0, OLD_SUM.1);
    for id in bed.ledger.all_ids(Id(i64::MIN), 1_000).await.unwrap() {
        let mut body: serde_json::Value = serde_json::from_str(&bed.ledger.case(id).await.unwrap().0.unwrap().body).unwrap();
        for durations in ["e", "b"] {
            if let Some(stages) = body[durations].as_array_mut() {
                stages.truncate(10);
            }
        }
        old.push_str(&format!("UPDATE kpi_case SET body = '{body}' WHERE assignment_id = {id};", id = id.0));
    }
    old.push_str("DELETE FROM _sqlx_migrations WHERE version IN (23, 24)");
    bed.ledger.close().await;
    bed.sql(&old).await;
    // The calendar changed since.
    let text = "zone = \"Europe/Berlin\"\n[hours]\nmonday = [\"08:00-09:00\"]\n";
    let file = ConfigFile::from_text(Path::new("calendars/office.toml"), text);
    let changed = Calendar::of(&file, &file.parse().unwrap(), &BTreeMap::new()).unwrap();
    bed.catalog.calendars.insert("office".to_owned(), changed);

    bed.ledger = bed.place.open().await;
    let fresh = bed.report(&asked).await;
    assert_eq!((fresh.as_of, fresh.all.flow.closed), (Timestamp(0), 0), "nothing is told that is not counted");
    let last = bed.ledger.all_ids(Id(i64::MIN), 1_000).await.unwrap().pop().unwrap();
    assert!(Case::read(&bed.ledger.case(last).await.unwrap().0.unwrap().body).is_some(), "its page is told");
    assert_eq!(bed.count_anew().await, 600);
    let after = bed.report(&asked).await;
    assert_eq!((after.all, after.applications), (before.all, before.applications));
    assert!(bed.verified().await.agrees());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_without_weeks_adds_them_up_and_measures_no_order_again() {
    let mut bed = Bed::new().await;
    bed.load(&history()).await;
    bed.count().await;
    let asked = [
        Asked { days: Some(90), application: Some("crm".to_owned()), ..Asked::default() },
        Asked { days: Some(60), ..Asked::default() },
        Asked { days: Some(150), ..Asked::default() },
    ];
    let told = async |bed: &Bed| {
        let mut told = Vec::new();
        for asked in &asked {
            let report = bed.report(asked).await;
            told.push(serde_json::to_value((&report.all, &report.trend)).unwrap());
        }
        told
    };
    let before = told(&bed).await;
    bed.ledger.close().await;
    bed.sql(
        "UPDATE kpi_cell SET kind = 'closed_month' WHERE kind = 'month';
         DELETE FROM kpi_cell WHERE kind IN ('week', 'trend_week');
         INSERT INTO kpi_dirty (kind, at, dim, mark) VALUES ('closed_month', 0, 1, 1);
         DELETE FROM _sqlx_migrations WHERE version = 24",
    )
    .await;
    bed.ledger = bed.place.open().await;
    assert_eq!(bed.report(&asked[0]).await.as_of, Timestamp(0), "nothing is told as counted that is not");
    assert_eq!(bed.count_anew().await, 0, "days are kept, and weeks and months made of them");
    assert_eq!(told(&bed).await, before);
    let found = bed.verified().await;
    assert!(found.agrees() && !bed.report(&asked[0]).await.behind, "{found:?}");
}

/// On PostgreSQL every answer reads the last minutes of the journal again, whatever is known of them.
#[tokio::test(flavor = "multi_thread")]
async fn the_journal_is_asked_only_when_its_last_answer_is_worked_off_and_never_for_all_cases() {
    let mut bed = Bed::new().await;
    if !bed.place.is_postgres() {
        return;
    }
    bed.load(&history()[..300]).await;
    bed.ledger.close().await;
    bed.place.overhear().await;
    bed.ledger = bed.place.open().await;
    assert_eq!(bed.count().await, 300);
    let step = |line: &String| {
        let kept = line.contains("SELECT assignment_id, body FROM kpi_case").then_some("kept");
        kept.or_else(|| line.contains("MAX(seq) AS seq FROM journal").then_some("asked"))
    };
    let said = bed.place.overheard().await;
    let steps: Vec<&str> = said.iter().filter_map(step).collect();
    assert_eq!(steps[..4], ["kept", "kept", "asked", "kept"], "{steps:?}");

    let (_, asked) = said.iter().find(|line| step(line) == Some("asked")).unwrap().split_once(": ").unwrap();
    bed.sql(
        "ANALYZE;
         CREATE FUNCTION plan_of(asked TEXT) RETURNS TEXT LANGUAGE plpgsql AS $$ DECLARE line TEXT; said TEXT := '';
         BEGIN FOR line IN EXECUTE 'EXPLAIN ' || asked LOOP said := said || line || E'\n'; END LOOP; RETURN said; END $$",
    )
    .await;
    let plan = bed.place.text(&format!("SELECT plan_of('{}')", asked.replace("$1", "0"))).await;
    assert!(plan.contains("Index Scan using kpi_case_pkey") && !plan.contains("Seq Scan on kpi_case"), "{plan}");
}
