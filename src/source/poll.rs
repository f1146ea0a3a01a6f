//! A list that is asked for, page by page.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use chrono_tz::Tz;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use super::auth::{Auth, AuthSettings};
use super::date::{DayEdge, read};
use super::field::{Field, Pointer, as_text, items};
use super::mapping::Mapping;
use super::paging::{Next, Paging, with};
use super::timing::Timing;
use super::{EventContent, ListKind, Pulled, SourceEvent, digest};
use crate::catalog::Span;
use crate::http::client::ClientSettings;
use crate::http::verdict::by_status;
use crate::http::{Answer, Call, CallError, HttpClient};
use crate::model::Timestamp;
use crate::model::key::stable_id;

/// `[poll]`: the list, when it is asked for and how it is read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PollSettings {
    /// Address of the list, with the query parameters that never change.
    pub url: String,
    /// A span (`"30s"`) or five cron fields in UTC (`"*/5 * * * *"`).
    pub schedule: String,
    /// Credentials.
    #[serde(default)]
    pub auth: AuthSettings,
    /// New and changed rows since a mark (`cursor`), or all that is pending (`snapshot`).
    pub list: ListKind,
    /// Where the rows stand in the answer; `""` is the answer itself.
    #[serde(default = "whole")]
    pub items: Pointer,
    /// Platforms that leave the list out when it is empty: nothing at `items` is then an empty page. Otherwise it is
    /// a page that cannot be read.
    #[serde(default)]
    pub absent_is_empty: bool,
    /// Pages.
    #[serde(default)]
    pub paging: Paging,
    /// The mark; needed with `list = "cursor"`.
    #[serde(default)]
    pub cursor: Option<CursorSettings>,
    /// Most pages in one round; what is beyond is read in the next round (of an ascending cursor list) or makes a
    /// snapshot incomplete.
    #[serde(default = "max_pages")]
    pub max_pages: usize,
    /// Time-out of a call.
    #[serde(default = "timeout")]
    pub timeout: Span,
}

/// How far a cursor list was read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CursorSettings {
    /// Where the mark stands in each row.
    pub field: Field,
    /// Query parameter that takes the mark; left out in the first round.
    pub parameter: String,
    /// How the mark is written.
    #[serde(default)]
    pub format: MarkFormat,
    /// How far each round reaches back before the mark; of times only. Rows seen before are recognised.
    #[serde(default = "overlap")]
    pub overlap: Span,
    /// The list is sorted by the mark, oldest first: a round that breaks off may then go on where it stopped.
    #[serde(default)]
    pub ascending: bool,
}

/// How a mark is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MarkFormat {
    /// RFC 3339 in UTC.
    #[default]
    Rfc3339,
    /// Seconds since 1970.
    EpochSeconds,
    /// Milliseconds since 1970.
    EpochMillis,
    /// A growing whole number.
    Number,
}

fn whole() -> Pointer {
    Pointer::whole()
}

fn max_pages() -> usize {
    1000
}

fn timeout() -> Span {
    Span::secs(30)
}

fn overlap() -> Span {
    Span::secs(120)
}

/// Asks for a list.
#[derive(Debug)]
pub struct Poller {
    settings: PollSettings,
    url: Url,
    auth: Auth,
    timing: Timing,
    client: HttpClient,
}

/// What one round gathers.
#[derive(Default)]
struct Round {
    events: Vec<SourceEvent>,
    seen: BTreeSet<String>,
    present: BTreeSet<String>,
    mark: Option<i64>,
    rows: u64,
    /// A row without an id: what it is about may look absent.
    unreadable: bool,
    /// A row was given twice: rows moved from page to page meanwhile.
    doubled: bool,
}

/// How a round ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// With the last page.
    Whole,
    /// With a page that could not be read, or with too many pages.
    BrokenOff,
    /// With the last page, but rows were missed or moved.
    Torn,
}

