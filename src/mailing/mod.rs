//! Reports sent by a schedule. The ledger holds which time of which schedule is claimed and sent, so that each is sent
//! once, whatever stops in between; what fails is tried again until the next one is due.

mod content;
mod hook;
mod mail;

use crate::catalog::{Catalog, Problem, ScheduledReport};
use crate::http::CallError;
use crate::ledger::exports::{Claimed, DeliveryClaim, DeliveryEnd, DeliveryRow, Export};
use crate::ledger::{Ledger, LedgerResult};
use crate::model::key::stable_id;
use crate::model::{Clock, Timestamp, random};

pub use content::{Prepared, prepare};

/// How long preparing and sending may take before another process may try: much longer than they do, and than the
/// time-outs on the way as they come. What takes longer all the same (a large `[mail] timeout`, a ledger that is slow) may
/// come twice.
const LEASE_MS: i64 = 600_000;

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
    let claim = DeliveryClaim { report: key.clone(), due_at, now, lease_ms: LEASE_MS };
    let Some(claimed) = ledger.claim_delivery(claim).await? else { return Ok(Step::Nothing) };
    if claimed.missed > 0 {
        metrics::counter!("lastmile_reports_missed_total", "report" => key.clone()).increment(claimed.missed.unsigned_abs());
        tracing::warn!(report = key, times = claimed.missed, "was not sent before the next one was due; only that one is sent");
    }
    let sent = match prepare(ledger, catalog, report, claimed.due_at, now).await {
        Ok(prepared) => send(catalog, report, way, &prepared, &id(catalog, &key, claimed.due_at), now).await,
        Err(content::Unprepared::Ledger(error)) => {
            let late = CallError::retry("E-LEDGER", "the ledger did not answer");
            settle(ledger, catalog, &key, &claimed, Err(late), clock.now()).await?;
            return Err(error);
        }
        Err(content::Unprepared::Workbook(error)) => Err(CallError::reject("E-TOO-LARGE", error.to_string())),
    };
    if sent.is_ok() {
        let (what, asked) = (format!("report {}", report.name), format!("due {}", claimed.due_at.iso()));
        let export = Export {
            at: clock.now(),
            actor: key.clone(),
            what,
            form: way.as_str().to_owned(),
            asked,
            items: 1,
            names: false,
            digest: None,
        };
        ledger.note_export(export).await?;
    }
    settle(ledger, catalog, &key, &claimed, sent, clock.now()).await
}

async fn settle(
    ledger: &dyn Ledger,
    catalog: &Catalog,
    key: &str,
    claimed: &Claimed,
    sent: Result<(), CallError>,
    now: Timestamp,
) -> LedgerResult<Step> {
    let labels = [("report", key.to_owned())];
    let Err(error) = sent else {
        ledger.settle_delivery(key, claimed, DeliveryEnd::Sent, now).await?;
        metrics::counter!("lastmile_reports_sent_total", &labels).increment(1);
        metrics::gauge!("lastmile_report_failing", &labels).set(0.0);
        tracing::info!(report = key, due = claimed.due_at.iso(), "sent");
        return Ok(Step::Sent);
    };
    let failures = u32::try_from(claimed.failures + 1).unwrap_or(u32::MAX);
    // What is refused for good is tried again, too: whoever mends the configuration need not remember to send it.
    let wait = catalog.main.retry.schedule().wait_ms(failures, error.asked_ms(), random::u64());
    let (code, reason) = (error.code().to_owned(), error.reason().to_owned());
    let end = DeliveryEnd::Failed { next_at: now.plus_ms(wait), code: code.clone(), reason };
    ledger.settle_delivery(key, claimed, end, now).await?;
    metrics::gauge!("lastmile_report_failing", &labels).set(1.0);
    if failures == 1 {
        tracing::warn!(report = key, code, "could not be sent; it is tried again until the next one is due");
    }
    Ok(Step::Failed(code))
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
