//! Files to take away: figures, the assignments behind them, evidence; who took what is noted before it leaves.

use axum::body::Body;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use axum::response::Response;

use super::behind::rows;
use super::evidence::{EvidenceAsked, pack};
use crate::kpi::export::{cases, figures as figures_document};
use crate::kpi::report::{Asked as KpiAsked, MOST_BEHIND, Report};
use crate::ledger::exports::Export;
use crate::sheet::{Document, MOST_ROWS, XLSX_TYPE, XlsxError};
use crate::web::WebState;
use crate::web::access::Reader;
use crate::web::answer::typed;
use crate::web::extract::Asked;
use crate::web::problem::{Code, Refused};

/// As what it is taken away: the ending of the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::web) enum Form {
    Csv,
    Xlsx,
    Html,
    Json,
    /// Looked at.
    Page,
}

impl Form {
    fn as_str(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Xlsx => "xlsx",
            Self::Html => "html",
            Self::Json => "json",
            Self::Page => "page",
        }
    }
}

/// What was asked for: form, and the query as it stands in the address, for the log of exports.
pub(in crate::web) struct Wanted {
    form: Form,
    asked: String,
}

impl FromRequestParts<WebState> for Wanted {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &WebState) -> Result<Self, Refused> {
        let path = parts.uri.path();
        let form = match path.rsplit_once('.').map(|(_, ending)| ending) {
            Some("csv") => Form::Csv,
            Some("xlsx") => Form::Xlsx,
            Some("html") => Form::Html,
            _ if path.starts_with("/api/") => Form::Json,
            _ => Form::Page,
        };
        let query = parts.uri.query().unwrap_or_default();
        // What somebody searched for may be anything, a name among it.
        let pairs = url::form_urlencoded::parse(query.as_bytes()).filter(|(_, value)| !value.is_empty());
        let said = pairs.map(|(name, value)| if name == "q" { "one order".to_owned() } else { format!("{name}={value}") });
        let asked: String = said.collect::<Vec<_>>().join(" ").chars().take(500).collect();
        Ok(Self { form, asked })
    }
}

/// What leaves, for the log of exports.
pub(in crate::web) struct Taken {
    pub(in crate::web) what: &'static str,
    pub(in crate::web) items: usize,
    pub(in crate::web) names: bool,
    pub(in crate::web) digest: Option<String>,
}

/// Notes that somebody takes something away, or looks at single persons. Nothing leaves unless that is on disk.
pub(in crate::web) async fn note(state: &WebState, reader: &Reader, wanted: Wanted, taken: Taken) -> Result<(), Refused> {
    let export = Export {
        at: state.clock.now(),
        actor: reader.name.clone(),
        what: taken.what.to_owned(),
        form: wanted.form.as_str().to_owned(),
        asked: wanted.asked,
        items: i64::try_from(taken.items).unwrap_or(i64::MAX),
        names: taken.names,
        digest: taken.digest,
    };
    Ok(state.ledger.note_export(export).await?)
}

/// The figures.
pub(in crate::web) async fn figures(
    State(state): State<WebState>,
    reader: Reader,
    wanted: Wanted,
    Asked(asked): Asked<KpiAsked>,
) -> Result<Response, Refused> {
    let setup = state.setup.load_full();
    let report = Report::of(&*state.ledger, &setup.catalog, &reader.scope, &asked, state.clock.now()).await?;
    let document = figures_document(&report, &asked, &reader.scope);
    let taken = Taken { what: "figures", items: document.tables[0].rows.len(), names: false, digest: None };
    hand_out(&state, &reader, wanted, taken, "kpi", document).await
}

/// The assignments behind a figure.
pub(in crate::web) async fn assignments(
    State(state): State<WebState>,
    reader: Reader,
    wanted: Wanted,
    Asked(asked): Asked<KpiAsked>,
) -> Result<Response, Refused> {
    let (rows, cut) = rows(&state, &reader, &asked, MOST_BEHIND).await?;
    let document = cases(&rows, cut, &asked, &reader.scope, state.clock.now());
    let taken = Taken { what: "assignments", items: rows.len(), names: false, digest: None };
    hand_out(&state, &reader, wanted, taken, "assignments", document).await
}

/// The evidence pack.
pub(in crate::web) async fn evidence(
    State(state): State<WebState>,
    reader: Reader,
    wanted: Wanted,
    Asked(asked): Asked<EvidenceAsked>,
) -> Result<Response, Refused> {
    let pack = pack(&state, &reader, &asked, MOST_ROWS).await?;
    let taken = Taken { what: "evidence", items: pack.n, names: reader.sees_names(), digest: Some(pack.digest.clone()) };
    hand_out(&state, &reader, wanted, taken, "evidence", pack.document()).await
}

async fn hand_out(
    state: &WebState,
    reader: &Reader,
    wanted: Wanted,
    taken: Taken,
    name: &str,
    document: Document,
) -> Result<Response, Refused> {
    let form = wanted.form;
    let (kind, body): (&str, Body) = match form {
        Form::Xlsx => (XLSX_TYPE, workbook(document).await?.into()),
        Form::Html => ("text/html; charset=utf-8", document.html().into()),
        Form::Csv | Form::Json | Form::Page => {
            ("text/csv; charset=utf-8", document.tables.first().map(crate::sheet::Table::csv).unwrap_or_default().into())
        }
    };
    note(state, reader, wanted, taken).await?;
    let mut response = typed(kind, body);
    let name = format!("attachment; filename=\"lastmile-{name}.{}\"", form.as_str());
    if let Ok(value) = HeaderValue::from_str(&name) {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, value);
    }
    Ok(response)
}

async fn workbook(document: Document) -> Result<Vec<u8>, Refused> {
    document.into_xlsx().await.map_err(|error| match error {
        XlsxError::TooManyRows(_) => Refused::new(Code::Unprocessable, error.to_string()),
        XlsxError::Writer(words) => {
            tracing::error!(error = words, "a workbook could not be written");
            Refused::new(Code::Internal, "the workbook could not be written")
        }
    })
}