impl Poller {
    /// Resolves credentials and address.
    ///
    /// # Errors
    /// The key at fault and words for people.
    pub fn new(edge: &str, settings: PollSettings, folder: &Path) -> Result<Self, (&'static str, String)> {
        let url = Url::parse(&settings.url).ok().filter(|u| matches!(u.scheme(), "http" | "https"));
        let url = url.ok_or_else(|| ("url", "not an address; it starts with https:// or http://".to_owned()))?;
        if settings.list == ListKind::Cursor && settings.cursor.is_none() {
            return Err((
                "list",
                "a cursor list needs `[poll.cursor]`: where each row's mark stands and how it is asked for".to_owned(),
            ));
        }
        let auth = settings.auth.resolve(folder).map_err(|words| ("auth", words))?;
        let timing = Timing::parse(&settings.schedule).map_err(|words| ("schedule", words))?;
        let timeout = settings.timeout.duration().max(Duration::from_millis(1));
        let client = HttpClient::new(ClientSettings { timeout, ..ClientSettings::for_edge(edge) }).map_err(|w| ("url", w))?;
        Ok(Self { settings, url, auth, timing, client })
    }

    /// What the list is.
    #[must_use]
    pub fn list(&self) -> ListKind {
        self.settings.list
    }

    /// The schedule as written.
    #[must_use]
    pub fn schedule(&self) -> &str {
        &self.settings.schedule
    }

    /// When it wants to be asked next.
    #[must_use]
    pub fn next(&self, now: Timestamp) -> Option<Timestamp> {
        self.timing.next(now)
    }

    /// One round. A first page that cannot be read is an error; a later one ends the round as incomplete, with the
    /// cursor where it was unless the list is ascending.
    ///
    /// # Errors
    /// As the call for the first page.
    pub async fn pull(&self, source: &str, map: &Mapping, cursor: Option<&str>, now: Timestamp) -> Result<Pulled, CallError> {
        let mut round = Round::default();
        let mut asked = BTreeSet::new();
        let mut url = self.paging().first(&self.asked_from(cursor));
        let end = loop {
            if asked.len() >= self.settings.max_pages.max(1) || !asked.insert(url.to_string()) {
                tracing::warn!(source, pages = asked.len(), "the list did not end; the round is incomplete");
                break End::BrokenOff;
            }
            match self.page(source, map, &url, &mut round).await {
                Ok(Next::Page(next)) => url = next,
                Ok(Next::End) if round.doubled && matches!(self.paging(), Paging::Offset { .. }) => break End::Torn,
                Ok(Next::End) => break End::Whole,
                Ok(Next::Torn) => break End::Torn,
                Err(error) if asked.len() == 1 => return Err(error),
                Err(error) => {
                    tracing::warn!(
                        source,
                        code = error.code(),
                        reason = error.reason(),
                        "a page could not be read; the round is incomplete"
                    );
                    break End::BrokenOff;
                }
            }
        };
        Ok(Pulled {
            next_cursor: self.next_cursor(cursor, &round, end, now),
            events: round.events,
            complete: end == End::Whole && !round.unreadable,
            present: round.present.into_iter().collect(),
        })
    }

    /// Reads the first page and forgets it.
    ///
    /// # Errors
    /// As the call.
    pub async fn probe(&self) -> Result<(), CallError> {
        let (_, body) = self.get(&self.paging().first(&self.url)).await?;
        self.rows(&body).map(drop)
    }

    fn paging(&self) -> &Paging {
        &self.settings.paging
    }

    async fn page(&self, source: &str, map: &Mapping, url: &Url, round: &mut Round) -> Result<Next, CallError> {
        let (answer, body) = self.get(url).await?;
        let rows = self.rows(&body)?;
        let count = rows.len() as u64;
        round.rows += count;
        for row in rows {
            self.row(source, map, row, round);
        }
        self.paging().next(url, &answer, &body, count, round.rows).map_err(|words| CallError::reject("E-PAGE", words))
    }

    fn row(&self, source: &str, map: &Mapping, row: &Value, round: &mut Round) {
        let mark = self.settings.cursor.as_ref().and_then(|c| c.mark(row));
        round.mark = round.mark.max(mark);
        match map.external_id(row) {
            Some(id) => {
                round.present.insert(id);
            }
            None => round.unreadable = true,
        }
        let Some(event) = polled(source, map, row) else { return };
        if round.seen.insert(event.event_id.clone()) {
            round.events.push(event);
        } else {
            round.doubled = true;
        }
    }

