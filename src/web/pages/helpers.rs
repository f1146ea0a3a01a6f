//! What templates say with values: instants, spans of time, stored words, strips.

use std::fmt::Write as _;

use handlebars::{Context, Handlebars, Helper, HelperResult, Output, RenderContext, html_escape};
use rust_embed::RustEmbed;

use crate::kpi::words::{human, human_working};
use crate::model::Timestamp;

/// Width of a strip, in its own units.
const WIDTH: f64 = 100.0;

#[derive(RustEmbed)]
#[folder = "docs/errors/"]
struct Errors;

type Out<'a> = &'a mut dyn Output;

pub(super) fn register(engine: &mut Handlebars<'static>) {
    engine.register_helper("when", Box::new(when));
    engine.register_helper("since", Box::new(since));
    engine.register_helper("span", Box::new(span));
    engine.register_helper("worked", Box::new(worked));
    engine.register_helper("words", Box::new(words));
    engine.register_helper("work_words", Box::new(work_words));
    engine.register_helper("code", Box::new(code));
    engine.register_helper("strip", Box::new(strip));
    engine.register_helper("share", Box::new(share));
    engine.register_helper("many", Box::new(many));
    engine.register_helper("link", Box::new(link));
}

fn number(h: &Helper<'_>, n: usize) -> Option<i64> {
    h.param(n).and_then(|p| p.value().as_i64())
}

fn text<'a>(h: &'a Helper<'_>, n: usize) -> &'a str {
    h.param(n).and_then(|p| p.value().as_str()).unwrap_or_default()
}

fn element(at: Timestamp, shown: &str) -> String {
    format!("<time datetime=\"{}\">{shown}</time>", at.iso())
}

/// An instant.
fn when(h: &Helper<'_>, _: &Handlebars<'_>, _: &Context, _: &mut RenderContext<'_, '_>, out: Out<'_>) -> HelperResult {
    let shown = number(h, 0).map_or_else(|| "–".to_owned(), |ms| element(Timestamp(ms), &Timestamp(ms).human()));
    Ok(out.write(&shown)?)
}

/// How long ago, with the instant beside it: age first, since that is what decides.
fn since(h: &Helper<'_>, _: &Handlebars<'_>, c: &Context, _: &mut RenderContext<'_, '_>, out: Out<'_>) -> HelperResult {
    let now = c.data()["now"].as_i64().unwrap_or_default();
    let shown = number(h, 0).map_or_else(
        || "–".to_owned(),
        |ms| match (element(Timestamp(ms), &Timestamp(ms).human()), now - ms) {
            (at, ..0) => format!("not yet <small>from {at}</small>"),
            (at, ago) => format!("{} <small>since {at}</small>", human(ago)),
        },
    );
    Ok(out.write(&shown)?)
}

/// A span of time.
fn span(h: &Helper<'_>, _: &Handlebars<'_>, _: &Context, _: &mut RenderContext<'_, '_>, out: Out<'_>) -> HelperResult {
    let shown = number(h, 0).map_or_else(|| "–".to_owned(), human);
    Ok(out.write(&shown)?)
}

/// A span of time by one of two clocks: `worked ms business`.
fn worked(h: &Helper<'_>, _: &Handlebars<'_>, _: &Context, _: &mut RenderContext<'_, '_>, out: Out<'_>) -> HelperResult {
    let business = h.param(1).is_none_or(|p| p.value().as_bool() != Some(false));
    let tell = if business { human_working } else { human };
    Ok(out.write(&number(h, 0).map_or_else(|| "–".to_owned(), tell))?)
}

/// A stored word for people.
fn words(h: &Helper<'_>, _: &Handlebars<'_>, _: &Context, _: &mut RenderContext<'_, '_>, out: Out<'_>) -> HelperResult {
    Ok(out.write(&html_escape(&text(h, 0).replace('_', " ")))?)
}

