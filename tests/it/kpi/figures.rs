//! What figures and lists tell, against the truth.

use super::*;

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
    // The days of everything are what the days of all applications are.
    let month = Asked { days: Some(30), ..Asked::default() };
    let all = bed.report(&month).await;
    let mut days = vec![(0, 0, 0); all.trend.len()];
    for line in &report.applications {
        let one = bed.report(&Asked { application: Some(line.id.clone()), ..month.clone() }).await;
        for (sum, point) in days.iter_mut().zip(&one.trend) {
            *sum = (sum.0 + point.closed, sum.1 + point.arrived, sum.2 + point.target.in_target);
        }
    }
    assert_eq!(all.trend.iter().map(|p| (p.closed, p.arrived, p.target.in_target)).collect::<Vec<_>>(), days);
    let month = Asked { days: Some(60), ..Asked::default() };
    // Months and days tell the same; a short period cuts at midnight.
    assert_eq!(report.trend.iter().map(|p| p.closed).sum::<i64>(), 600);
    let week = bed.report(&Asked { days: Some(7), ..Asked::default() }).await;
    let within: Vec<&Truth> = truth.iter().filter(|t| t.past.closed_at >= week.from).collect();
    assert_eq!((week.all.flow.closed, week.trend.len()), (i64::try_from(within.len()).unwrap(), 7));
    near(&week.all.provisioning, within.iter().map(|t| t.provisioning()).collect(), "provisioning of a week");

    // Periods that are added up ahead are what their days are.
    for days in [7, 30, 90, 365] {
        let told = bed.report(&Asked { days: Some(days), ..Asked::default() }).await;
        // A sum raised by hand is told: it is the sum that is read.
        bed.sql(&format!("UPDATE kpi_cell SET n = n + 1 WHERE kind = 'window' AND at = {days}")).await;
        let raised = bed.report(&Asked { days: Some(days), ..Asked::default() }).await;
        assert!(raised.all.flow.arrived > told.all.flow.arrived, "{days} days are added up ahead");
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
        let rows = bed.behind(&asked, 10_000).await;
        assert_eq!(i64::try_from(rows.len()).unwrap(), n, "{which:?}");
    }
    let found = bed.verified().await;
    assert!(found.agrees() && found.waiting == 0 && found.assignments == 600 && found.cells > 400, "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn weeks_and_months_tell_what_their_days_do_wherever_a_period_begins_and_ends() {
    let mut bed = Bed::new().await;
    bed.load(&history()).await;
    bed.count().await;
    let date = |ago: i64| Some(NOW.plus_ms(-ago * DAY).to_utc().date_naive());
    let sum = |parts: &[(i64, i64, i64, i64)]| {
        parts.iter().fold((0, 0, 0, 0), |all, one| (all.0 + one.0, all.1 + one.1, all.2 + one.2, all.3.max(one.3)))
    };
    for application in [None, Some("crm".to_owned())] {
        let between = |first: i64, last: i64| Asked {
            from: date(first),
            to: date(last),
            application: application.clone(),
            ..Asked::default()
        };
        let mut days = BTreeMap::new();
        for ago in 0..=35 {
            let day = bed.report(&between(ago, ago)).await;
            let (flow, took) = (&day.all.flow, &day.all.provisioning);
            days.insert(day.from, (flow.closed, flow.arrived, took.n, took.max_ms.unwrap_or(0)));
        }
        for (first, last) in
            (26..33).flat_map(|first| (0..7).map(move |last| (first, last))).chain([(120, 0), (123, 9), (150, 20)])
        {
            let report = bed.report(&between(first, last)).await;
            for point in &report.trend {
                let of_days: Vec<_> = days.range(point.from..point.to).map(|(_, day)| *day).collect();
                let told = (point.closed, point.arrived, point.provisioning.n, point.provisioning.max_ms.unwrap_or(0));
                assert_eq!(told, sum(&of_days), "{first} to {last} days ago, from {}", point.from.iso());
            }
            let all: Vec<_> = days.range(report.from..report.to).map(|(_, day)| *day).collect();
            let told = (&report.all.flow, &report.all.provisioning);
            assert_eq!((told.0.closed, told.0.arrived, told.1.n, told.1.max_ms.unwrap_or(0)), sum(&all));
        }
    }
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
    let rows = bed.behind(&asked, 100).await;
    assert!(overdue >= 1 && i64::try_from(rows.len()).unwrap() == overdue && rows[0].row.id == old);
    // Time alone moves it, and no case is measured for that.
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
async fn long_lists_are_read_in_parts_and_lose_nothing() {
    let mut bed = Bed::new().await;
    bed.load(&history()).await;
    bed.count().await;
    let sought = |after, latest_first| Sought {
        kind: Kind::Closed,
        from: Timestamp(0),
        to: NOW,
        filter: CellFilter::default(),
        latest_first,
        after,
        limit: 7,
    };
    for latest_first in [true, false] {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let rows = bed.ledger.behind(&sought(after, latest_first)).await.unwrap();
            let Some(last) = rows.last() else { break };
            after = Some((last.exact, last.id));
            seen.extend(rows.iter().map(|row| (row.exact, row.id)));
        }
        let mut sorted = seen.clone();
        sorted.sort_unstable();
        if latest_first {
            sorted.reverse();
        }
        assert_eq!(seen.len(), 600);
        assert_eq!(seen, sorted);
    }
}
