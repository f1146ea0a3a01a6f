//! The outcome: the request is resumed, and what the platform holds is read back where its answer is not clear.

use serde_json::{Value, json};

use super::callout::Stage;
use super::graph::Graph;
use super::settings::ResumeSettings;
use crate::http::CallError;
use crate::http::verdict::by_status;
use crate::model::Outcome;
use crate::model::completion::Completion;
use crate::source::Missing;
use crate::source::absence::one_by_one;
use crate::source::field::lookup;
use crate::source::native::words;

/// Which callout of which request an order is: what its external id says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Order<'a> {
    pub(super) request: &'a str,
    pub(super) stage: Stage,
    pub(super) instance: &'a str,
}

impl<'a> Order<'a> {
    pub(super) fn of(external_id: &'a str) -> Option<Self> {
        let mut parts = external_id.split('/');
        let (request, stage, instance) = (parts.next()?, Stage::parse(parts.next()?)?, parts.next()?);
        parts.next().is_none().then_some(Self { request, stage, instance })
    }

    fn required(external_id: &'a str) -> Result<Self, CallError> {
        let words = "its id is not the one this source makes: request, stage and callout";
        Self::of(external_id).ok_or_else(|| CallError::reject("E-CONFIG", words))
    }
}

/// What the platform holds of a callout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    /// It waits.
    Waiting,
    /// It has our answer.
    Settled,
    /// Somebody else answered, or the request ended otherwise.
    Otherwise,
    /// The requestor or an administrator took the request back.
    Cancelled,
    /// It waited in vain.
    Expired,
    Gone,
}

async fn held(graph: &Graph, order: &Order<'_>, report: Option<&str>) -> Result<Held, CallError> {
    let Some(request) = graph.request(order.request).await? else { return Ok(Held::Gone) };
    Ok(held_by(&request, order.instance, report))
}

fn held_by(request: &Value, instance: &str, report: Option<&str>) -> Held {
    let text = |of: &Value, place: &str| lookup(of, place).and_then(Value::as_str).unwrap_or_default().to_owned();
    let is = |text: &str, word: &str| text.eq_ignore_ascii_case(word);
    let state = text(request, "/state");
    let cancelled = is(&state, "canceled") || is(&state, "cancelled");
    let calls = lookup(request, "/customExtensionCalloutInstances").and_then(Value::as_array);
    let call = calls.into_iter().flatten().find(|call| text(call, "/id").eq_ignore_ascii_case(instance));
    let Some(call) = call else {
        // A platform that does not list its calls says of the whole request whether it waits.
        return match text(request, "/status") {
            _ if cancelled => Held::Cancelled,
            status if is(&status, "WaitingForCallback") => Held::Waiting,
            _ => Held::Otherwise,
        };
    };
    if report.is_some_and(|id| text(call, "/detail").contains(id)) {
        return Held::Settled;
    }
    match text(call, "/status") {
        _ if cancelled => Held::Cancelled,
        status if is(&status, "callbackTimedOut") => Held::Expired,
        status if is(&status, "waitingForCallback") || is(&status, "calloutSent") => Held::Waiting,
        _ => Held::Otherwise,
    }
}

/// Whether the outcome is known there; `false`: it still waits.
fn verdict(held: Held, completion: &Completion) -> Result<bool, CallError> {
    match held {
        Held::Waiting => Ok(false),
        Held::Settled => Ok(true),
        // There is nothing left to say of an order that was taken back.
        _ if completion.outcome == Outcome::Cancelled => Ok(true),
        Held::Cancelled => {
            Err(CallError::reject("E-DECIDED", "the request was cancelled there: compare the two and decide here"))
        }
        Held::Otherwise => {
            Err(CallError::reject("E-DECIDED", "the request was resumed there by somebody else: compare the two and decide here"))
        }
        Held::Expired => Err(CallError::reject(
            "E-DEADLINE",
            "the platform had stopped waiting when it was to be told; the outcome is kept here",
        )),
        Held::Gone => Err(CallError::reject("E-GONE", "the platform no longer has this request; the outcome is kept here")),
    }
}

/// Whether the platform holds the outcome.
pub(super) async fn confirm(graph: &Graph, completion: &Completion) -> Result<bool, CallError> {
    let order = Order::required(&completion.external_id)?;
    verdict(held(graph, &order, Some(&completion.id)).await?, completion)
}

