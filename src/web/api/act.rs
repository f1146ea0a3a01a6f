//! What operators do. Every call sends JSON, `{}` where there is nothing to say: a form of another site cannot.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ledger::{Action, Recorded};
use crate::model::{Id, Outcome};
use crate::web::WebState;
use crate::web::access::Reader;
use crate::web::actions::{Deed, Did, carry_out, compare, ticket_is};
use crate::web::extract::{IdIn, Sent};
use crate::web::problem::{Code, Refused};

/// Longest reason, in characters.
const LONGEST_REASON: usize = 2000;
/// Longest id or number of a ticket, in characters.
const LONGEST_ID: usize = 200;

/// Nothing to say.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct Nothing {}

/// What became of it.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::web) struct Carried {
    /// `done`; for a replay: `new`, `repeat`, `unchanged`, `changed`, `withdrawn` or `unknown_order`.
    result: &'static str,
    /// The assignment that a replay made or found.
    #[schema(value_type = Option<String>)]
    assignment: Option<Id>,
}

type Answer = Result<Json<Carried>, Refused>;

async fn answer(state: &WebState, reader: &Reader, deed: Deed) -> Answer {
    let (result, assignment) = match carry_out(state, reader, deed).await? {
        Did::Done => ("done", None),
        Did::Replayed(Recorded::New { id }) => ("new", Some(id)),
        Did::Replayed(Recorded::Repeat { id }) => ("repeat", id),
        Did::Replayed(Recorded::Unchanged { id }) => ("unchanged", Some(id)),
        Did::Replayed(Recorded::Changed { id, .. }) => ("changed", Some(id)),
        Did::Replayed(Recorded::Withdrawn { .. }) => ("withdrawn", None),
        Did::Replayed(Recorded::Seen { .. }) => ("seen", None),
        Did::Replayed(Recorded::UnknownOrder) => ("unknown_order", None),
        Did::Replayed(Recorded::Conflict | Recorded::Quarantined { .. }) => {
            return Err(Refused::new(Code::NotNow, "it still does not map"));
        }
    };
    Ok(Json(Carried { result, assignment }))
}

/// Lifts the mark of a parked assignment: it is planned again, or looked at again.
#[utoipa::path(post, path = "/api/v1/assignments/{id}/unpark", tag = "act", request_body = Nothing,
    params(("id" = String, Path, description = "The assignment")),
    responses((status = 200, description = "Carried out", body = Carried)))]
pub(in crate::web) async fn unpark(
    State(state): State<WebState>,
    reader: Reader,
    IdIn(assignment): IdIn,
    Sent(Nothing {}): Sent<Nothing>,
) -> Answer {
    answer(&state, &reader, Deed::Act(Action::Unpark { assignment })).await
}

/// An outcome by hand.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct Decision {
    /// The outcome that the platform hears.
    outcome: Outcome,
    /// Why; the platform hears it, and it is erased with the names.
    #[schema(min_length = 1, max_length = 2000)]
    reason: String,
}

/// Gives an assignment an outcome by hand.
#[utoipa::path(post, path = "/api/v1/assignments/{id}/decide", tag = "act", request_body = Decision,
    params(("id" = String, Path, description = "The assignment")),
    responses((status = 200, description = "Carried out", body = Carried)))]
pub(in crate::web) async fn decide(
    State(state): State<WebState>,
    reader: Reader,
    IdIn(assignment): IdIn,
    Sent(Decision { outcome, reason }): Sent<Decision>,
) -> Answer {
    let reason = short(&reason, "reason", LONGEST_REASON)?;
    answer(&state, &reader, Deed::Act(Action::Decide { assignment, outcome, reason })).await
}

/// Tries a parked call again.
#[utoipa::path(post, path = "/api/v1/errands/{id}/retry", tag = "act", request_body = Nothing,
    params(("id" = String, Path, description = "The errand")),
    responses((status = 200, description = "Carried out", body = Carried)))]
pub(in crate::web) async fn retry(
    State(state): State<WebState>,
    reader: Reader,
    IdIn(errand): IdIn,
    Sent(Nothing {}): Sent<Nothing>,
) -> Answer {
    answer(&state, &reader, Deed::Act(Action::RetryErrand { errand })).await
}

/// A ticket on the desk.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct Ticket {
    /// The desk's id of it.
    #[schema(min_length = 1, max_length = 200)]
    id: String,
    /// The number people see, where that is another.
    #[serde(default)]
    number: String,
}

/// Says which ticket an unclear create did make.
#[utoipa::path(post, path = "/api/v1/errands/{id}/ticket", tag = "act", request_body = Ticket,
    params(("id" = String, Path, description = "The errand")),
    responses((status = 200, description = "Carried out", body = Carried)))]
