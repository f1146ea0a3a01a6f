//! What operators do, on the page and through the API alike: within their scope, under their name.

use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::access::Reader;
use super::extract::SignedForm;
use super::problem::{Code, Refused};
use super::{WebState, Woken};
use crate::flow::reconcile;
use crate::flow::sync::SyncError;
use crate::ledger::{Acted, Action, Recorded};
use crate::model::{Id, Outcome};

/// What an operator wants done.
pub(super) enum Deed {
    /// In the ledger alone.
    Act(Action),
    /// A quarantined event mapped afresh.
    Replay(Id),
}

/// What became of it.
pub(super) enum Did {
    Done,
    Replayed(Recorded),
}

/// Carries it out.
pub(super) async fn carry_out(state: &WebState, reader: &Reader, deed: Deed) -> Result<Did, Refused> {
    if !reader.may_act() {
        return Err(Refused::new(Code::Role, "only operators may act"));
    }
    let missing = match &deed {
        Deed::Act(Action::Discard { .. }) | Deed::Replay(_) => {
            Refused::new(Code::NoSuchEvent, "there is no such quarantined event")
        }
        Deed::Act(Action::Unpark { .. } | Action::Decide { .. }) => {
            Refused::new(Code::NoSuchAssignment, "there is no such assignment")
        }
        Deed::Act(Action::Repair { .. } | Action::Dismiss { .. }) => {
            Refused::new(Code::NoSuchFinding, "there is no such finding")
        }
        Deed::Act(_) => Refused::new(Code::NoSuchErrand, "there is no such errand"),
    };
    let did = match deed {
        Deed::Act(action) => {
            // Out of scope and not there are told alike: nobody learns which ids exist elsewhere.
            if !reader.covers(&state.ledger.concerns(&action).await?) {
                return Err(missing);
            }
            match acted(state, reader, action).await? {
                Acted::Done => Did::Done,
                Acted::NotFound => return Err(missing),
                Acted::NotNow(why) => return Err(Refused::new(Code::NotNow, why)),
            }
        }
        Deed::Replay(id) => {
            if !reader.covers(&[]) {
                return Err(missing);
            }
            Did::Replayed(replay(state, reader, id, missing).await?)
        }
    };
    (state.wake)(Woken::All);
    Ok(did)
}

async fn acted(state: &WebState, reader: &Reader, action: Action) -> Result<Acted, Refused> {
    let Action::Repair { finding } = action else {
        return Ok(state.ledger.act(action, &reader.name, state.clock.now()).await?);
    };
    let setup = state.setup.load_full();
    match reconcile::repair(&*state.ledger, &setup, finding, &reader.name, &state.pauses, &*state.clock).await {
        Ok(acted) => Ok(acted),
        Err(SyncError::Ledger(error)) => Err(error.into()),
        Err(SyncError::Call(error)) => {
            Ok(Acted::NotNow(format!("the desk could not be asked whether it still is so ({})", error.code())))
        }
    }
}

/// Begins a comparison of every edge where none is under way.
pub(super) async fn compare(state: &WebState, reader: &Reader) -> Result<(), Refused> {
    if !reader.may_act() || reader.scope.is_some() {
        return Err(Refused::new(Code::Role, "only operators of every application may compare"));
    }
    for edge in state.setup.load_full().edges() {
        reconcile::begin(&*state.ledger, &edge, state.clock.now()).await?;
    }
    Ok(())
}

async fn replay(state: &WebState, reader: &Reader, id: Id, missing: Refused) -> Result<Recorded, Refused> {
    use crate::flow::intake::IntakeError;
    let setup = state.setup.load_full();
    match crate::flow::intake::replay(&*state.ledger, &setup, id, &reader.name, state.clock.now()).await {
        Ok(Some(Recorded::Quarantined { .. })) => {
            Err(Refused::new(Code::NotNow, "it still does not map; mend the mapping of its source, then try again"))
        }
        Ok(Some(recorded)) => Ok(recorded),
        Ok(None) => Err(missing),
        Err(IntakeError::Ledger(error)) => Err(error.into()),
        Err(IntakeError::Refused(refusal)) => Err(Refused::new(Code::NotNow, refusal.to_string())),
    }
}

/// A form of the operations page.
#[derive(Debug, Deserialize)]
pub(super) struct Act {
    action: String,
    #[serde(default)]
    id: String,
    #[serde(default)]
    outcome: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    ref_id: String,
    #[serde(default)]
    ref_number: String,
}

impl Act {
    fn deed(&self) -> Result<Deed, String> {
        let id: Id = self.id.parse().map_err(|e: crate::model::id::BadId| e.to_string())?;
        Ok(Deed::Act(match self.action.as_str() {
            "replay" => return Ok(Deed::Replay(id)),
            "retry_errand" => Action::RetryErrand { errand: id },
            "unpark" => Action::Unpark { assignment: id },
            "no_ticket" => Action::NoTicket { errand: id },
            "drop" => Action::Drop { errand: id },
            "ticket_is" if !self.ref_id.is_empty() => ticket_is(id, &self.ref_id, &self.ref_number),
            "decide" if !self.reason.is_empty() => {
                let outcome = Outcome::parse(&self.outcome).ok_or("choose an outcome")?;
                Action::Decide { assignment: id, outcome, reason: self.reason.clone() }
            }
            "repair" => Action::Repair { finding: id },
            "dismiss" => Action::Dismiss { finding: id },
            "discard" => Action::Discard { quarantined: id },
            "ticket_is" => return Err("say which ticket it is".to_owned()),
            "decide" => return Err("say why".to_owned()),
            other => return Err(format!("there is no action `{}`", other.chars().take(30).collect::<String>())),
        }))
    }
}

/// A desk without separate numbers shows its ids to people.
pub(super) fn ticket_is(errand: Id, ref_id: &str, number: &str) -> Action {
    let number = if number.is_empty() { ref_id } else { number };
    Action::TicketIs { errand, ref_id: ref_id.to_owned(), ref_number: number.to_owned() }
}

/// The operations page's forms end here; the page says what became of it.
pub(super) async fn act(State(state): State<WebState>, SignedForm(reader, form): SignedForm<Act>) -> Result<Response, Refused> {
    if form.action == "compare" {
        compare(&state, &reader).await?;
        return Ok(said("The comparison runs; what it finds stands here."));
    }
    let deed = form.deed().map_err(|words| Refused::new(Code::Unprocessable, words))?;
    let words = match carry_out(&state, &reader, deed).await {
        Ok(Did::Done) => "Done.".to_owned(),
        Ok(Did::Replayed(_)) => "It was taken.".to_owned(),
        Err(refused) if refused.code == Code::NotNow => format!("Not done: {}.", refused.detail),
        Err(refused)
            if matches!(refused.code, Code::NoSuchEvent | Code::NoSuchAssignment | Code::NoSuchErrand | Code::NoSuchFinding) =>
        {
            "It is no longer there.".to_owned()
        }
        Err(refused) => return Err(refused),
    };
    Ok(said(&words))
}

fn said(words: &str) -> Response {
    let query: String = url::form_urlencoded::byte_serialize(words.as_bytes()).collect();
    Redirect::to(&format!("/operations?q={query}")).into_response()
}
