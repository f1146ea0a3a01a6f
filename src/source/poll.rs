//! A list that is asked for, page by page.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
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
use super::{ListKind, Pulled, SourceEvent, digest, web_address};
use crate::catalog::Span;
use crate::catalog::file::nearest_zone;
use crate::http::client::ClientSettings;
use crate::http::verdict::json_of;
use crate::http::{Answer, Call, CallError, HttpClient};
use crate::model::key::stable_id;
use crate::model::{Clock, Timestamp};

/// `[poll]`: the list, when it is asked for and how it is read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PollSettings {
    /// Address of the list, with the query parameters that never change.
    pub url: String,
    /// A span (`"30s"`) or five cron fields (`"*/5 * * * *"`).
    pub schedule: String,
    /// Zone of the cron fields (`Europe/Berlin`).
    #[serde(default = "utc")]
    pub zone: String,
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
    /// Most pages in one round; what is beyond is read in the next round (of an ascending cursor list) or makes the
    /// round incomplete.
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

fn utc() -> String {
    "UTC".to_owned()
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
    /// A row's mark is before that of an earlier row.
    unsorted: bool,
    /// The last row of the page before, with which the next one must begin.
    last: Option<String>,
}

/// How a round ended.
enum End {
    /// With the last page.
    Whole,
    /// Before its end; what was read up to here is all there was.
    BrokenOff(CallError),
    /// Rows were missed or moved; nobody knows which.
    Torn(CallError),
}