    async fn get(&self, url: &Url) -> Result<(Answer, Value), CallError> {
        let call = self.auth.on(Call::new("GET", url.as_str()).header("accept", "application/json"));
        let answer = self.client.send(call).await.map_err(CallError::of_a_read)?;
        if !answer.is_success() {
            return Err(by_status(answer.status, answer.retry_after(), self.client.edge(), "").of_a_read());
        }
        let body = answer.json().ok_or_else(|| {
            CallError::retry(
                "E-NOT-JSON",
                format!("{} answered {} with something that is not JSON", self.client.edge(), answer.status),
            )
        })?;
        Ok((answer, body))
    }

    fn rows<'a>(&self, body: &'a Value) -> Result<Vec<&'a Value>, CallError> {
        let pointer = &self.settings.items;
        match items(body, pointer.as_str()) {
            Some(rows) => Ok(rows),
            None if self.settings.absent_is_empty => Ok(Vec::new()),
            None => {
                let reason = format!("{} sent a page without a list at `{pointer}`", self.client.edge());
                Err(CallError::retry("E-PAGE", reason))
            }
        }
    }

    fn asked_from(&self, cursor: Option<&str>) -> Url {
        let mark = cursor.and_then(|c| c.parse::<i64>().ok());
        match (&self.settings.cursor, mark, self.list()) {
            (Some(settings), Some(mark), ListKind::Cursor) => with(&self.url, &settings.parameter, &settings.asked(mark)),
            _ => self.url.clone(),
        }
    }

    /// Never beyond what was returned, never back.
    fn next_cursor(&self, cursor: Option<&str>, round: &Round, end: End, now: Timestamp) -> String {
        match (self.list(), &self.settings.cursor) {
            (ListKind::Cursor, Some(settings)) => {
                let old = cursor.and_then(|c| c.parse::<i64>().ok());
                let moves = end == End::Whole || (end == End::BrokenOff && settings.ascending);
                let mark = if moves { old.max(round.mark) } else { old };
                mark.map(|m| m.to_string()).unwrap_or_default()
            }
            // A snapshot has no mark; the round's time tells rounds apart.
            _ => format!("round-{}", now.0),
        }
    }
}

impl CursorSettings {
    fn mark(&self, row: &Value) -> Option<i64> {
        let value = self.field.resolve("cursor", row).ok().flatten()?;
        match self.format {
            MarkFormat::Number => as_text(&value)?.parse().ok(),
            _ => read(&value, Tz::UTC, DayEdge::StartOfDay, None).flatten().map(|t| t.0),
        }
    }

    /// The mark as the platform wants it, reaching back by the overlap.
    fn asked(&self, mark: i64) -> String {
        let from = Timestamp(mark).plus_ms(-self.overlap.ms());
        match self.format {
            MarkFormat::Number => mark.to_string(),
            MarkFormat::Rfc3339 => from.iso(),
            MarkFormat::EpochSeconds => from.0.div_euclid(1000).to_string(),
            MarkFormat::EpochMillis => from.0.to_string(),
        }
    }
}

/// A row as an event. Its id depends on what the row says, so that a row seen again is a repeat, and a changed row
/// is a new event of the same order.
pub(super) fn polled(source: &str, map: &Mapping, row: &Value) -> Option<SourceEvent> {
    let text = row.to_string();
    let content = map.content(source, row, &text)?;
    let digest = digest(text.as_bytes());
    let (id, operation, generation) = match &content {
        EventContent::Order(order) => (order.external_id.clone(), order.operation.as_str(), order.generation.to_string()),
        EventContent::Withdrawn { external_id, operation, .. } => {
            (external_id.clone(), operation.map_or("all", |o| o.as_str()), "withdrawn".to_owned())
        }
        // What it will be once the mapping is mended does not matter: the digest alone tells rows apart.
        EventContent::Unmappable { .. } => (String::new(), "", String::new()),
    };
    let event_id = format!("row-{}", stable_id(&[&id, operation, &generation, &digest]));
    Some(SourceEvent { event_id, digest, content })
}
