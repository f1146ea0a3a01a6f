//! What every answer carries, and how a refusal is told: to machines as a problem document, to people as a page.

use axum::body::{Body, to_bytes};
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use serde_json::json;

use super::WebState;
use super::problem::{Code, Refused};

/// No script, no frames, nothing from elsewhere.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// What must be known of a request to answer it.
struct Asked {
    method: Method,
    path: String,
    route: String,
    by_person: bool,
}

impl Asked {
    fn of(request: &Request) -> Self {
        let path = request.uri().path();
        let accepts = request.headers().get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let for_machines = ["/api/", "/hooks/", "/livez", "/readyz", "/metrics"].iter().any(|p| path.starts_with(p));
        Self {
            method: request.method().clone(),
            path: request.uri().path_and_query().map_or(path, |p| p.as_str()).to_owned(),
            route: request.extensions().get::<MatchedPath>().map_or("other", MatchedPath::as_str).to_owned(),
            by_person: accepts.contains("text/html") && !for_machines,
        }
    }
}

/// Runs the request, and gives its answer the form and the headers that all have.
pub(super) async fn finish(State(state): State<WebState>, request: Request, next: Next) -> Response {
    let asked = Asked::of(&request);
    let begun = state.clock.boot_ms();
    let mut response = told(next.run(request).await).await;
    if let Some(refused) = response.extensions().get::<Refused>().filter(|_| asked.by_person) {
        response = shown(&state, refused, &asked, &response);
    }
    count(&asked, response.status(), state.clock.boot_ms() - begun);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// A refusal of the framework becomes a problem document like ours; its other headers (`Allow`) stay.
async fn told(response: Response) -> Response {
    let code = match response.status() {
        _ if response.extensions().get::<Refused>().is_some() => return response,
        StatusCode::NOT_FOUND => Code::NotFound,
        StatusCode::METHOD_NOT_ALLOWED => Code::Method,
        StatusCode::REQUEST_TIMEOUT => Code::Slow,
        StatusCode::PAYLOAD_TOO_LARGE => Code::TooLarge,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Code::MediaType,
        StatusCode::UNPROCESSABLE_ENTITY => Code::Unprocessable,
        status if status.is_client_error() => Code::BadRequest,
        status if status.is_server_error() => Code::Internal,
        _ => return response,
    };
    let (mut parts, body) = response.into_parts();
    let plain = parts.headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).is_none_or(|t| t.starts_with("text/plain"));
    if !plain {
        return Response::from_parts(parts, body);
    }
    let words = to_bytes(body, 2048).await.unwrap_or_default();
    let words = String::from_utf8_lossy(&words);
    let detail = match code {
        // The framework adds that header further out.
        Code::Method => "the header Allow names the methods that this address answers".to_owned(),
        _ if words.trim().is_empty() => code.title().to_owned(),
        _ => words.trim().to_owned(),
    };
    parts.headers.remove(header::CONTENT_LENGTH);
    let mut fresh = Refused::new(code, detail).into_response();
    for (name, value) in &parts.headers {
        fresh.headers_mut().entry(name).or_insert(value.clone());
    }
    *fresh.status_mut() = parts.status;
    fresh
}

/// A refusal as a page; whoever has to sign in is taken there and back.
fn shown(state: &WebState, refused: &Refused, asked: &Asked, response: &Response) -> Response {
    let tokens = !state.setup.load().catalog.main.access.tokens.is_empty();
    if refused.code == Code::SignIn && asked.method == Method::GET && tokens {
        let to: String = url::form_urlencoded::byte_serialize(asked.path.as_bytes()).collect();
        return Redirect::to(&format!("/sign-in?to={to}")).into_response();
    }
    let data = json!({"code": refused.code.as_str(), "title": refused.code.title(), "detail": refused.detail});
    let mut page = super::pages::render_open(state, "problem", refused.code.title(), data);
    *page.status_mut() = refused.code.status();
    for name in [header::ALLOW, header::RETRY_AFTER, header::SET_COOKIE] {
        if let Some(value) = response.headers().get(&name) {
            page.headers_mut().insert(name, value.clone());
        }
    }
    page
}

/// Routes, methods and classes of status are few, whatever is asked for.
fn count(asked: &Asked, status: StatusCode, took_ms: i64) {
    let method = match asked.method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        _ => "other",
    };
    let labels = [("route", asked.route.clone()), ("method", method.to_owned()), ("status", status.as_u16().to_string())];
    metrics::counter!("lastmile_http_requests_total", &labels).increment(1);
    let seconds = f64::from(i32::try_from(took_ms).unwrap_or(i32::MAX)) / 1000.0;
    metrics::histogram!("lastmile_http_request_seconds", "route" => asked.route.clone()).record(seconds);
}

/// A body of this kind.
pub(super) fn typed(kind: &'static str, body: impl Into<Body>) -> Response {
    ([(header::CONTENT_TYPE, kind)], body.into()).into_response()
}
