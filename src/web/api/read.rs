//! What can be read.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::cursor;
use crate::kpi::report::{Asked as KpiAsked, Report};
use crate::ledger::views::{AssignmentDetail, AssignmentRow, Filter, Operations, Overview};
use crate::model::State as Stage;
use crate::web::WebState;
use crate::web::access::Reader;
use crate::web::extract::{Asked, IdIn};
use crate::web::problem::{Code, Refused};

/// Rows of a page, unless asked otherwise.
const PAGE: usize = 100;
/// Most rows of a page.
const MOST: usize = 500;

type Answer<T> = Result<Json<T>, Refused>;

/// What came in, what is open, what waits for whom.
#[utoipa::path(get, path = "/api/v1/overview", tag = "read", responses((status = 200, description = "Counts", body = Overview)))]
pub(in crate::web) async fn overview(State(state): State<WebState>, reader: Reader) -> Answer<Overview> {
    Ok(Json(state.ledger.overview(&reader.scope, state.clock.now()).await?))
}

/// Which assignments, from where on, how many.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::web) struct ListAsked {
    /// Only in this state.
    state: Option<String>,
    /// Only of this application, by id.
    application: Option<String>,
    /// Only with this admin group.
    admin_group: Option<String>,
    /// Only from this source.
    source: Option<String>,
    /// Only parked ones (true), or only others (false).
    parked: Option<bool>,
    /// Exactly this order, ticket number, key or assignment id.
    q: Option<String>,
    /// `next` of the page before, with the same filter.
    cursor: Option<String>,
    /// Most rows of this page: 1 to 500, else 100.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
}

impl ListAsked {
    /// The filter, and how many rows.
    fn filter(self, reader: &Reader) -> Result<(Filter, String, usize), Refused> {
        let bad = |words: &str| Refused::new(Code::BadRequest, words);
        let limit = self.limit.unwrap_or(PAGE);
        if !(1..=MOST).contains(&limit) {
            return Err(bad("limit: a number from 1 to 500"));
        }
        if self.state.as_deref().is_some_and(|s| Stage::parse(s).is_none()) {
            let known = Stage::ALL.map(Stage::as_str).join(", ");
            return Err(bad(&format!("state: one of {known}")));
        }
        let filter = Filter {
            states: self.state.into_iter().collect(),
            application: self.application,
            admin_group: self.admin_group,
            source: self.source,
            parked: self.parked,
            search: self.q,
            ..Filter::default()
        };
        let name = format!("{filter:?}");
        let before = match &self.cursor {
            None => None,
            Some(text) => {
                let words = "the cursor is not one that this list, with this filter, gave out";
                Some(cursor::read(text, &name).ok_or_else(|| Refused::new(Code::Cursor, words))?)
            }
        };
        Ok((Filter { before, scope: reader.scope.clone(), ..filter }, name, limit))
    }
}

/// A page of assignments.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::web) struct AssignmentPage {
    /// Newest first.
    assignments: Vec<AssignmentRow>,
    /// Cursor of the next page; none at the end.
    next: Option<String>,
}

/// Assignments, newest first. The order is that of arrival: rows that arrive while you page come before the first page
/// and shift nothing.
#[utoipa::path(get, path = "/api/v1/assignments", tag = "read", params(ListAsked),
    responses((status = 200, description = "A page", body = AssignmentPage)))]
pub(in crate::web) async fn assignments(
    State(state): State<WebState>,
    reader: Reader,
    Asked(asked): Asked<ListAsked>,
) -> Answer<AssignmentPage> {
    let (filter, name, limit) = asked.filter(&reader)?;
    // One more than asked for tells whether there is a next page.
    let mut rows = state.ledger.assignments(&filter, reader.sees_names(), limit + 1).await?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(|last| cursor::after(last.id, &name));
    Ok(Json(AssignmentPage { assignments: rows, next }))
}

/// One assignment with its tickets, its calls and its timeline.
#[utoipa::path(get, path = "/api/v1/assignments/{id}", tag = "read", params(("id" = String, Path, description = "Its id")),
    responses((status = 200, description = "The assignment", body = AssignmentDetail)))]
pub(in crate::web) async fn assignment(
    State(state): State<WebState>,
    reader: Reader,
    IdIn(id): IdIn,
) -> Answer<AssignmentDetail> {
    let found = state.ledger.assignment(id, &reader.scope, reader.sees_names()).await?;
    found.map(Json).ok_or_else(|| Refused::new(Code::NoSuchAssignment, "there is no such assignment"))
}

/// What a person must look at: the longest waiting first, at most 100 of each kind (the overview counts all).
#[utoipa::path(get, path = "/api/v1/operations", tag = "read", responses((status = 200, description = "Lists", body = Operations)))]
pub(in crate::web) async fn operations(State(state): State<WebState>, reader: Reader) -> Answer<Operations> {
    Ok(Json(state.ledger.operations(&reader.scope, reader.sees_names(), PAGE).await?))
}

/// Approval time and provisioning time, apart, of what was closed in the last days; and the backlog by age.
#[utoipa::path(get, path = "/api/v1/kpi", tag = "read", params(KpiAsked),
    responses((status = 200, description = "Measures", body = Report)))]
pub(in crate::web) async fn kpi(State(state): State<WebState>, reader: Reader, Asked(asked): Asked<KpiAsked>) -> Answer<Report> {
    Ok(Json(Report::of(&*state.ledger, &reader.scope, &asked, state.clock.now()).await?))
}
