//! What the native desks share: credentials, calls with their verdicts, paging through changes.

use std::future::Future;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use base64::Engine;
use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Changes;
use super::redact::Redaction;
use crate::catalog::{ConfigFile, Problem, SecretRef, Span};
use crate::http::client::ClientSettings;
use crate::http::verdict::by_status;
use crate::http::{Answer, Call, CallError, HttpClient};
use crate::model::finding::{Finding, Grade};
use crate::model::key::Key;
use crate::model::ticket::TicketStatus;
use crate::model::{Outcome, Timestamp};

/// Rows beyond the mark after which one `changed_since` ends and asks to be called again.
const CHANGES_PER_CALL: usize = 500;

/// How we show who we are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum Auth {
    /// User name (for Jira Cloud: e-mail address) and password or API token.
    Basic {
        /// User name.
        user: String,
        /// Password or API token.
        password: SecretRef,
    },
    /// `Authorization: Bearer …` (personal access token, OAuth token).
    Bearer(SecretRef),
    /// A key in a header of its own (`x-sn-apikey`).
    ApiKey {
        /// The header's name.
        header: String,
        /// The key.
        key: SecretRef,
    },
}

/// An outcome, or `"ask"`: the ticket waits for a person who says how it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema)]
#[schemars(with = "String")]
pub struct OutcomeOrAsk(pub Option<Outcome>);

impl<'de> Deserialize<'de> for OutcomeOrAsk {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        if word == "ask" {
            return Ok(Self(None));
        }
        Outcome::parse(&word).map(|o| Self(Some(o))).ok_or_else(|| {
            let known = Outcome::ALL.map(Outcome::as_str).join("`, `");
            serde::de::Error::custom(format!("unknown variant `{word}`, expected one of `{known}`, `ask`"))
        })
    }
}

impl Serialize for OutcomeOrAsk {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.map_or("ask", Outcome::as_str))
    }
}

/// Limits of the connection that every native desk's settings hold.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    pub(super) timeout: Span,
    pub(super) max_in_flight: usize,
    pub(super) per_second: Option<NonZeroU32>,
    pub(super) ca_file: Option<PathBuf>,
}

/// Resolves a secret of the file; when it is missing, the problem names the line.
pub(super) fn secret(file: &ConfigFile, folder: &Path, keys: &[&str], reference: &SecretRef) -> Result<SecretString, Problem> {
    reference
        .resolve(folder)
        .map_err(|words| file.problem(keys, words, Some("set it, or point the configuration at where the secret is".to_owned())))
}

/// A connection to one desk: address, credentials, client. `Debug` shows the address only.
pub(super) struct Wire {
    client: HttpClient,
    base: String,
    headers: Vec<(String, SecretString)>,
    redaction: Redaction,
    words: fn(&Value) -> String,
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Wire({})", self.base)
    }
}

