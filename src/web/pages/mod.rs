//! Pages for people: rendered here, no script in the browser.

mod assignment;
mod assignments;
pub(super) mod behind;
mod chart;
pub(super) mod evidence;
pub(super) mod exports;
mod figure;
mod helpers;
pub(super) mod kpi;
mod operations;
mod overview;

use std::sync::LazyLock;

use axum::http::header;
use axum::response::{Html, IntoResponse, Response};
use handlebars::Handlebars;
use rust_embed::RustEmbed;
use serde::Serialize;
use serde_json::{Value, json};

use super::WebState;
use super::access::Reader;
use super::problem::{Code, problem};
use super::session::form_token;

pub(super) use assignment::assignment;
pub(super) use assignments::assignments;
pub(super) use operations::{comparisons, operations};
pub(super) use overview::overview;

/// Rows of a list.
const PAGE: usize = 50;

#[derive(RustEmbed)]
#[folder = "templates/pages/"]
struct Templates;

static ENGINE: LazyLock<Handlebars<'static>> = LazyLock::new(|| {
    let mut engine = Handlebars::new();
    for path in Templates::iter() {
        let Some(file) = Templates::get(&path) else { continue };
        let name = path.trim_end_matches(".hbs");
        if let Err(error) = engine.register_template_string(name, String::from_utf8_lossy(&file.data)) {
            tracing::error!(template = name, error = %error, "a built-in page does not compile");
        }
    }
    helpers::register(&mut engine);
    engine
});

fn render(state: &WebState, reader: &Reader, page: &str, title: &str, data: Value) -> Response {
    let mut context = context(state, page, title, data);
    context["operator"] = json!(reader.may_act());
    context["names"] = json!(reader.sees_names());
    context["scoped"] = json!(reader.scope.is_some());
    context["signed_in"] = json!(reader.signed_in());
    context["csrf"] = json!(form_token(&*state.ledger, &reader.binding()));
    laid_out(page, &context)
}

/// A page for whoever comes: nothing of the ledger is on it.
pub(super) fn render_open(state: &WebState, page: &str, title: &str, data: Value) -> Response {
    laid_out(page, &context(state, page, title, data))
}

fn context(state: &WebState, page: &str, title: &str, data: Value) -> Value {
    json!({"title": title, "note": state.note, "now": state.clock.now(), "page": data, "here": {page: true}})
}

fn laid_out(page: &str, context: &Value) -> Response {
    let body = ENGINE.render(page, context).and_then(|body| ENGINE.render("layout", &json!({"c": context, "body": body})));
    match body {
        Ok(html) => Html(html).into_response(),
        Err(error) => {
            tracing::error!(page, error = %error, "a page could not be rendered");
            problem(Code::Internal, "this page could not be rendered")
        }
    }
}

fn to_value(value: impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

/// An address with a query; what is empty is left out.
fn address(path: &str, query: &[(&str, &str)]) -> String {
    let mut text = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in query.iter().filter(|(_, value)| !value.is_empty()) {
        text.append_pair(name, value);
    }
    let text = text.finish();
    if text.is_empty() { path.to_owned() } else { format!("{path}?{text}") }
}

/// The style sheet.
pub(super) async fn style() -> Response {
    const CSS: &str = include_str!("../../../templates/style.css");
    ([(header::CONTENT_TYPE, "text/css"), (header::CACHE_CONTROL, "max-age=300")], CSS).into_response()
}
