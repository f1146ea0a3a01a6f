//! The same as JSON, for machines.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::access::Reader;
use super::pages::{KpiQuery, ListQuery, kpi_data};
use super::{WebState, problem};
use crate::ledger::LedgerResult;
use crate::model::Id;

/// Rows of a page.
const PAGE: usize = 100;

fn answer<T: serde::Serialize>(result: LedgerResult<T>) -> Response {
    match result {
        Ok(value) => Json(value).into_response(),
        Err(error) => super::unavailable(&error),
    }
}

pub(super) async fn overview(State(state): State<WebState>, reader: Reader) -> Response {
    answer(state.ledger.overview(&reader.scope, state.clock.now()).await)
}

pub(super) async fn assignments(State(state): State<WebState>, reader: Reader, Query(query): Query<ListQuery>) -> Response {
    let rows = state.ledger.assignments(&query.filter(&reader), reader.sees_names(), PAGE).await;
    answer(rows.map(|rows| {
        let next = (rows.len() == PAGE).then(|| rows.last().map(|r| r.id)).flatten();
        json!({"assignments": rows, "next": next})
    }))
}

pub(super) async fn assignment(State(state): State<WebState>, reader: Reader, Path(id): Path<String>) -> Response {
    let Ok(id) = id.parse::<Id>() else {
        return problem(StatusCode::NOT_FOUND, "no-such-assignment", "there is no such assignment");
    };
    match state.ledger.assignment(id, &reader.scope, reader.sees_names()).await {
        Ok(None) => problem(StatusCode::NOT_FOUND, "no-such-assignment", "there is no such assignment"),
        other => answer(other),
    }
}

pub(super) async fn operations(State(state): State<WebState>, reader: Reader) -> Response {
    answer(state.ledger.operations(&reader.scope, reader.sees_names(), PAGE).await)
}

pub(super) async fn kpi(State(state): State<WebState>, reader: Reader, Query(query): Query<KpiQuery>) -> Response {
    answer(kpi_data(&state, &reader, &query).await)
}