impl Wire {
    /// Builds the connection; `words` takes the explanation out of the desk's error bodies.
    pub(super) fn build(
        name: &str,
        file: &ConfigFile,
        folder: &Path,
        (url, auth, limits): (&str, &Auth, &Limits),
        words: fn(&Value) -> String,
    ) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let base = checked_url(file, url).map_err(|p| problems.push(p)).unwrap_or_default();
        let (headers, secrets) = auth_headers(file, folder, auth).map_err(|p| problems.push(p)).unwrap_or_default();
        let ca_pem = match &limits.ca_file {
            None => None,
            Some(path) => match std::fs::read(folder.join(path)) {
                Ok(pem) => Some(pem),
                Err(e) => {
                    problems.push(file.problem(&["ca_file"], format!("the root certificate cannot be read: {e}"), None));
                    None
                }
            },
        };
        if limits.timeout.ms() < 1000 {
            problems.push(file.problem(&["timeout"], "a time-out below one second turns slow into unclear", None));
        }
        let settings = ClientSettings {
            edge: name.to_owned(),
            timeout: limits.timeout.duration(),
            max_in_flight: limits.max_in_flight,
            per_second: limits.per_second,
            ca_pem,
        };
        match HttpClient::new(settings) {
            Ok(client) if problems.is_empty() => Ok(Self { client, base, headers, redaction: Redaction::of(secrets), words }),
            Ok(_) => Err(problems),
            Err(words) => {
                problems.push(file.problem(&["ca_file"], words, None));
                Err(problems)
            }
        }
    }

    /// Address of the desk without a slash at its end.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// The desk's configured name.
    pub(super) fn edge(&self) -> &str {
        self.client.edge()
    }

    /// A call to a path of the desk, without credentials yet.
    pub(super) fn call(&self, method: &'static str, path: &str) -> Call {
        Call::new(method, format!("{}{path}", self.base)).header("accept", "application/json")
    }

    async fn send(&self, mut call: Call) -> Result<Answer, CallError> {
        for (name, value) in &self.headers {
            call.headers.push((name.clone(), value.expose_secret().to_owned()));
        }
        self.client.send(call).await
    }

    fn failure(&self, answer: &Answer) -> CallError {
        let words = answer.json().map(|body| (self.words)(&body)).unwrap_or_default();
        by_status(answer.status, answer.retry_after(), self.edge(), &self.redaction.clean(&words))
    }

    /// A read: nothing about it is ever unclear.
    pub(super) async fn read(&self, call: Call) -> Result<Reply, CallError> {
        let answer = self.send(call).await.map_err(CallError::of_a_read)?;
        if !answer.is_success() {
            return Err(self.failure(&answer).of_a_read());
        }
        self.reply(answer).map_err(CallError::of_a_read)
    }

    /// A read of one record; `None` when the desk itself (and not a proxy in between) says that there is none.
    pub(super) async fn read_if_there(&self, call: Call) -> Result<Option<Reply>, CallError> {
        let answer = self.send(call).await.map_err(CallError::of_a_read)?;
        if matches!(answer.status, 404 | 410) {
            let is_json = answer.header("content-type").is_some_and(|t| t.contains("json"));
            return if is_json {
                Ok(None)
            } else {
                Err(CallError::retry("E-NOT-JSON", format!("{} answered {} with a page", self.edge(), answer.status)))
            };
        }
        if !answer.is_success() {
            return Err(self.failure(&answer).of_a_read());
        }
        self.reply(answer).map(Some).map_err(CallError::of_a_read)
    }

    /// A call with an effect. A success that is not JSON is unclear: the desk may be asleep, or may have acted.
    pub(super) async fn write(&self, call: Call) -> Result<Reply, CallError> {
        let answer = self.send(call).await?;
        if !answer.is_success() {
            return Err(self.failure(&answer));
        }
        if answer.body.is_empty() {
            return Ok(Reply { body: Value::Null, answer });
        }
        self.reply(answer)
    }

    fn reply(&self, answer: Answer) -> Result<Reply, CallError> {
        match answer.json() {
            Some(body) => Ok(Reply { body, answer }),
            None => Err(CallError::unclear(
                "E-NOT-JSON",
                format!("{} answered {} with something that is not JSON (asleep, or a login page)", self.edge(), answer.status),
            )),
        }
    }
}

/// A success with a JSON body.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) body: Value,
    pub(super) answer: Answer,
}

fn checked_url(file: &ConfigFile, url: &str) -> Result<String, Problem> {
    let parsed = url::Url::parse(url).map_err(|e| file.problem(&["url"], format!("`{url}` is not an address: {e}"), None))?;
    if !matches!(parsed.scheme(), "http" | "https") || parsed.password().is_some() {
        let help = Some("write https://host[/path]; credentials stand under [auth]".to_owned());
        return Err(file.problem(&["url"], "the address must be https (or http) and hold no password", help));
    }
    Ok(url.trim_end_matches('/').to_owned())
}

type Headers = Vec<(String, SecretString)>;

/// Headers of every call, and every form in which the secret travels in them.
fn auth_headers(file: &ConfigFile, folder: &Path, auth: &Auth) -> Result<(Headers, Vec<SecretString>), Problem> {
    let authorization = |value: String| vec![("authorization".to_owned(), SecretString::from(value))];
    Ok(match auth {
        Auth::Basic { user, password } => {
            let password = secret(file, folder, &["auth", "basic", "password"], password)?;
            let pair = format!("{user}:{}", password.expose_secret());
            let encoded = base64::engine::general_purpose::STANDARD.encode(pair);
            (authorization(format!("Basic {encoded}")), vec![password, encoded.into()])
        }
        Auth::Bearer(token) => {
            let token = secret(file, folder, &["auth", "bearer"], token)?;
            (authorization(format!("Bearer {}", token.expose_secret())), vec![token])
        }
        Auth::ApiKey { header, key } => {
            let key = secret(file, folder, &["auth", "api_key", "key"], key)?;
            (vec![(header.to_lowercase(), key.clone())], vec![key])
        }
    })
}

/// A search by key that gives tickets without the key ignores what it was asked, or hides the field from us. That it
/// did not give ours proves nothing: a create must not be repeated because of it.
pub(super) fn no_witness(edge: &str, field: &str) -> CallError {
    CallError::retry(
        "E-SHAPE",
        format!("{edge} answers a search by our key with tickets that do not carry it: can our account read `{field}` there?"),
    )
}

/// The text, when it has the shape of our keys.
pub(super) fn our_key(text: &str) -> Option<Key> {
    let tail = text.strip_prefix("lm-")?;
    let fits = tail.len() == 24 && tail.bytes().all(|b| b.is_ascii_lowercase() || (b'2'..=b'7').contains(&b));
    fits.then(|| Key(text.to_owned()))
}

/// A member that is a string and not empty.
pub(super) fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer).and_then(Value::as_str).filter(|t| !t.is_empty())
}

