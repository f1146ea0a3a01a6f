//! Reports sent by a schedule. The ledger holds which time of which schedule is claimed and sent, so that each is sent
//! once, whatever stops in between; what fails is tried again until the next one is due.

mod content;
mod hook;
mod mail;

use std::future::Future;
use std::time::Duration;

use crate::catalog::{Catalog, Problem, ScheduledReport};
use crate::http::{CallError, gate};
use crate::ledger::exports::{Claimed, DeliveryClaim, DeliveryEnd, DeliveryRow, Export};
use crate::ledger::{Ledger, LedgerResult};
use crate::model::key::stable_id;
use crate::model::{Clock, Timestamp, random};

pub use content::{Prepared, prepare};

/// How long preparing and sending may take before another process may try: much longer than they do, and than the
/// time-outs on the way as they come. What takes longer all the same (a large `[mail] timeout`, a ledger that is slow) is
/// broken off before.
const LEASE_MS: i64 = 600_000;
/// Sending has ended so long before another may try.
const SPARE_MS: i64 = 30_000;
/// That a report was sent is written down again and again, so that it is not sent again for that.
const SETTLE_TRIES: u32 = 10;
const SETTLE_AGAIN: Duration = Duration::from_secs(1);

/// How a report travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// By e-mail.
    Mail,
    /// Posted.
    Webhook,
}

impl Way {
    /// As stored and counted.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mail => "mail",
            Self::Webhook => "webhook",
        }
    }
}

/// The ways a report travels; each is claimed and tried by itself, so that one that fails does not repeat the other.
#[must_use]
pub fn ways(report: &ScheduledReport) -> Vec<Way> {
    let mail = (!report.to.is_empty()).then_some(Way::Mail);
    mail.into_iter().chain(report.webhook.as_ref().map(|_| Way::Webhook)).collect()
}

/// Its name in the ledger.
fn key(report: &ScheduledReport, way: Way) -> String {
    format!("{}/{}", report.name, way.as_str())
}

/// A report on one of its ways, and where it stands.
#[derive(Debug, Clone)]
pub struct Standing {
    /// How it travels.
    pub way: Way,
    /// When it is due next.
    pub next: Option<Timestamp>,
    /// What the ledger has of it; none before it was first looked at.
    pub row: Option<DeliveryRow>,
}

/// Where a report stands, way by way.
///
/// # Errors
/// The ledger does not answer.
pub async fn standing(ledger: &dyn Ledger, report: &ScheduledReport, now: Timestamp) -> LedgerResult<Vec<Standing>> {
    let mut all = Vec::new();
    for way in ways(report) {
        let row = ledger.delivery(&key(report, way)).await?;
        all.push(Standing { way, next: report.times().next_after(now), row });
    }
    Ok(all)
}

/// What a step did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing is due, or another is at it.
    Nothing,
    /// It is sent.
    Sent,
    /// It failed with this code, and is tried again.
    Failed(String),
}

