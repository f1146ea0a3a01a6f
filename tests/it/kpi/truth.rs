//! A generated history, what is known of it, and each figure counted plainly.

use super::*;

/// An order of the past, and what the test knows of it.
pub(super) struct Truth {
    pub(super) past: Past,
    pub(super) pause: Option<(Timestamp, Timestamp)>,
    pub(super) moved: bool,
    pub(super) reopened: bool,
    /// How long after its closing it was read.
    pub(super) noticed: i64,
    /// What went wrong on the way: events of the journal, with what is known of them.
    pub(super) trouble: Vec<(&'static str, &'static str, &'static str)>,
    pub(super) proven: Option<Timestamp>,
}

/// Four weeks: three applications, grants, and people who leave, whose accounts on two applications end.
pub(super) fn history() -> Vec<Truth> {
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
                closed_by: None,
                proven_at: None,
                assignment,
            };
            let pause = (n % 8 == 1).then(|| (filed.plus_ms(20 * MINUTE), filed.plus_ms((20 + n % 30) * MINUTE)));
            let trouble = match n % 30 {
                3 => vec![("retry", "E-DOWN", "{}"), ("retry", "E-DOWN", "{}"), ("unclear", "", "{}")],
                9 => vec![("parked", "E-REFUSED", "{\"errand\":\"create\"}")],
                14 => vec![("parked", "E-STATUS: no rule", "{}"), ("filed", "", "{\"found_by_key\":true}")],
                21 => vec![("double_found", "", "{}")],
                _ => Vec::new(),
            };
            let proven = (n % 4 == 0).then(|| closed.plus_ms(HOUR + n * MINUTE));
            Truth { past, pause, moved: n % 9 == 2, reopened: n % 25 == 7, noticed: n % 11 * 1000, trouble, proven }
        })
        .collect()
}

pub(super) fn near(told: &Spread, mut exact: Vec<i64>, what: &str) {
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
    pub(super) fn revocation(&self) -> bool {
        self.past.assignment.operation.is_revocation()
    }

    fn paused(&self) -> (Timestamp, Timestamp) {
        let (from, until) = self.pause.filter(|_| !self.revocation()).unwrap_or((NOW, NOW));
        if until.0 > self.past.closed_at.0 { (from.min(self.past.closed_at), self.past.closed_at) } else { (from, until) }
    }

    pub(super) fn provisioning(&self) -> i64 {
        let (from, until) = self.paused();
        self.past.closed_at.ms_since(self.past.eligible_at) - until.ms_since(from)
    }

    fn touch(&self) -> Option<i64> {
        let work = self.past.first_work_at?;
        let (from, until) = self.paused();
        let paused = until.ms_since(from.max(work)).max(0);
        Some(self.past.closed_at.ms_since(work) - paused)
    }

    fn queue(&self) -> Option<i64> {
        let (work, (from, until)) = (self.past.first_work_at?, self.paused());
        Some(work.ms_since(self.past.filed_at) - until.min(work).ms_since(from).max(0))
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
pub(super) fn check(line: &Line, of: &[&Truth], catalog: &Catalog) {
    let count = |test: &dyn Fn(&Truth) -> bool| i64::try_from(of.iter().filter(|t| test(t)).count()).unwrap();
    let spread = |took: &dyn Fn(&Truth) -> Option<i64>| of.iter().filter_map(|t| took(t)).collect::<Vec<i64>>();
    near(&line.provisioning, spread(&|t| Some(t.provisioning())), "provisioning");
    near(&line.provisioning_business, spread(&|t| t.business(catalog)), "provisioning in working time");
    let approval = |t: &Truth| Some(t.past.assignment.approved_at?.ms_since(t.past.assignment.requested_at?));
    near(&line.approval, spread(&approval), "approval");
    near(&line.queue.elapsed, spread(&Truth::queue), "queue");
    near(&line.filing.elapsed, spread(&|t| Some(t.past.filed_at.ms_since(t.past.eligible_at))), "filing");
    near(&line.touch.elapsed, spread(&Truth::touch), "touch");
    near(&line.verification.elapsed, spread(&|t| Some(t.proven?.ms_since(t.past.closed_at))), "verification");
    near(&line.noticed.elapsed, spread(&|t| Some(t.noticed)), "noticing");
    let trouble = |event: &str, cause: &str| {
        let same = |(e, c, _): &&(&str, &str, &str)| *e == event && c.starts_with(cause);
        i64::try_from(of.iter().map(|t| t.trouble.iter().filter(same).count()).sum::<usize>()).unwrap()
    };
    let health = line.health;
    assert_eq!(
        (health.retries, health.unclear, health.parked),
        (trouble("retry", ""), trouble("unclear", ""), trouble("parked", ""))
    );
    assert_eq!((health.refused, health.unknown_states), (trouble("parked", "E-REFUSED"), trouble("parked", "E-STATUS")));
    assert_eq!((health.doubles_prevented, health.doubles), (trouble("filed", ""), trouble("double_found", "")));
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
    assert_eq!((quality.reported, quality.proven, quality.unapproved), (count(&|_| true), count(&|t| t.proven.is_some()), 0));
    let done = |t: &Truth| t.past.outcome == Outcome::Fulfilled;
    let day = |t: &Truth| t.past.assignment.valid_from;
    assert_eq!(line.dates.n, count(&|t| day(t).is_some() && t.past.outcome != Outcome::Cancelled));
    assert_eq!(line.dates.kept, count(&|t| done(t) && day(t).is_some_and(|d| t.past.closed_at <= d)));
    assert_eq!(line.dates.premature, count(&|t| done(t) && day(t).is_some_and(|d| t.past.closed_at < d)));
    assert_eq!(line.pauses.cases, count(&|t| t.pause.is_some() && !t.revocation()));
    assert_eq!(line.pauses.paused_ms, of.iter().map(|t| t.paused().1.ms_since(t.paused().0)).sum::<i64>());
}