/// A finding of `check`.
pub(super) fn finding(grade: Grade, what: impl Into<String>, words: impl Into<String>) -> Finding {
    Finding { grade, what: what.into(), words: words.into() }
}

/// Where the next page of the same question starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    /// Rows to skip.
    Offset(usize),
    /// The desk's own token.
    Token(String),
}

/// One page of changed tickets, oldest change first.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) rows: Vec<TicketStatus>,
    /// Absent on the last page. A short page alone is no end: rights may have thinned it.
    pub(super) next: Option<Next>,
}

/// Walks pages of changes from `from` on. Rows move to the end of the order while we read, so each page starts
/// anew at the last time seen (less `grain_ms`, the coarseness of the desk's comparison) and offsets are used
/// only within that; rows are told apart by id and time. Ends after enough rows *beyond* the mark, so that a large
/// overlap never keeps the mark from moving.
pub(super) async fn walk<F, Fut>(mark: Timestamp, from: Timestamp, grain_ms: i64, mut fetch: F) -> Result<Changes, CallError>
where
    F: FnMut(Timestamp, Option<Next>) -> Fut + Send,
    Fut: Future<Output = Result<Page, CallError>> + Send,
{
    let mut seen = std::collections::HashSet::new();
    let mut changes = Changes::default();
    let (mut anchor, mut at, mut beyond) = (from, None, 0usize);
    loop {
        let page = fetch(anchor, at.take()).await?;
        let newest = page.rows.iter().filter_map(|r| r.updated_at).max();
        for row in page.rows {
            if seen.insert((row.ticket.id.clone(), row.updated_at)) {
                beyond += usize::from(row.updated_at > Some(mark));
                changes.rows.push(row);
            }
        }
        changes.next_mark = changes.next_mark.max(newest);
        let Some(next) = page.next else { return Ok(changes) };
        if beyond >= CHANGES_PER_CALL {
            changes.more = true;
            return Ok(changes);
        }
        match newest.map(|n| n.plus_ms(-grain_ms)).filter(|n| *n > anchor) {
            Some(later) => anchor = later,
            None => at = Some(next),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ticket::{Category, TicketRef};

    fn row(id: usize, at: i64) -> TicketStatus {
        TicketStatus {
            ticket: TicketRef { id: id.to_string(), number: id.to_string() },
            key: None,
            category: Category::Open,
            outcome: None,
            status: String::new(),
            resolution: None,
            group: None,
            assigned: false,
            created_by: None,
            updated_at: Some(Timestamp(at)),
            closed_at: None,
        }
    }

    /// A desk that compares by whole seconds.
    async fn desk(all: &[(usize, i64)], a_page: usize, from: Timestamp, at: Option<Next>) -> Result<Page, CallError> {
        let skip = match at {
            Some(Next::Offset(n)) => n,
            _ => 0,
        };
        let hits: Vec<_> = all.iter().filter(|(_, t)| *t >= from.0 / 1000 * 1000).collect();
        let rows = hits.iter().skip(skip).take(a_page).map(|(id, t)| row(*id, *t)).collect();
        Ok(Page { rows, next: (hits.len() > skip + a_page).then_some(Next::Offset(skip + a_page)) })
    }

    #[tokio::test]
    async fn equal_times_never_hide_a_row_nor_stop_the_walk() {
        let all: Vec<(usize, i64)> = (0..40).map(|n| (n, if n < 20 { 5_000 } else { 5_000 + (n as i64 - 19) * 400 })).collect();
        let changes = walk(Timestamp(5_000), Timestamp(0), 1_000, |from, at| desk(&all, 3, from, at)).await.unwrap();
        let mut ids: Vec<usize> = changes.rows.iter().map(|r| r.ticket.id.parse().unwrap()).collect();
        ids.sort_unstable();
        assert_eq!(ids, (0..40).collect::<Vec<_>>());
        assert_eq!(changes.next_mark, Some(Timestamp(13_000)));
        assert!(!changes.more);
    }

    #[tokio::test]
    async fn an_overlap_larger_than_one_call_still_moves_the_mark() {
        let all: Vec<(usize, i64)> = (0..2_000).map(|n| (n, 1_000 + n as i64)).collect();
        let mut mark = Timestamp(1_500);
        for _ in 0..10 {
            let changes = walk(mark, mark.plus_ms(-60_000), 0, |from, at| desk(&all, 90, from, at)).await.unwrap();
            let next = changes.next_mark.unwrap();
            if !changes.more {
                assert_eq!(next, Timestamp(2_999));
                return;
            }
            assert!(next > mark);
            mark = next;
        }
        panic!("never reached the end");
    }

    #[test]
    fn only_the_shape_of_our_keys_is_taken_for_one() {
        let key = Key::of("x", &["a"], 1);
        assert_eq!(our_key(key.as_str()), Some(key));
        assert_eq!(our_key("lm-short"), None);
        assert_eq!(our_key("urgent"), None);
    }
}