pub(in crate::web) async fn ticket(
    State(state): State<WebState>,
    reader: Reader,
    IdIn(errand): IdIn,
    Sent(Ticket { id, number }): Sent<Ticket>,
) -> Answer {
    let id = short(&id, "id", LONGEST_ID)?;
    answer(&state, &reader, Deed::Act(ticket_is(errand, &id, &number))).await
}

/// Says that an unclear create certainly made no ticket: it is sent again. A wrong word here doubles the ticket.
#[utoipa::path(post, path = "/api/v1/errands/{id}/no-ticket", tag = "act", request_body = Nothing,
    params(("id" = String, Path, description = "The errand")),
    responses((status = 200, description = "Carried out", body = Carried)))]
pub(in crate::web) async fn no_ticket(
    State(state): State<WebState>,
    reader: Reader,
    IdIn(errand): IdIn,
    Sent(Nothing {}): Sent<Nothing>,
) -> Answer {
    answer(&state, &reader, Deed::Act(Action::NoTicket { errand })).await
}

/// Lets a parked comment, closing or report go: it is not sent any more, and its order stays as it is.
#[utoipa::path(post, path = "/api/v1/errands/{id}/drop", tag = "act", request_body = Nothing,
    params(("id" = String, Path, description = "The errand")),
    responses((status = 200, description = "Carried out", body = Carried)))]
pub(in crate::web) async fn drop_errand(
    State(state): State<WebState>,
    reader: Reader,
    IdIn(errand): IdIn,
    Sent(Nothing {}): Sent<Nothing>,
) -> Answer {
    answer(&state, &reader, Deed::Act(Action::Drop { errand })).await
}

/// Maps a quarantined event afresh.
#[utoipa::path(post, path = "/api/v1/quarantine/{id}/replay", tag = "act", request_body = Nothing,
    params(("id" = String, Path, description = "The quarantined event")),
    responses((status = 200, description = "Carried out", body = Carried)))]
pub(in crate::web) async fn replay(
    State(state): State<WebState>,
    reader: Reader,
    IdIn(event): IdIn,
    Sent(Nothing {}): Sent<Nothing>,
) -> Answer {
    answer(&state, &reader, Deed::Replay(event)).await
}

/// Mends what the comparison found, as its `repair` says. What the desk says now is looked at before.
#[utoipa::path(post, path = "/api/v1/findings/{id}/repair", tag = "act", request_body = Nothing,
    params(("id" = String, Path, description = "The finding")),
    responses((status = 200, description = "Carried out", body = Carried)))]
pub(in crate::web) async fn repair(
    State(state): State<WebState>,
    reader: Reader,
    IdIn(finding): IdIn,
    Sent(Nothing {}): Sent<Nothing>,
) -> Answer {
    answer(&state, &reader, Deed::Act(Action::Repair { finding })).await
}

/// Dismisses what the comparison found: it is as it shall be, or is mended elsewhere. It is not shown again.
#[utoipa::path(post, path = "/api/v1/findings/{id}/dismiss", tag = "act", request_body = Nothing,
    params(("id" = String, Path, description = "The finding")),
    responses((status = 200, description = "Carried out", body = Carried)))]
pub(in crate::web) async fn dismiss(
    State(state): State<WebState>,
    reader: Reader,
    IdIn(finding): IdIn,
    Sent(Nothing {}): Sent<Nothing>,
) -> Answer {
    answer(&state, &reader, Deed::Act(Action::Dismiss { finding })).await
}

/// Begins to compare platform, ledger and desks, where no comparison is under way: a step every half second per desk and
/// platform, so that none of them feels it. `GET` tells when it is complete.
#[utoipa::path(post, path = "/api/v1/reconcile", tag = "act", request_body = Nothing,
    responses((status = 200, description = "Begun", body = Carried)))]
pub(in crate::web) async fn begin_reconcile(
    State(state): State<WebState>,
    reader: Reader,
    Sent(Nothing {}): Sent<Nothing>,
) -> Answer {
    compare(&state, &reader).await?;
    Ok(Json(Carried { result: "done", assignment: None }))
}

/// Throws a quarantined event away.
#[utoipa::path(post, path = "/api/v1/quarantine/{id}/discard", tag = "act", request_body = Nothing,
    params(("id" = String, Path, description = "The quarantined event")),
    responses((status = 200, description = "Carried out", body = Carried)))]
pub(in crate::web) async fn discard(
    State(state): State<WebState>,
    reader: Reader,
    IdIn(quarantined): IdIn,
    Sent(Nothing {}): Sent<Nothing>,
) -> Answer {
    answer(&state, &reader, Deed::Act(Action::Discard { quarantined })).await
}

/// Something was said, and not a novel.
fn short(text: &str, name: &str, longest: usize) -> Result<String, Refused> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > longest {
        return Err(Refused::new(Code::Unprocessable, format!("{name}: 1 to {longest} characters")));
    }
    Ok(text.to_owned())
}
