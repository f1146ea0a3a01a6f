//! The sign-in form: a token, pasted once, becomes a session.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use serde_json::json;

use super::WebState;
use super::access::{COOKIES, Via, client, cookie, refuse_other_sites, too_many};
use super::extract::{Asked, SignedForm, signed};
use super::problem::{Code, Refused};
use super::session::{LASTS_SECS, form_token, known_token};
use crate::model::random;

/// Cookies that bind the sign-in form to the browser it was shown to, before there is a session.
const FORM_COOKIES: [&str; 2] = ["__Host-lastmile-form", "lastmile-form"];

/// Where to go afterwards.
#[derive(Debug, Default, Deserialize)]
pub(super) struct To {
    #[serde(default)]
    to: String,
}

/// A page of ours; never another site.
fn own_page(to: &str) -> &str {
    let fits = to.starts_with('/') && !to.starts_with("//") && !to.contains(['\\', '\r', '\n', '\t']);
    if fits && to.is_ascii() { to } else { "/" }
}

/// The form.
pub(super) async fn show(State(state): State<WebState>, headers: HeaderMap, Asked(to): Asked<To>) -> Response {
    form(&state, &headers, &to.to, None)
}

fn form(state: &WebState, headers: &HeaderMap, to: &str, wrong: Option<&str>) -> Response {
    let bound = cookie(headers, FORM_COOKIES).map_or_else(random::token, str::to_owned);
    let offered = !state.setup.load().catalog.main.access.tokens.is_empty();
    let data = json!({
        "offered": offered, "to": own_page(to), "wrong": wrong,
        "csrf": form_token(&*state.ledger, &format!("sign-in/{bound}")),
    });
    let mut page = super::pages::render_open(state, "sign-in", "Sign in", data);
    if wrong.is_some() {
        *page.status_mut() = StatusCode::UNAUTHORIZED;
    }
    with_cookie(state, page, FORM_COOKIES, &bound, LASTS_SECS)
}

/// The filled form.
#[derive(Debug, Deserialize)]
pub(super) struct SignIn {
    token: String,
    #[serde(default)]
    to: String,
}

/// Opens a session for a known token.
pub(super) async fn sign_in(State(state): State<WebState>, request: Request) -> Result<Response, Refused> {
    let setup = state.setup.load_full();
    let access = &setup.catalog.main.access;
    let (parts, body) = request.into_parts();
    refuse_other_sites(&parts, &setup.catalog.main)?;
    let (peer, now) = (client(&parts, access), state.clock.now());
    if let Some(seconds) = state.gate.attempts.wait(peer, now) {
        return Err(too_many(seconds));
    }
    let headers = parts.headers.clone();
    let bound = cookie(&headers, FORM_COOKIES).unwrap_or_default().to_owned();
    let sent: SignIn = signed(Request::from_parts(parts, body), &state, &format!("sign-in/{bound}")).await?;
    let Some((name, token)) = known_token(sent.token.trim(), access) else {
        state.gate.attempts.failed(peer, now);
        return Ok(form(&state, &headers, &sent.to, Some("This token is not known here.")));
    };
    let value = state.gate.sessions.open(&*state.ledger, name, token, now).await?;
    Ok(with_cookie(&state, Redirect::to(own_page(&sent.to)).into_response(), COOKIES, &value, LASTS_SECS))
}

/// The button of every page.
#[derive(Debug, Deserialize)]
pub(super) struct SignOut {}

/// Ends the session.
pub(super) async fn sign_out(
    State(state): State<WebState>,
    SignedForm(reader, SignOut {}): SignedForm<SignOut>,
) -> Result<Response, Refused> {
    let Via::Session(session) = &reader.via else {
        return Err(Refused::new(Code::NotNow, "you did not sign in with the form"));
    };
    state.gate.sessions.end(&*state.ledger, session).await?;
    Ok(with_cookie(&state, Redirect::to("/sign-in").into_response(), COOKIES, "", 0))
}

/// Script cannot read it, other sites cannot send it; with https, other hosts and plain http cannot set it.
fn with_cookie(state: &WebState, mut response: Response, names: [&str; 2], value: &str, seconds: i64) -> Response {
    let setup = state.setup.load();
    let https = setup.catalog.main.server.public_url.as_deref().is_some_and(|u| u.starts_with("https:"));
    let (name, secure) = if https { (names[0], "; Secure") } else { (names[1], "") };
    let cookie = format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}");
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}