/// What an edge fails to do.
fn work_words(h: &Helper<'_>, _: &Handlebars<'_>, _: &Context, _: &mut RenderContext<'_, '_>, out: Out<'_>) -> HelperResult {
    let words = match text(h, 0) {
        "tickets" => "Tickets cannot be filed or changed",
        "changes" => "Tickets cannot be read",
        "poll" => "Its list cannot be read",
        "reports" => "Outcomes cannot be reported",
        "answers" => "It will soon stop waiting for an answer",
        _ => "It fails",
    };
    Ok(out.write(words)?)
}

/// A code of trouble, as a link to its page where there is one.
fn code(h: &Helper<'_>, _: &Handlebars<'_>, _: &Context, _: &mut RenderContext<'_, '_>, out: Out<'_>) -> HelperResult {
    let code = text(h, 0);
    let shown = html_escape(code);
    if Errors::get(&format!("{code}.md")).is_some() {
        return Ok(out.write(&format!("<a class=\"code\" href=\"/docs/errors/{shown}\">{shown}</a>"))?);
    }
    Ok(out.write(&format!("<span class=\"code\">{shown}</span>"))?)
}

/// `many 2 "ticket" "tickets"`.
fn many(h: &Helper<'_>, _: &Handlebars<'_>, _: &Context, _: &mut RenderContext<'_, '_>, out: Out<'_>) -> HelperResult {
    let n = number(h, 0).unwrap_or_default();
    Ok(out.write(&html_escape(text(h, if n == 1 { 1 } else { 2 })))?)
}

#[expect(clippy::cast_precision_loss, reason = "a picture a hundred units wide")]
fn units(value: i64, scale: i64) -> f64 {
    if scale <= 0 { 0.0 } else { (value as f64 / scale as f64 * WIDTH).clamp(0.0, WIDTH) }
}

/// `strip p50 p90 scale business`: a bar to the median, a thinner one to nine of ten. The numbers stand in the cells beside it.
fn strip(h: &Helper<'_>, _: &Handlebars<'_>, _: &Context, _: &mut RenderContext<'_, '_>, out: Out<'_>) -> HelperResult {
    let (Some(half), Some(most), Some(scale)) = (number(h, 0), number(h, 1), number(h, 2)) else { return Ok(()) };
    let human = if h.param(3).is_some_and(|p| p.value() == true) { human_working } else { human };
    let svg = format!(
        "<svg class=\"strip\" viewBox=\"0 0 100 10\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"Half within {}, nine of ten within {}\"><rect class=\"p90\" x=\"0\" y=\"3\" width=\"{:.1}\" height=\"4\"/><rect class=\"p50\" x=\"0\" y=\"0\" width=\"{:.1}\" height=\"10\"/></svg>",
        human(half),
        human(most),
        units(most, scale),
        units(half, scale),
    );
    Ok(out.write(&svg)?)
}

/// `share segments`: the spans of one life on one line. The table below it says the same in words.
fn share(h: &Helper<'_>, _: &Handlebars<'_>, _: &Context, _: &mut RenderContext<'_, '_>, out: Out<'_>) -> HelperResult {
    let spans = h.param(0).and_then(|p| p.value().as_array()).map(Vec::as_slice).unwrap_or_default();
    let all: i64 = spans.iter().filter_map(|s| s["ms"].as_i64()).sum();
    let mut svg =
        "<svg class=\"share\" viewBox=\"0 0 100 10\" preserveAspectRatio=\"none\" aria-hidden=\"true\" focusable=\"false\">"
            .to_owned();
    let mut x = 0.0;
    for span in spans {
        let width = units(span["ms"].as_i64().unwrap_or_default(), all);
        let part = html_escape(span["part"].as_str().unwrap_or_default());
        // writing to a String cannot fail
        let _ = write!(svg, "<rect class=\"{part}\" x=\"{x:.2}\" y=\"0\" width=\"{width:.2}\" height=\"10\"/>");
        x += width;
    }
    Ok(out.write(&(svg + "</svg>"))?)
}

/// A value inside the query of an address.
fn link(h: &Helper<'_>, _: &Handlebars<'_>, _: &Context, _: &mut RenderContext<'_, '_>, out: Out<'_>) -> HelperResult {
    let encoded: String = url::form_urlencoded::byte_serialize(text(h, 0).as_bytes()).collect();
    Ok(out.write(&encoded)?)
}