impl Poller {
    /// Resolves credentials and address.
    ///
    /// # Errors
    /// The key at fault and words for people.
    pub fn new(edge: &str, settings: PollSettings, folder: &Path, clock: Arc<dyn Clock>) -> Result<Self, (&'static str, String)> {
        let url = web_address(&settings.url).map_err(|words| ("url", words))?;
        if settings.list == ListKind::Cursor && settings.cursor.is_none() {
            return Err((
                "list",
                "a cursor list needs `[poll.cursor]`: where each row's mark stands and how it is asked for".to_owned(),
            ));
        }
        let auth = settings.auth.resolve(folder).map_err(|words| ("auth", words))?.timed_by(clock);
        let zone: Tz = settings.zone.parse().map_err(|_| {
            let meant = nearest_zone(&settings.zone);
            let help = meant.map_or_else(String::new, |best| format!("; did you mean `{best}`?"));
            ("zone", format!("there is no time zone `{}`{help}", settings.zone))
        })?;
        let timing = Timing::parse(&settings.schedule).map_err(|words| ("schedule", words))?.in_zone(zone);
        if matches!(settings.paging, Paging::Offset { limit: 0 | 1, .. }) {
            return Err((
                "paging",
                "`limit` must be at least 2: each page begins with the last row of the one before".to_owned(),
            ));
        }
        if matches!(settings.paging, Paging::Page { size: 0, .. }) {
            return Err(("paging", "`size` must be at least 1".to_owned()));
        }
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
                let words = format!("the list of {} did not end after {} pages", self.client.edge(), asked.len());
                break End::BrokenOff(CallError::retry("E-PAGE", words));
            }
            match self.page(source, map, &url, &mut round).await {
                Ok(Next::Page(next)) => url = next,
                Ok(Next::End) if round.doubled && self.paging().by_position() => {
                    break End::Torn(self.moved());
                }
                Ok(Next::End) => break End::Whole,
                Ok(Next::Torn) => break End::Torn(self.moved()),
                // The pages before this one fit together, and nothing of this one was taken.
                Ok(Next::Moved) => break End::BrokenOff(self.moved()),
                Err(error) if asked.len() == 1 => return Err(error),
                Err(error) => break End::BrokenOff(error),
            }
        };
        let next_cursor = self.next_cursor(cursor, &round, &end, now);
        let whole = matches!(end, End::Whole);
        let broken = match end {
            End::BrokenOff(error) | End::Torn(error) => Some(error),
            End::Whole if round.unreadable && self.list() == ListKind::Snapshot => {
                let words = format!("a row of {} has no id where `external_id` looks for it", self.client.edge());
                Some(CallError::reject("E-PAGE", words))
            }
            End::Whole => None,
        };
        Ok(Pulled {
            next_cursor,
            events: round.events,
            complete: whole && !round.unreadable,
            present: round.present.into_iter().collect(),
            one_page: asked.len() == 1,
            broken,
        })
    }

    fn moved(&self) -> CallError {
        CallError::retry("E-PAGE", format!("rows of {} moved while its pages were read", self.client.edge()))
    }

    /// Reads the first page and forgets it.
    ///
    /// # Errors
    /// As the call.
    pub async fn probe(&self) -> Result<(), CallError> {
        let (_, body) = self.get(&self.paging().first(&self.url)).await?;
        self.rows(&body).map(drop)
    }

    /// The events of the first page, from the beginning of the list.
    ///
    /// # Errors
    /// As the call.
    pub async fn first_page(&self, source: &str, map: &Mapping) -> Result<Vec<SourceEvent>, CallError> {
        let mut round = Round::default();
        self.page(source, map, &self.paging().first(&self.url), &mut round).await?;
        Ok(round.events)
    }

    fn paging(&self) -> &Paging {
        &self.settings.paging
    }

    async fn page(&self, source: &str, map: &Mapping, url: &Url, round: &mut Round) -> Result<Next, CallError> {
        let (answer, body) = self.get(url).await?;
        let rows = self.rows(&body)?;
        // A page by position begins with the last row of the one before: a row in between cannot be missed unseen.
        let overlapping = matches!(self.paging(), Paging::Offset { .. }) && round.rows > 0;
        if overlapping {
            let first = rows.first().map(|row| identity(row));
            if first.is_none() || first != round.last {
                return Ok(Next::Moved);
            }
        }
        let fresh = &rows[usize::from(overlapping)..];
        round.rows += fresh.len() as u64;
        for row in fresh {
            self.row(source, map, row, round);
        }
        round.last = rows.last().map(|row| identity(row));
        self.paging()
            .next(url, &answer, &body, fresh.len() as u64, round.rows)
            .map_err(|words| CallError::reject("E-PAGE", words))
    }

    fn row(&self, source: &str, map: &Mapping, row: &Value, round: &mut Round) {
        let mark = self.settings.cursor.as_ref().and_then(|c| c.mark(row));
        round.unsorted |= mark < round.mark;
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
        let call = Call::new("GET", url.as_str()).header("accept", "application/json");
        let answer = self.auth.send(&self.client, call).await.map_err(CallError::of_a_read)?;
        let body = json_of(&answer, self.client.edge())?;
        Ok((answer, body))
    }

    fn rows<'a>(&self, body: &'a Value) -> Result<Vec<&'a Value>, CallError> {
        let pointer = &self.settings.items;
        match items(body, pointer.as_str()) {
            Some(rows) if rows.iter().all(|row| row.is_object()) => Ok(rows),
            Some(_) => {
                let reason = format!("{} sent a page whose rows at `{pointer}` are no objects", self.client.edge());
                Err(CallError::retry("E-PAGE", reason))
            }
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

    /// Never beyond what was returned, never back, and never beyond our own present: a row whose time lies ahead (a
    /// platform's clock, a date of another kind) would hide all that comes after it.
    fn next_cursor(&self, cursor: Option<&str>, round: &Round, end: &End, now: Timestamp) -> String {
        match (self.list(), &self.settings.cursor) {
            (ListKind::Cursor, Some(settings)) => {
                let old = cursor.and_then(|c| c.parse::<i64>().ok());
                let reached = match (end, settings.format) {
                    (End::Whole, _) => round.mark,
                    // Rows of the same number may stand beyond the break.
                    (End::BrokenOff(_), MarkFormat::Number) => round.mark.map(|m| m.saturating_sub(1)),
                    (End::BrokenOff(_), _) => round.mark,
                    (End::Torn(_), _) => None,
                };
                let moves = matches!(end, End::Whole) || (settings.ascending && !round.unsorted);
                let reached = match settings.format {
                    MarkFormat::Number => reached,
                    _ => reached.map(|m| m.min(now.0)),
                };
                let mark = if moves { old.max(reached) } else { old };
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

/// What tells a row from others.
fn identity(row: &Value) -> String {
    digest(row.to_string().as_bytes())
}

/// A row as an event. Its id depends on what the row says, so that a row seen again is a repeat, and a changed row
/// is a new event of the same order; not on what the mapping makes of it, so that a row that does not map keeps its id
/// when the mapping is mended.
pub(super) fn polled(source: &str, map: &Mapping, row: &Value) -> Option<SourceEvent> {
    let text = row.to_string();
    let content = map.content(source, row, &text)?;
    let digest = digest(text.as_bytes());
    let event_id = format!("row-{}", stable_id(&["row", &digest]));
    Some(SourceEvent { event_id, digest, content })
}