/// Sends a report if it is due and nobody has sent it.
///
/// # Errors
/// The ledger does not answer.
pub async fn step(
    ledger: &dyn Ledger,
    catalog: &Catalog,
    report: &ScheduledReport,
    way: Way,
    clock: &dyn Clock,
) -> LedgerResult<Step> {
    let (key, now) = (key(report, way), clock.now());
    let Some(last) = ledger.delivery(&key).await? else {
        ledger.begin_report(&key, now).await?;
        return Ok(Step::Nothing);
    };
    // Whichever process sends it: each tells how it stands.
    tell_failing(&key, last.is_failing());
    let due_at = latest(report, last.due_at, now);
    let may_try = match last.state.as_str() {
        "ready" => last.next_at <= now,
        // Only the ledger knows how long a claim holds.
        "sending" => true,
        _ => false,
    };
    if due_at.is_none() && !may_try {
        return Ok(Step::Nothing);
    }
    let good_until = clock.boot_ms() + LEASE_MS - SPARE_MS;
    let claim = DeliveryClaim { report: key.clone(), due_at, now, lease_ms: LEASE_MS };
    let Some(claimed) = ledger.claim_delivery(claim).await? else { return Ok(Step::Nothing) };
    if claimed.missed > 0 {
        metrics::counter!("lastmile_reports_missed_total", "report" => key.clone()).increment(claimed.missed.unsigned_abs());
        tracing::warn!(report = key, times = claimed.missed, "was not sent before the next one was due; only that one is sent");
    }
    let sent = match prepare(ledger, catalog, report, claimed.due_at, now).await {
        Ok(prepared) => {
            let id = id(catalog, &key, claimed.due_at);
            in_time(good_until, clock, send(catalog, report, way, &prepared, &id, now)).await
        }
        Err(content::Unprepared::Ledger(error)) => {
            let late = CallError::retry("E-LEDGER", "the ledger did not answer");
            settle(ledger, catalog, &key, &claimed, Err(late), clock.now()).await?;
            return Err(error);
        }
        Err(content::Unprepared::Workbook(error)) => Err(CallError::reject("E-TOO-LARGE", error.to_string())),
    };
    let sent = sent.map(|()| Export {
        at: clock.now(),
        actor: key.clone(),
        what: format!("report {}", report.name),
        form: way.as_str().to_owned(),
        asked: format!("due {}", claimed.due_at.iso()),
        items: 1,
        names: false,
        digest: None,
    });
    settle(ledger, catalog, &key, &claimed, sent, clock.now()).await
}

/// Sends only while nobody else may, by the boot-time clock; what takes longer is broken off.
async fn in_time<F>(good_until: i64, clock: &dyn Clock, sending: F) -> Result<(), CallError>
where
    F: Future<Output = Result<(), CallError>>,
{
    let late = || CallError::retry("E-TIMEOUT", "preparing it took too long; it is prepared again");
    let left = u64::try_from(good_until - clock.boot_ms()).unwrap_or(0);
    if left == 0 {
        return Err(late());
    }
    let ask = || if clock.boot_ms() < good_until { Ok(()) } else { Err(late()) };
    let sending = gate::watched(ask, |_| (), sending);
    let sent = tokio::time::timeout(Duration::from_millis(left), sending).await;
    sent.unwrap_or_else(|_| Err(CallError::unclear("E-TIMEOUT", "sending it took too long, and was broken off")))
}

fn tell_failing(key: &str, failing: bool) {
    metrics::gauge!("lastmile_report_failing", "report" => key.to_owned()).set(f64::from(u8::from(failing)));
}

async fn settle(
    ledger: &dyn Ledger,
    catalog: &Catalog,
    key: &str,
    claimed: &Claimed,
    sent: Result<Export, CallError>,
    now: Timestamp,
) -> LedgerResult<Step> {
    let error = match sent {
        Ok(export) => {
            settle_sent(ledger, key, claimed, export, now).await?;
            metrics::counter!("lastmile_reports_sent_total", "report" => key.to_owned()).increment(1);
            tell_failing(key, false);
            tracing::info!(report = key, due = claimed.due_at.iso(), "sent");
            return Ok(Step::Sent);
        }
        Err(error) => error,
    };
    let failures = u32::try_from(claimed.failures + 1).unwrap_or(u32::MAX);
    // What is refused for good is tried again, too: whoever mends the configuration need not remember to send it.
    let wait = catalog.main.retry.schedule().wait_ms(failures, error.asked_ms(), random::u64());
    let (code, reason) = (error.code().to_owned(), error.reason().to_owned());
    let end = DeliveryEnd::Failed { next_at: now.plus_ms(wait), code: code.clone(), reason };
    ledger.settle_delivery(key, claimed, end, now).await?;
    tell_failing(key, true);
    if failures == 1 {
        tracing::warn!(report = key, code, "could not be sent; it is tried again until the next one is due");
    }
    Ok(Step::Failed(code))
}

