//! What can be read.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::cursor;
use crate::flow::reconcile::Summary;
use crate::kpi::export::CaseRow;
use crate::kpi::report::{Asked as KpiAsked, MOST_BEHIND, Report};
use crate::kpi::timing::{Listed, Timing, measured};
use crate::ledger::views::{AssignmentDetail, ErrandRow, Filter, FindingRow, Operations, Overview, QuarantineRow, Troubled};
use crate::model::{Id, State as Stage};
use crate::web::WebState;
use crate::web::access::Reader;
use crate::web::extract::{Asked, IdIn};
use crate::web::pages::comparisons;
use crate::web::problem::{Code, Refused};

/// Rows of a page, unless asked otherwise.
const PAGE: usize = 100;
/// Most rows of a page.
const MOST: usize = 500;

pub(super) type Answer<T> = Result<Json<T>, Refused>;

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
        let limit = page_of(self.limit)?;
        if self.state.as_deref().is_some_and(|s| Stage::parse(s).is_none()) {
            let known = Stage::ALL.map(Stage::as_str).join(", ");
            return Err(Refused::new(Code::BadRequest, format!("state: one of {known}")));
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
        let before = place_of(self.cursor.as_deref(), &name)?;
        Ok((Filter { before, scope: reader.scope.clone(), ..filter }, name, limit))
    }
}

/// How many rows a page shall have.
fn page_of(limit: Option<usize>) -> Result<usize, Refused> {
    let limit = limit.unwrap_or(PAGE);
    let fits = (1..=MOST).contains(&limit);
    fits.then_some(limit).ok_or_else(|| Refused::new(Code::BadRequest, "limit: a number from 1 to 500"))
}

/// Where a list goes on.
fn place_of(cursor: Option<&str>, filter: &str) -> Result<Option<Id>, Refused> {
    let words = "the cursor is not one that this list, with this filter, gave out";
    let read = |text| cursor::read(text, filter).ok_or_else(|| Refused::new(Code::Cursor, words));
    cursor.map(read).transpose()
}

/// Cuts a page of one row more than asked for; the cursor of the next page, where there is one.
fn cut<T>(rows: &mut Vec<T>, limit: usize, filter: &str, id_of: impl Fn(&T) -> Id) -> Option<String> {
    let more = rows.len() > limit;
    rows.truncate(limit);
    rows.last().filter(|_| more).map(|last| cursor::after(id_of(last), filter))
}

/// A page of assignments.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::web) struct AssignmentPage {
    /// Newest first.
    assignments: Vec<Listed>,
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
    let mut rows = state.ledger.assignments(&filter, reader.sees_names(), limit + 1).await?;
    let next = cut(&mut rows, limit, &name, |row| row.id);
    let (setup, now) = (state.setup.load_full(), state.clock.now());
    let ids: Vec<Id> = rows.iter().map(|row| row.id).collect();
    let cases = measured(&*state.ledger, &setup.catalog, &ids, now).await?;
    let assignments = rows.into_iter().map(|row| Listed::of(row, &cases, now)).collect();
    Ok(Json(AssignmentPage { assignments, next }))
}

/// One assignment, and how long it took.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::web) struct TimedAssignment {
    /// The assignment.
    #[serde(flatten)]
    detail: AssignmentDetail,
    /// Its times by both clocks, and its target.
    timing: Timing,
    /// What its platform is not told of it, and only shown here.
    shown_here_only: Vec<&'static str>,
}

/// One assignment with its tickets, its calls and its timeline; its times by both clocks, and its target.
#[utoipa::path(get, path = "/api/v1/assignments/{id}", tag = "read", params(("id" = String, Path, description = "Its id")),
    responses((status = 200, description = "The assignment", body = TimedAssignment)))]
pub(in crate::web) async fn assignment(State(state): State<WebState>, reader: Reader, IdIn(id): IdIn) -> Answer<TimedAssignment> {
    let found = state.ledger.assignment(id, &reader.scope, reader.sees_names()).await?;
    let detail = found.ok_or_else(|| Refused::new(Code::NoSuchAssignment, "there is no such assignment"))?;
    let (_, forecast) = state.ledger.case(id).await?;
    let (setup, now) = (state.setup.load_full(), state.clock.now());
    let case = measured(&*state.ledger, &setup.catalog, &[id], now).await?.remove(&id).unwrap_or_default();
    let timing = Timing::of(&detail.row, &case, forecast, &setup.catalog, now);
    let source = setup.sources.get(&detail.row.source);
    let shown_here_only = source.map(|s| s.info().capabilities.shown_here_only()).unwrap_or_default();
    Ok(Json(TimedAssignment { detail, timing, shown_here_only }))
}

/// What a person must look at: the longest waiting first, at most 100 of each kind; `/api/v1/errands`,
/// `/api/v1/quarantine` and `/api/v1/assignments?parked=true` page through all.
#[utoipa::path(get, path = "/api/v1/operations", tag = "read", responses((status = 200, description = "Lists", body = Operations)))]
pub(in crate::web) async fn operations(State(state): State<WebState>, reader: Reader) -> Answer<Operations> {
    Ok(Json(state.ledger.operations(&reader.scope, reader.sees_names(), PAGE).await?))
}

