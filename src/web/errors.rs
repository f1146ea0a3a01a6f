//! The pages that the `type` of a problem document and the codes of parked work lead to.

use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use pulldown_cmark::{Event, Parser, html};
use rust_embed::RustEmbed;
use serde_json::json;

use super::WebState;
use super::problem::{Code, problem};
use crate::model::codes::CODES;

#[derive(RustEmbed)]
#[folder = "docs/errors/"]
struct Pages;

/// Codes of calls first, then those of answers.
fn codes() -> impl Iterator<Item = &'static str> {
    CODES.into_iter().chain(Code::ALL.map(Code::as_str))
}

fn text(code: &str) -> Option<String> {
    Pages::get(&format!("{code}.md")).map(|file| String::from_utf8_lossy(&file.data).into_owned())
}

/// One page.
pub(super) async fn one(State(state): State<WebState>, Path(code): Path<String>) -> Response {
    match codes().find(|known| *known == code).and_then(text) {
        Some(text) => show(&state, &code, &text),
        None => problem(Code::NotFound, "there is no page for such a code"),
    }
}

/// All of them.
pub(super) async fn all(State(state): State<WebState>) -> Response {
    let mut list = "# Errors\n\nEvery page answers first whether a ticket can be lost or doubled.\n\n".to_owned();
    for name in codes() {
        let page = text(name).unwrap_or_default();
        let title = page.lines().next().unwrap_or_default().trim_start_matches("# ");
        let title = title.strip_prefix(name).map_or(title, |rest| rest.trim_start_matches(':').trim());
        list.push_str(&format!("- [{name}](/docs/errors/{name}) {title}\n"));
    }
    show(&state, "Errors", &list)
}

fn show(state: &WebState, title: &str, text: &str) -> Response {
    // The pages are ours; raw HTML in them would be a mistake, not a feature.
    let events = Parser::new(text).filter(|e| !matches!(e, Event::Html(_) | Event::InlineHtml(_)));
    let mut body = String::new();
    html::push_html(&mut body, events);
    let mut page = super::pages::render_open(state, "doc", title, json!({"body": body}));
    page.headers_mut().insert(header::CACHE_CONTROL, header::HeaderValue::from_static("max-age=300"));
    page.into_response()
}
