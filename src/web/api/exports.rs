//! Evidence, who took what out, and scheduled reports, as JSON.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::read::Answer;
use crate::kpi::evidence::Pack;
use crate::ledger::exports::{DeliveryRow, Export};
use crate::mailing;
use crate::model::Timestamp;
use crate::web::WebState;
use crate::web::access::Reader;
use crate::web::extract::Asked;
use crate::web::pages::evidence::{EvidenceAsked, pack};
use crate::web::pages::exports::{Taken, Wanted, note};
use crate::web::problem::{Code, Refused};

/// Orders in one answer, at most: choose a shorter period, or the CSV at `/evidence.csv`.
const MOST: usize = 10_000;
/// Exports in one answer.
const EXPORTS: usize = 500;

/// Who wanted, approved and did what, order by order; what is wrong first. Names are `hidden` for viewers. Each answer is
/// noted as an export. `/evidence.csv`, `/evidence.xlsx` and `/evidence.html` take the same query.
#[utoipa::path(get, path = "/api/v1/evidence", tag = "read", params(EvidenceAsked),
    responses((status = 200, description = "The pack", body = Pack)))]
pub(in crate::web) async fn evidence(
    State(state): State<WebState>,
    reader: Reader,
    wanted: Wanted,
    Asked(asked): Asked<EvidenceAsked>,
) -> Answer<Pack> {
    let pack = pack(&state, &reader, &asked, MOST).await?;
    let taken = Taken { what: "evidence", items: pack.n, names: reader.sees_names(), digest: Some(pack.digest.clone()) };
    note(&state, &reader, wanted, taken).await?;
    Ok(Json(pack))
}

/// Who took what out.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::web) struct ExportList {
    /// Latest first, at most 500.
    exports: Vec<Export>,
}

/// Files and evidence that were taken out, evidence that was looked at, latest first. Only for operators of every application: it names people.
#[utoipa::path(get, path = "/api/v1/exports", tag = "read", responses((status = 200, description = "The list", body = ExportList)))]
pub(in crate::web) async fn exports(State(state): State<WebState>, reader: Reader) -> Answer<ExportList> {
    if !reader.sees_names() {
        return Err(Refused::new(Code::Role, "who took what out is for operators"));
    }
    refuse_part(&reader)?;
    Ok(Json(ExportList { exports: state.ledger.exports(EXPORTS).await? }))
}

/// A scheduled report on one of its ways.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::web) struct ReportStanding {
    /// Its name.
    name: String,
    /// `mail` or `webhook`.
    way: String,
    /// Its schedule, as configured.
    schedule: String,
    /// Its time zone.
    zone: String,
    /// When it is due next.
    #[schema(value_type = Option<i64>)]
    next: Option<Timestamp>,
    /// The latest time it was due; none before it was first looked at.
    latest: Option<DeliveryRow>,
}

/// Scheduled reports.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::web) struct ReportList {
    /// In the order of the configuration.
    reports: Vec<ReportStanding>,
}

/// Scheduled reports, and what became of the latest of each. For readers of every application.
#[utoipa::path(get, path = "/api/v1/reports", tag = "read", responses((status = 200, description = "The list", body = ReportList)))]
pub(in crate::web) async fn reports(State(state): State<WebState>, reader: Reader) -> Answer<ReportList> {
    refuse_part(&reader)?;
    let setup = state.setup.load_full();
    let mut reports = Vec::new();
    for report in &setup.catalog.main.reports {
        for standing in mailing::standing(&*state.ledger, report, state.clock.now()).await? {
            reports.push(ReportStanding {
                name: report.name.clone(),
                way: standing.way.as_str().to_owned(),
                schedule: report.schedule.as_str().to_owned(),
                zone: report.zone().name().to_owned(),
                next: standing.next,
                latest: standing.row,
            });
        }
    }
    Ok(Json(ReportList { reports }))
}

fn refuse_part(reader: &Reader) -> Result<(), Refused> {
    if reader.scope.is_some() {
        return Err(Refused::new(Code::Scope, "this is about every application; your token is for some"));
    }
    Ok(())
}
