//! Where a value stands in an answer, and what it is worth once found.

use std::collections::BTreeMap;

use base64::Engine;
use chrono::{DateTime, NaiveDateTime, TimeZone};
use chrono_tz::Tz;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::desk::common::our_key;
use crate::http::Answer;
use crate::model::{Key, Timestamp};

/// Where a value stands: a JSON pointer (`"/issue/id"`; `*` is any member), or a table that says more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Place {
    /// A pointer.
    Pointer(String),
    /// With conditions and conversions.
    Table(Box<PlaceTable>),
}

/// A place that says more.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PlaceTable {
    /// JSON pointer; `*` is any member, `""` the whole row.
    pub at: Option<String>,
    /// A header of the answer instead.
    pub header: Option<String>,
    /// The whole body as text instead.
    pub body: bool,
    /// Of the items found, only those with one of these values at each pointer.
    #[serde(rename = "where")]
    pub only: BTreeMap<String, Vec<String>>,
    /// Pointer inside the item that was chosen.
    pub take: Option<String>,
    /// Only the part after the last `/` (an id at the end of an address).
    pub last_segment: bool,
    /// The value is base 64 of text.
    pub base64: bool,
    /// The value is HTML; its text is taken.
    pub html: bool,
    /// Only the part that this regular expression finds: its first group, or the whole match.
    pub pattern: Option<Pattern>,
    /// Values that mean "none": `["Nobody"]`, `["1970-01-01T00:00:00Z"]`.
    pub unset: Vec<String>,
    /// How this date is written, instead of the desk's `times`.
    pub format: Option<String>,
}

/// What is looked at: a row of an answer, and the answer it came in where there is one.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'a> {
    /// The row.
    pub row: &'a Value,
    /// Its answer, for headers and raw text.
    pub answer: Option<&'a Answer>,
}

/// A regular expression, read when the file is.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Pattern(regex::Regex);

impl Pattern {
    fn found(&self, text: &str) -> Option<String> {
        let found = self.0.captures(text)?;
        found.get(1).or_else(|| found.get(0)).map(|part| part.as_str().to_owned())
    }
}

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        regex::Regex::new(&text).map(Self).map_err(|e| format!("`{text}` is no regular expression: {e}"))
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.0.as_str().to_owned()
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Place {
    /// The first value there as text; numbers and booleans become text, empty and unset values are none.
    #[must_use]
    pub fn text(&self, scene: Scene<'_>) -> Option<String> {
        self.texts(scene).into_iter().next()
    }

    /// Every value there.
    #[must_use]
    pub fn texts(&self, scene: Scene<'_>) -> Vec<String> {
        match self {
            Self::Pointer(pointer) => pick(scene.row, pointer).into_iter().filter_map(scalar).collect(),
            Self::Table(table) => table.texts(scene),
        }
    }

    /// Our keys in what stands there, also inside longer text.
    #[must_use]
    pub fn keys(&self, scene: Scene<'_>) -> Vec<Key> {
        self.texts(scene).iter().flat_map(|text| keys_in(text)).collect()
    }

    /// The instant that stands there.
    #[must_use]
    pub fn instant(&self, scene: Scene<'_>, times: &str, zone: Tz) -> Option<Timestamp> {
        let format = match self {
            Self::Table(table) => table.format.as_deref().unwrap_or(times),
            Self::Pointer(_) => times,
        };
        read_time(&self.text(scene)?, format, zone)
    }

    /// The pointers it names.
    #[must_use]
    pub fn pointers(&self) -> Vec<&str> {
        match self {
            Self::Pointer(pointer) => vec![pointer],
            Self::Table(table) => {
                table.at.iter().chain(&table.take).map(String::as_str).chain(table.only.keys().map(String::as_str)).collect()
            }
        }
    }
}

impl PlaceTable {
    fn texts(&self, scene: Scene<'_>) -> Vec<String> {
        let found: Vec<String> = if let Some(name) = &self.header {
            scene.answer.and_then(|a| a.header(&name.to_lowercase())).map(str::to_owned).into_iter().collect()
        } else if self.body {
            scene.answer.map(|a| String::from_utf8_lossy(&a.body).trim().to_owned()).into_iter().collect()
        } else {
            let items = pick(scene.row, self.at.as_deref().unwrap_or(""));
            let items = if self.only.is_empty() { items } else { each(items) };
            let fit = items.into_iter().filter(|item| fits(item, &self.only));
            match &self.take {
                None => fit.filter_map(scalar).collect(),
                Some(pointer) => fit.flat_map(|item| pick(item, pointer)).filter_map(scalar).collect(),
            }
        };
        found.into_iter().filter_map(|text| self.converted(text)).collect()
    }