/// Resumes the request, unless it no longer waits.
pub(super) async fn report(graph: &Graph, how: &ResumeSettings, completion: &Completion) -> Result<(), CallError> {
    let order = Order::required(&completion.external_id)?;
    if confirm(graph, completion).await.map_err(CallError::of_a_read)? {
        return Ok(());
    }
    // A request that goes on has no state of its own; at later stages there is nothing left to deny.
    let denied = !completion.success && how.deny_at.contains(&order.stage);
    let told = body(how, &order, &words(completion, how.detail_limit), denied);
    let answer = graph.resume(order.request, told).await?;
    match answer.status {
        _ if answer.is_success() => Ok(()),
        // It no longer waits, or not yet again: what it holds says which.
        404 | 409 | 410 => match confirm(graph, completion).await.map_err(CallError::of_a_read)? {
            true => Ok(()),
            false => Err(CallError::retry("E-PENDING", "the platform did not take the answer, and waits all the same")),
        },
        status => Err(by_status(status, answer.retry_after(), graph.edge(), "")),
    }
}

/// What resumes a request.
pub(super) fn body(how: &ResumeSettings, order: &Order<'_>, detail: &str, denied: bool) -> Value {
    let mut data = json!({
        "@odata.type": "microsoft.graph.accessPackageAssignmentRequestCallbackData",
        "stage": order.stage.as_str(),
        "customExtensionStageInstanceId": order.instance,
        "customExtensionStageInstanceDetail": detail,
    });
    if denied {
        data["state"] = json!("denied");
    }
    json!({
        "source": how.source,
        "type": format!("microsoft.graph.accessPackageCustomExtensionStage.{}", order.stage.as_str()),
        "data": data,
    })
}

/// A request that was cancelled, or that somebody else resumed, is not wanted any more. One that is not there, or that
/// waited in vain, may still be owed.
pub(super) async fn missing(graph: &Graph, external_ids: &[String]) -> Result<Vec<Missing>, CallError> {
    let asked = external_ids.iter().map(|external_id| async move {
        let held = match Order::of(external_id) {
            Some(order) => held(graph, &order, None).await?,
            None => Held::Gone,
        };
        Ok(match held {
            Held::Cancelled | Held::Otherwise => Missing::Withdrawn,
            Held::Waiting | Held::Settled | Held::Expired | Held::Gone => Missing::Unknown,
        })
    });
    one_by_one(asked).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_platform_holds_is_read_from_the_callout_itself() {
        let request = |state: &str, status: &str, detail: &str| {
            let calls = json!([{"id": "i-0", "status": "callbackReceived"}, {"id": "I-1", "status": status, "detail": detail}]);
            json!({"state": state, "status": "WaitingForCallback", "customExtensionCalloutInstances": calls})
        };
        let held = |state: &str, status: &str, detail: &str| held_by(&request(state, status, detail), "i-1", Some("lmr-1"));
        assert_eq!(held("submitted", "waitingForCallback", ""), Held::Waiting);
        assert_eq!(held("delivering", "callbackReceived", "Fulfilled [lmr-1]"), Held::Settled);
        assert_eq!(held("delivering", "callbackReceived", "by hand"), Held::Otherwise);
        assert_eq!(held("canceled", "waitingForCallback", ""), Held::Cancelled);
        assert_eq!(held("deliveryFailed", "callbackTimedOut", ""), Held::Expired);
        // Without the list of callouts only the whole request can be asked.
        let whole = |status: &str| held_by(&json!({"state": "submitted", "status": status}), "i-1", Some("lmr-1"));
        assert_eq!((whole("WaitingForCallback"), whole("Delivered")), (Held::Waiting, Held::Otherwise));
    }

    #[test]
    fn an_order_is_found_in_its_id_and_nowhere_else() {
        let order = Order::of("r-1/assignmentRequestApproved/i-1").unwrap();
        assert_eq!((order.request, order.stage, order.instance), ("r-1", Stage::Approved, "i-1"));
        for other in ["r-1", "r-1/assignmentRequestApproved", "r-1/anything/i-1", "r-1/assignmentRequestApproved/i-1/x"] {
            assert_eq!(Order::of(other), None, "{other}");
        }
    }
}
