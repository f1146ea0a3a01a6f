//! The same as the pages, as JSON, with its OpenAPI document.

mod act;
mod cursor;
mod exports;
mod read;

use axum::Router;
use axum::response::Response;
use axum::routing::{get, post};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{ContentBuilder, RefOr, ResponseBuilder};
use utoipa::{Modify, OpenApi, Path as _};

use super::WebState;
use super::problem::Problem;

/// Every route of the API stands here with the path that its own documentation names.
pub(super) fn routes() -> Router<WebState> {
    Router::new()
        .route("/api/v1/openapi.json", get(show))
        .route(&read::__path_overview::path(), get(read::overview))
        .route(&read::__path_assignments::path(), get(read::assignments))
        .route(&read::__path_assignment::path(), get(read::assignment))
        .route(&read::__path_operations::path(), get(read::operations))
        .route(&read::__path_errands::path(), get(read::errands))
        .route(&read::__path_quarantine::path(), get(read::quarantine))
        .route(&read::__path_kpi::path(), get(read::kpi))
        .route(&read::__path_kpi_assignments::path(), get(read::kpi_assignments))
        .route(&read::__path_reconcile::path(), get(read::reconcile))
        .route(&act::__path_begin_reconcile::path(), post(act::begin_reconcile))
        .route(&act::__path_repair::path(), post(act::repair))
        .route(&act::__path_dismiss::path(), post(act::dismiss))
        .route(&exports::__path_evidence::path(), get(exports::evidence))
        .route(&exports::__path_exports::path(), get(exports::exports))
        .route(&exports::__path_reports::path(), get(exports::reports))
        .route(&act::__path_unpark::path(), post(act::unpark))
        .route(&act::__path_decide::path(), post(act::decide))
        .route(&act::__path_retry::path(), post(act::retry))
        .route(&act::__path_ticket::path(), post(act::ticket))
        .route(&act::__path_no_ticket::path(), post(act::no_ticket))
        .route(&act::__path_drop_errand::path(), post(act::drop_errand))
        .route(&act::__path_replay::path(), post(act::replay))
        .route(&act::__path_discard::path(), post(act::discard))
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "lastmile",
        description = "What the pages show, as JSON. Instants are UTC milliseconds since 1970. Names of persons and free text are \
            null for viewers; what is outside a reader's applications does not exist for them. A refusal is a problem document \
            (RFC 9457) whose `type` leads to a page that says what to do."
    ),
    paths(
        read::overview,
        read::assignments,
        read::assignment,
        read::operations,
        read::errands,
        read::quarantine,
        read::kpi,
        read::kpi_assignments,
        read::reconcile,
        act::begin_reconcile,
        act::repair,
        act::dismiss,
        exports::evidence,
        exports::exports,
        exports::reports,
        act::unpark,
        act::decide,
        act::retry,
        act::ticket,
        act::no_ticket,
        act::drop_errand,
        act::replay,
        act::discard
    ),
    components(schemas(Problem)),
    modifiers(&Common),
    security(("token" = []), ("session" = []))
)]
struct Document;

/// What holds for every operation: how to be admitted, and how refusals look.
struct Common;

impl Modify for Common {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_with(Default::default);
        let cookie =
            ApiKeyValue::with_description(super::access::COOKIES[1], "set by the page /sign-in; `__Host-lastmile` with https");
        components.add_security_scheme("token", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
        components.add_security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
        let refused = ResponseBuilder::new()
            .description("Refused: a problem document")
            .content(
                "application/problem+json",
                ContentBuilder::new().schema(Some(utoipa::openapi::Ref::from_schema_name("Problem"))).build(),
            )
            .build();
        for item in document.paths.paths.values_mut() {
            for operation in [&mut item.get, &mut item.post].into_iter().flatten() {
                for class in ["4XX", "5XX"] {
                    operation.responses.responses.insert(class.to_owned(), RefOr::T(refused.clone()));
                }
            }
        }
    }
}

/// The OpenAPI document, as it is served and kept in docs/.
///
/// # Panics
/// Never: the document is made of plain values.
#[must_use]
pub fn document() -> String {
    let mut text = Document::openapi().to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

async fn show() -> Response {
    super::answer::typed("application/json", document())
}