    fn converted(&self, text: String) -> Option<String> {
        let text = if self.last_segment {
            text.trim_end_matches('/').rsplit('/').next().map(|t| t.split(['?', '#']).next().unwrap_or(t).to_owned())?
        } else {
            text
        };
        let text = if self.base64 {
            let compact: String = text.chars().filter(|c| !c.is_whitespace()).collect();
            let bytes = base64::engine::general_purpose::STANDARD.decode(compact).ok()?;
            String::from_utf8_lossy(&bytes).into_owned()
        } else {
            text
        };
        let text = if self.html { html_text(&text) } else { text };
        let text = match &self.pattern {
            Some(pattern) => pattern.found(&text)?,
            None => text,
        };
        (!text.is_empty() && !self.unset.contains(&text)).then_some(text)
    }
}

/// Whether the item has one of the values at each pointer.
pub fn fits(item: &Value, only: &BTreeMap<String, Vec<String>>) -> bool {
    only.iter().all(|(pointer, values)| pick(item, pointer).into_iter().filter_map(scalar).any(|v| values.contains(&v)))
}

/// Whether the item has one of the values at any of the pointers.
pub fn fits_any(item: &Value, values: &BTreeMap<String, Vec<String>>) -> bool {
    values.iter().any(|(pointer, values)| pick(item, pointer).into_iter().filter_map(scalar).any(|v| values.contains(&v)))
}

/// Every value a pointer leads to; `*` stands for any member of an object or item of a list.
#[must_use]
pub fn pick<'a>(value: &'a Value, pointer: &str) -> Vec<&'a Value> {
    let mut here = vec![value];
    for part in pointer.split('/').skip(1) {
        let name = part.replace("~1", "/").replace("~0", "~");
        here = if name == "*" { each(here) } else { here.into_iter().filter_map(|v| member(v, &name)).collect() };
    }
    here
}

/// The members or items of what was found.
pub fn each(values: Vec<&Value>) -> Vec<&Value> {
    let mut out = Vec::new();
    for value in values {
        match value {
            Value::Array(items) => out.extend(items),
            Value::Object(members) => out.extend(members.values()),
            _ => {}
        }
    }
    out
}

fn member<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    match value {
        Value::Array(items) => items.get(name.parse::<usize>().ok()?),
        other => other.get(name),
    }
}

/// The words of a piece of HTML, a line per block. It is shown as text and never as markup again.
fn html_text(html: &str) -> String {
    let mut out = String::new();
    let mut rest = html;
    while let Some((before, tag)) = rest.split_once('<') {
        out.push_str(before);
        let (tag, after) = tag.split_once('>').unwrap_or((tag, ""));
        let name: String = tag.trim_start_matches('/').chars().take_while(char::is_ascii_alphanumeric).collect();
        if matches!(name.to_ascii_lowercase().as_str(), "br" | "p" | "div" | "li" | "tr" | "blockquote") {
            out.push('\n');
        }
        rest = after;
    }
    out.push_str(rest);
    for (entity, text) in [("&nbsp;", " "), ("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")] {
        out = out.replace(entity, text);
    }
    let lines: Vec<&str> = out.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join("\n")
}