/// Where platform, ledger and desks disagree.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::web) struct Comparison {
    /// What disagrees, oldest first; at most 500.
    findings: Vec<FindingRow>,
    /// When each desk and platform was compared last; none for readers of some applications.
    edges: Vec<Summary>,
}

/// Where platform, ledger and desks disagree, as the last comparison found it.
#[utoipa::path(get, path = "/api/v1/reconcile", tag = "read",
    responses((status = 200, description = "Findings", body = Comparison)))]
pub(in crate::web) async fn reconcile(State(state): State<WebState>, reader: Reader) -> Answer<Comparison> {
    let findings = state.ledger.findings(&reader.scope, MOST).await?;
    let edges = if reader.scope.is_none() { comparisons(&state).await? } else { Vec::new() };
    Ok(Json(Comparison { findings, edges }))
}

/// Which errands.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::web) struct ErrandsAsked {
    /// Parked, unclear, or failing and tried again.
    #[param(inline)]
    which: Troubled,
    /// `next` of the page before, of the same list.
    cursor: Option<String>,
    /// Most rows of this page: 1 to 500, else 100.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
}

/// A page of errands.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::web) struct ErrandPage {
    /// Oldest first.
    errands: Vec<ErrandRow>,
    /// Cursor of the next page; none at the end.
    next: Option<String>,
}

/// Calls that wait for a person, are unclear, or fail and are tried again: oldest first.
#[utoipa::path(get, path = "/api/v1/errands", tag = "read", params(ErrandsAsked),
    responses((status = 200, description = "A page", body = ErrandPage)))]
pub(in crate::web) async fn errands(
    State(state): State<WebState>,
    reader: Reader,
    Asked(asked): Asked<ErrandsAsked>,
) -> Answer<ErrandPage> {
    let (limit, name) = (page_of(asked.limit)?, format!("errands {:?}", asked.which));
    let after = place_of(asked.cursor.as_deref(), &name)?;
    let mut errands = state.ledger.errands(asked.which, &reader.scope, reader.sees_names(), after, limit + 1).await?;
    let next = cut(&mut errands, limit, &name, |row| row.id);
    Ok(Json(ErrandPage { errands, next }))
}

/// How far a list is read.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::web) struct PageAsked {
    /// `next` of the page before.
    cursor: Option<String>,
    /// Most rows of this page: 1 to 500, else 100.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
}

/// A page of quarantined events.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::web) struct QuarantinePage {
    /// Oldest first.
    quarantined: Vec<QuarantineRow>,
    /// Cursor of the next page; none at the end.
    next: Option<String>,
}

/// Events that no mapping understood: oldest first. They belong to no application, so readers of some see none.
#[utoipa::path(get, path = "/api/v1/quarantine", tag = "read", params(PageAsked),
    responses((status = 200, description = "A page", body = QuarantinePage)))]
pub(in crate::web) async fn quarantine(
    State(state): State<WebState>,
    reader: Reader,
    Asked(asked): Asked<PageAsked>,
) -> Answer<QuarantinePage> {
    let (limit, name) = (page_of(asked.limit)?, "quarantine");
    let after = place_of(asked.cursor.as_deref(), name)?;
    let mut quarantined = state.ledger.quarantine(&reader.scope, reader.sees_names(), after, limit + 1).await?;
    let next = cut(&mut quarantined, limit, name, |row| row.id);
    Ok(Json(QuarantinePage { quarantined, next }))
}

/// All measures of docs/kpis.md, by both clocks, of what was closed in the last days (days of UTC, today included): for all,
/// by application, admin group, operation and desk; the trend; and the backlog by age. Read from sums that are kept: `as_of`
/// says until when they are true.
#[utoipa::path(get, path = "/api/v1/kpi", tag = "read", params(KpiAsked),
    responses((status = 200, description = "Measures", body = Report)))]
pub(in crate::web) async fn kpi(State(state): State<WebState>, reader: Reader, Asked(asked): Asked<KpiAsked>) -> Answer<Report> {
    let setup = state.setup.load_full();
    Ok(Json(Report::of(&*state.ledger, &setup.catalog, &reader.scope, &asked, state.clock.now()).await?))
}

/// Assignments behind the figures.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::web) struct CasePage {
    /// Latest closing first; open ones longest waiting first.
    assignments: Vec<CaseRow>,
    /// Only so many were looked at; there may be others.
    cut: bool,
}

/// The assignments behind a figure, as `which` says; of more than 50000, the latest. No person is in it;
/// `/kpi/assignments.csv` takes the same query and answers the same as CSV, `/kpi.csv` the figures.
#[utoipa::path(get, path = "/api/v1/kpi/assignments", tag = "read", params(KpiAsked),
    responses((status = 200, description = "The assignments", body = CasePage)))]
pub(in crate::web) async fn kpi_assignments(
    State(state): State<WebState>,
    reader: Reader,
    Asked(asked): Asked<KpiAsked>,
) -> Answer<CasePage> {
    let (assignments, cut) = crate::web::pages::behind::rows(&state, &reader, &asked, MOST_BEHIND).await?;
    Ok(Json(CasePage { assignments, cut }))
}
