//! The outcome: one work item completed, and what the case then holds read back.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::api::{Api, Completed};
use super::case;
use super::settings::CompleteSettings;
use crate::http::CallError;
use crate::model::Outcome;
use crate::model::completion::Completion;
use crate::source::Missing;
use crate::source::absence::one_by_one;
use crate::source::native::words;

/// What the platform holds of an order.
enum Held {
    /// It waits; this work item can be completed.
    Waiting(Option<u64>),
    /// It has our outcome, or agrees with it.
    Settled,
    /// It ended otherwise, in words.
    Otherwise(&'static str),
    Gone,
}

async fn held(api: &Api, completion: &Completion) -> Result<Held, CallError> {
    let Some(found) = api.case(&completion.external_id).await? else { return Ok(Held::Gone) };
    if case::carries(&found, &completion.id) {
        return Ok(Held::Settled);
    }
    if case::is_open(&found) {
        return Ok(Held::Waiting(case::open_item(&found)));
    }
    // There is nothing left to say of an order that was taken back.
    let cancelled = completion.outcome == Outcome::Cancelled;
    Ok(match case::ended_well(&found) {
        _ if cancelled => Held::Settled,
        Some(done) if done == completion.success => Held::Settled,
        Some(_) => Held::Otherwise("the case was completed there with another outcome: compare the two and decide here"),
        None => Held::Otherwise("the case was closed there without an outcome: compare the two and decide here"),
    })
}

fn gone(completion: &Completion) -> Result<bool, CallError> {
    if completion.outcome == Outcome::Cancelled {
        return Ok(true);
    }
    Err(CallError::reject("E-GONE", "the platform no longer has this case; the outcome is kept here"))
}

/// Whether the platform holds the outcome.
pub(super) async fn confirm(api: &Api, completion: &Completion) -> Result<bool, CallError> {
    match held(api, completion).await? {
        Held::Waiting(_) => Ok(false),
        Held::Settled => Ok(true),
        Held::Otherwise(reason) => Err(CallError::reject("E-DECIDED", reason)),
        Held::Gone => gone(completion),
    }
}

/// Completes the lowest open work item, unless the case has ended; then asks what the case holds.
pub(super) async fn report(api: &Api, how: &CompleteSettings, completion: &Completion) -> Result<(), CallError> {
    let item = match held(api, completion).await.map_err(CallError::of_a_read)? {
        Held::Waiting(Some(item)) => item,
        Held::Waiting(None) => return Err(CallError::retry("E-PENDING", "the case has no open work item yet")),
        Held::Settled => return Ok(()),
        Held::Otherwise(reason) => return Err(CallError::reject("E-DECIDED", reason)),
        Held::Gone => return gone(completion).map(drop),
    };
    match api.complete(&completion.external_id, item, output(how, completion)).await? {
        Completed::NoCase => return gone(completion).map(drop),
        // Somebody else completed it between our two calls, or its number is another one now: the case says which.
        Completed::NoItem => {
            return match confirm(api, completion).await.map_err(CallError::of_a_read)? {
                true => Ok(()),
                false => Err(CallError::retry("E-PENDING", "the work item is not there any more; the case is read again")),
            };
        }
        Completed::Taken => {}
    }
    match confirm(api, completion).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(CallError::unclear("E-PENDING", "the case does not show the outcome yet; asking again")),
        Err(CallError::Retry { code, reason, .. }) => Err(CallError::Unclear { code, reason }),
        Err(error) => Err(error),
    }
}

/// A case that no longer waits was withdrawn, or settled without us. One that is not there was cleaned up: the work may
/// still be owed.
pub(super) async fn missing(api: &Api, oids: &[String]) -> Result<Vec<Missing>, CallError> {
    let asked = oids.iter().map(|oid| async move {
        let closed = api.case(oid).await?.is_some_and(|found| !case::is_open(&found));
        Ok(if closed { Missing::Withdrawn } else { Missing::Unknown })
    });
    one_by_one(asked).await
}

fn output(how: &CompleteSettings, completion: &Completion) -> Value {
    let mut output = json!({
        "@type": "c:AbstractWorkItemOutputType",
        "outcome": if completion.success { &how.success } else { &how.failure },
        "comment": words(completion, how.comment_limit),
    });
    if how.evidence {
        output["evidence"] = json!(STANDARD.encode(evidence(completion)));
        output["evidenceFilename"] = json!(format!("{}.txt", completion.ticket.as_deref().unwrap_or(&completion.id)));
        output["evidenceContentType"] = json!("text/plain; charset=utf-8");
    }
    output
}

/// The ticket's data, as a text that an auditor can read in the platform.
fn evidence(completion: &Completion) -> String {
    let closer = completion.closed_by.as_ref().map(|p| p.name.clone().unwrap_or_else(|| p.id.clone()));
    let lines = [
        ("Outcome", Some(completion.outcome.human().to_owned())),
        ("Reason", completion.reason.clone()),
        ("Words", completion.words.clone()),
        ("Ticket", completion.ticket.clone()),
        ("Address", completion.ticket_url.clone()),
        ("Desk", completion.desk.clone()),
        ("Closed by", closer),
        ("Filed at", completion.filed_at_iso.clone()),
        ("Work began at", completion.started_at_iso.clone()),
        ("Closed at", completion.closed_at_iso.clone()),
        ("Seen at", Some(completion.seen_at_iso.clone())),
        ("Order", Some(completion.natural_key.clone())),
        ("Report", Some(completion.id.clone())),
    ];
    let lines = lines.into_iter().filter_map(|(name, value)| Some(format!("{name}: {}\n", value?)));
    let files = completion.evidence.iter().map(|file| match &file.url {
        Some(url) => format!("File: {} {url}\n", file.name),
        None => format!("File: {}\n", file.name),
    });
    lines.chain(files).collect()
}