/// A scalar as text; empty text, null, lists and objects are none.
pub fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.trim().is_empty() => Some(text.trim().to_owned()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

/// Words of a text that have the shape of our keys.
fn keys_in(text: &str) -> Vec<Key> {
    let inside = |c: char| c.is_ascii_alphanumeric() || c == '-';
    text.split(|c: char| !inside(c)).filter_map(our_key).collect()
}

/// Reads an instant written in a format of the settings.
#[must_use]
pub fn read_time(text: &str, format: &str, zone: Tz) -> Option<Timestamp> {
    // Ways to write "never": 1899-12-30, 1970-01-01, 0.
    instant(text, format, zone).filter(|at| at.0 > 0)
}

fn instant(text: &str, format: &str, zone: Tz) -> Option<Timestamp> {
    let local = |pattern: &str| {
        let naive = NaiveDateTime::parse_from_str(text, pattern).ok()?;
        Some(zone.from_local_datetime(&naive).earliest()?.to_utc().into())
    };
    match format {
        "rfc3339" => DateTime::parse_from_rfc3339(text)
            .or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f%z"))
            .ok()
            .map(|t| t.to_utc().into()),
        "epoch_s" => text.parse::<i64>().ok().and_then(|s| s.checked_mul(1000)).map(Timestamp),
        "epoch_ms" => text.parse::<i64>().ok().map(Timestamp),
        "datetime" => local("%Y-%m-%d %H:%M:%S%.f"),
        pattern => DateTime::parse_from_str(text, pattern).ok().map(|t| t.to_utc().into()).or_else(|| local(pattern)),
    }
}

/// Writes an instant in a format of the settings; below its grain it is rounded down.
#[must_use]
pub fn write_time(at: Timestamp, format: &str, zone: Tz) -> String {
    let local = at.to_utc().with_timezone(&zone);
    match format {
        "rfc3339" => at.iso(),
        "epoch_s" => at.0.div_euclid(1000).to_string(),
        "epoch_ms" => at.0.to_string(),
        "datetime" => local.format("%Y-%m-%d %H:%M:%S").to_string(),
        pattern => local.format(pattern).to_string(),
    }
}

/// Whether a format of dates can be used.
#[must_use]
pub fn is_format(format: &str) -> bool {
    use chrono::format::{Item, StrftimeItems};
    matches!(format, "rfc3339" | "epoch_s" | "epoch_ms" | "datetime")
        || (format.contains('%') && !StrftimeItems::new(format).any(|item| matches!(item, Item::Error)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn place(toml: &str) -> Place {
        #[derive(Deserialize)]
        struct Holder {
            p: Place,
        }
        toml::from_str::<Holder>(&format!("p = {toml}")).unwrap().p
    }

    fn text(toml: &str, row: &Value) -> Option<String> {
        place(toml).text(Scene { row, answer: None })
    }

    #[test]
    fn values_are_found_by_pointer_star_and_condition() {
        let row = json!({"id": 7, "done": false, "empty": "", "objects": {"Ticket::1": {"key": "1"}},
            "fields": [{"name": "other", "values": ["x"]}, {"name": "Key", "values": ["k1", "k2"]}], "owner": {"id": "Nobody"}});
        assert_eq!(text("'/id'", &row).unwrap(), "7");
        assert_eq!(text("'/done'", &row).unwrap(), "false");
        assert_eq!(text("'/empty'", &row), None);
        assert_eq!(text("'/objects/*/key'", &row).unwrap(), "1");
        let by_name = "{ at = '/fields', where = { '/name' = ['Key'] }, take = '/values/*' }";
        assert_eq!(place(by_name).texts(Scene { row: &row, answer: None }), ["k1", "k2"]);
        assert_eq!(text("{ at = '/owner/id', unset = ['Nobody'] }", &row), None);
    }

    #[test]
    fn headers_text_segments_and_base64() {
        let headers = [("location".to_owned(), "/REST/2.0/ticket/42?x=1".to_owned())].into();
        let answer = Answer { status: 201, headers, body: b" T-9 \n".to_vec() };
        let row = json!({"c": "w7xi\nZXI="});
        let scene = Scene { row: &row, answer: Some(&answer) };
        assert_eq!(place("{ header = 'Location', last_segment = true }").text(scene).unwrap(), "42");
        assert_eq!(place("{ body = true }").text(scene).unwrap(), "T-9");
        assert_eq!(place("{ at = '/c', base64 = true }").text(scene).unwrap(), "über");
    }

    #[test]
    fn html_becomes_text_and_a_pattern_takes_a_part() {
        let row = json!({"b": "<div>Done &amp; <b>checked</b>.<br>See&nbsp;&lt;log&gt;</div><p>Bye</p>",
            "labels": ["urgent", "group::SAP"], "url": "/t/42/view"});
        assert_eq!(text("{ at = '/b', html = true }", &row).unwrap(), "Done & checked.\nSee <log>\nBye");
        assert_eq!(text("{ at = '/labels/*', pattern = '^group::(.+)$' }", &row).unwrap(), "SAP");
        assert_eq!(text("{ at = '/url', pattern = '[0-9]+' }", &row).unwrap(), "42");
        assert_eq!(text("{ at = '/url', pattern = 'x' }", &row), None);
        assert!(toml::from_str::<PlaceTable>("at = '/a'\npattern = '('").is_err());
    }

    #[test]
    fn a_key_is_known_by_its_shape_inside_any_text() {
        let key = Key::of("x", &["a"], 1);
        let row = json!({"d": format!("see ({key}), not lm-short nor x{key}y")});
        assert_eq!(place("'/d'").keys(Scene { row: &row, answer: None }), [key]);
    }

    #[test]
    fn times_are_read_and_written_in_their_zone() {
        let berlin = Tz::Europe__Berlin;
        let at = Timestamp(1_772_359_200_000);
        for (format, written) in [
            ("epoch_s", "1772359200"),
            ("epoch_ms", "1772359200000"),
            ("datetime", "2026-03-01 11:00:00"),
            ("%d.%m.%Y %H:%M", "01.03.2026 11:00"),
        ] {
            assert_eq!(write_time(at, format, berlin), written);
            assert_eq!(read_time(written, format, berlin), Some(at), "{format}");
        }
        assert_eq!(read_time("2026-03-01T11:00:00.000+0100", "rfc3339", Tz::UTC), Some(at));
        assert_eq!(read_time("soon", "rfc3339", Tz::UTC), None);
        for (never, format) in [("1899-12-30T00:00:00Z", "rfc3339"), ("0", "epoch_s"), ("1970-01-01T00:00:00Z", "rfc3339")] {
            assert_eq!(read_time(never, format, Tz::UTC), None);
        }
        assert!(is_format("%d.%m.%Y") && !is_format("iso") && !is_format("%Q"));
    }
}