/// A ledger that is away for a moment makes nobody send a report again.
async fn settle_sent(ledger: &dyn Ledger, key: &str, claimed: &Claimed, export: Export, now: Timestamp) -> LedgerResult<()> {
    for _ in 1..SETTLE_TRIES {
        match ledger.settle_delivery(key, claimed, DeliveryEnd::Sent(export.clone()), now).await {
            Ok(_) => return Ok(()),
            Err(error) => tracing::debug!(report = key, error = %error, "that it was sent could not be written; once more"),
        }
        tokio::time::sleep(SETTLE_AGAIN).await;
    }
    ledger.settle_delivery(key, claimed, DeliveryEnd::Sent(export), now).await.map(drop)
}

/// The latest time of its schedule after `last` that has come.
fn latest(report: &ScheduledReport, last: Timestamp, now: Timestamp) -> Option<Timestamp> {
    let (times, mut latest, mut at) = (report.times(), None, last);
    while let Some(next) = times.next_after(at).filter(|next| *next <= now) {
        (latest, at) = (Some(next), next);
    }
    latest
}

/// The same however often it is sent: receivers can tell a repetition by it.
fn id(catalog: &Catalog, key: &str, due_at: Timestamp) -> String {
    format!("lmd-{}", stable_id(&["delivery", &catalog.main.instance.name, key, &due_at.0.to_string()]))
}

/// Sends what was prepared, on one way.
///
/// # Errors
/// Why it may not have arrived.
async fn send(
    catalog: &Catalog,
    report: &ScheduledReport,
    way: Way,
    prepared: &Prepared,
    id: &str,
    now: Timestamp,
) -> Result<(), CallError> {
    match way {
        Way::Mail => mail::send(catalog, report, prepared, id, now).await,
        Way::Webhook => hook::send(catalog, report, prepared, id, now).await,
    }
}

/// Sends a report now, on all its ways, whatever its schedule says: to try it. Nothing is claimed or noted. Says of each way how
/// it went: one that fails keeps no other from being tried.
pub async fn send_now(
    catalog: &Catalog,
    report: &ScheduledReport,
    prepared: &Prepared,
    now: Timestamp,
) -> Vec<(Way, Result<(), CallError>)> {
    let mut tried = Vec::new();
    for way in ways(report) {
        let id = format!("lmd-try-{}", &random::token()[..16]);
        tried.push((way, send(catalog, report, way, prepared, &id, now).await));
    }
    tried
}

/// Secrets and certificates that cannot be read.
#[must_use]
pub fn check(catalog: &Catalog) -> Vec<Problem> {
    let Some(file) = &catalog.main_file else { return Vec::new() };
    let mut problems = Vec::new();
    let mut say = |keys: &[&str], words: String| problems.push(file.problem(keys, words, None));
    if let Some(settings) = &catalog.main.mail {
        if let Some(Err(words)) = settings.password.as_ref().map(|s| s.resolve(&catalog.folder)) {
            say(&["mail", "password"], words);
        }
        if let Err(words) = mail::authority(settings, &catalog.folder) {
            say(&["mail", "ca"], words);
        }
    }
    for (n, report) in catalog.main.reports.iter().enumerate() {
        let n = n.to_string();
        if let Some(hook) = &report.webhook {
            let secret = hook.secret.resolve(&catalog.folder);
            let checked = secret.and_then(|s| crate::http::signature::check_signing(&s).map_err(|refusal| refusal.to_string()));
            if let Err(words) = checked {
                say(&["reports", &n, "webhook", "secret"], words);
            }
        }
        for address in &report.to {
            if let Err(words) = mail::mailbox(address) {
                say(&["reports", &n, "to"], words);
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::clock::FakeClock;

    #[tokio::test]
    async fn nothing_is_sent_when_another_may_be_sending() {
        let clock = FakeClock::at(Timestamp(0));
        let good_until = clock.boot_ms() + 50;
        assert_eq!(in_time(good_until, &clock, async { Ok(()) }).await, Ok(()));
        let hangs = in_time(good_until, &clock, std::future::pending()).await;
        assert!(matches!(hangs, Err(CallError::Unclear { code: "E-TIMEOUT", .. })), "{hangs:?}");
        clock.advance_ms(50);
        let late = in_time(good_until, &clock, async { panic!("it is not sent") }).await;
        assert!(matches!(late, Err(CallError::Retry { code: "E-TIMEOUT", .. })), "{late:?}");
    }
}
