//! `desks/*.toml` with `kind = "rest"`: a desk declared in TOML (docs/adding-a-desk.md).

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::auth::AuthSettings;
use super::operation::{Operation, Word};
use super::place::Place;
use super::status_map::StatusRule;
use crate::catalog::scheme::SchemeSettings;
use crate::catalog::{SecretRef, Span};

/// A desk declared in TOML. Every `{{name}}` in it is checked when it is loaded.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// `rest`.
    pub kind: String,
    /// `https://desk.example.com`, without the path of its API.
    pub url: String,
    /// Path of the API, put before the path of every operation: `/REST/2.0`.
    #[serde(default)]
    pub prefix: String,
    /// What an admin group is there, for people: `queue`, `project`, `assignment group`.
    #[serde(default = "group")]
    pub group_is: String,
    /// Our own account as `ticket.created_by` shows it: tells our tickets from copies that admins make.
    #[serde(default)]
    pub account: Option<String>,
    /// Address of a ticket for people: `{{base}}/Ticket/Display.html?id={{ticket.id}}`.
    #[serde(default)]
    pub ticket_url: Option<String>,
    /// What every answer must be.
    #[serde(default)]
    pub answers: Answers,
    /// Zone of dates that name none.
    #[serde(default = "utc")]
    pub zone: String,
    /// How dates are written: `rfc3339`, `epoch_s`, `epoch_ms`, `datetime` (`YYYY-MM-DD HH:MM:SS` in `zone`) or a
    /// pattern with `%`.
    #[serde(default = "rfc3339")]
    pub times: String,
    /// How texts of tickets and comments are written.
    #[serde(default)]
    pub markup: Markup,
    /// Headers of every call.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// How we show who we are.
    #[serde(default)]
    pub auth: AuthSettings,
    /// Secrets that calls name as `{{secrets.name}}`, for desks that want them in the body.
    #[serde(default)]
    pub secrets: BTreeMap<String, SecretRef>,
    /// What `{{priority}}` is for our `"0"` (can wait) … `"3"` (urgent); the number itself where it is not given.
    #[serde(default)]
    pub priorities: BTreeMap<String, String>,
    /// Lengths, rates and times.
    #[serde(default)]
    pub limits: Limits,
    /// How long a new ticket may stay invisible to `find`. `"0s"` states that the desk searches its database (level
    /// D2); not given: an index that may lag five minutes (D1).
    #[serde(default)]
    pub index_lag: Option<Span>,
    /// Only for a desk without `operations.find` (level D0), and needed there: what becomes of a create of which nobody
    /// knows whether it made a ticket. `maybe_twice` sends it again, `maybe_never` waits for a person.
    #[serde(default)]
    pub when_unclear: Option<crate::desk::WhenUnclear>,
    /// Repeating a create with the same key gives the same ticket and overwrites nothing (level D3).
    #[serde(default)]
    pub create_is_idempotent: bool,
    /// Pointers to the words of an error, tried in this order.
    #[serde(default)]
    pub errors: Vec<String>,
    /// What HTTP statuses mean on this desk, for every operation; an operation's own table wins.
    #[serde(default)]
    pub statuses: BTreeMap<String, Word>,
    /// Where the parts of a ticket stand in an answer.
    pub ticket: TicketPlaces,
    /// What the desk's words mean, the first rule that fits. Without a fit a ticket is *unknown*, never done.
    #[serde(default)]
    pub status: Vec<StatusRule>,
    /// What is told of a closed ticket, from the captures of `operations.read.after`.
    #[serde(default)]
    pub reading: Reading,
    /// Where the files that lie with a ticket stand in the rows of `operations.files`.
    #[serde(default)]
    pub files: Option<Files>,
    /// The calls.
    pub operations: Operations,
    /// The desk's own webhook; none: hooks are refused, and polling finds everything.
    #[serde(default)]
    pub webhook: Option<Webhook>,
}

/// What every answer must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Answers {
    /// JSON; anything else under a 2xx means asleep or a login page.
    #[default]
    Json,
    /// Anything.
    Any,
}

/// How texts are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Markup {
    /// Plain text.
    #[default]
    Plain,
    /// HTML.
    Html,
    /// Jira's wiki text.
    Wiki,
}

/// Lengths, rates and times.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Longest summary, characters.
    pub summary: usize,
    /// Longest text, characters.
    pub body: usize,
    /// Calls per second.
    pub per_second: Option<NonZeroU32>,
    /// Calls at the same time.
    pub max_in_flight: usize,
    /// Time-out of a call.
    pub timeout: Span,
    /// How long the desk may still carry out a call after our time-out.
    pub max_processing: Span,
    /// How far each look at what changed reaches back before the last one.
    pub overlap: Span,
    /// A further root certificate (PEM); a relative path starts at the configuration folder.
    pub ca_file: Option<PathBuf>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            summary: 200,
            body: 30_000,
            per_second: None,
            max_in_flight: 4,
            timeout: Span::secs(30),
            max_processing: Span::secs(120),
            overlap: Span::secs(120),
            ca_file: None,
        }
    }
}

/// Where the parts of a ticket stand.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TicketPlaces {
    /// The desk's stable id.
    pub id: Option<Place>,
    /// What people call it; the id where it is not given.
    pub number: Option<Place>,
    /// Where our key stands. It may stand inside a longer text: it is known by its shape.
    pub key: Option<Place>,
    /// Status.
    pub status: Option<Place>,
    /// Resolution or close code.
    pub resolution: Option<Place>,
    /// Time of the last change.
    pub updated: Option<Place>,
    /// Time of closing.
    pub closed_at: Option<Place>,
    /// Account that created it.
    pub created_by: Option<Place>,
    /// Admin group it is with.
    pub group: Option<Place>,
    /// Who has taken it.
    pub owner: Option<Place>,
    /// Further values that status rules may ask for, by name.
    pub more: BTreeMap<String, Place>,
}

/// What is told of a closed ticket; templates over `{{steps.name.capture}}`. One that names a step that found nothing
/// tells nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Reading {
    /// Id of who closed it.
    pub closer: Option<String>,
    /// Their name.
    pub closer_name: Option<String>,
    /// Their last words.
    pub words: Option<String>,
    /// When work began, written as `times` says.
    pub first_work_at: Option<String>,
}

/// Where files stand in a row. Their names and addresses travel with the outcome, never what is in them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Files {
    /// The file's name; with `*` in the pointer, the names of all files of the row.
    pub name: Place,
    /// Its id, for the address.
    #[serde(default)]
    pub id: Option<Place>,
    /// Id of the row (the comment that brought it), for the address.
    #[serde(default)]
    pub row: Option<Place>,
    /// Address for people: `{{base}}/attachments/{{file.id}}`; also `{{file.name}}`, `{{file.row}}`, `{{ticket.id}}`.
    #[serde(default)]
    pub url: Option<String>,
}

/// The calls. `probe`, `create` and `read` make a desk; the others make it better.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Operations {
    /// A cheap call that needs our credentials.
    pub probe: Operation,
    /// Makes a ticket; `{{key}}` must travel in it.
    pub create: Operation,
    /// Reads one ticket.
    pub read: Operation,
    /// Finds tickets by `{{key}}`; none: level D0.
    #[serde(default)]
    pub find: Option<Operation>,
    /// Reads many tickets by `{{ids}}`; none: one by one.
    #[serde(default)]
    pub status: Option<Operation>,
    /// Tickets changed since `{{since}}`; none: only the full pass finds news.
    #[serde(default)]
    pub changed_since: Option<Operation>,
    /// Adds a comment.
    #[serde(default)]
    pub comment: Option<Operation>,
    /// Closes as cancelled, with a comment.
    #[serde(default)]
    pub close: Option<Operation>,
    /// Puts `{{body}}` in the place of the ticket's text (the order changed; a comment has said so). Only for desks that
    /// let a ticket's text be replaced.
    #[serde(default)]
    pub rewrite: Option<Operation>,
    /// Reads what comments say, so that `{{mark}}` can be found in them; none: an unclear comment waits for a person.
    #[serde(default)]
    pub comments: Option<Operation>,
    /// Lists the files that lie with a ticket (`[files]`); none: no evidence travels with its outcome.
    #[serde(default)]
    pub files: Option<Operation>,
    /// Looks `{{group}}` up, for `check --online`.
    #[serde(default)]
    pub group: Option<Operation>,
}

impl Operations {
    /// Every declared operation with its name.
    #[must_use]
    pub fn all(&self) -> Vec<(&'static str, &Operation)> {
        let optional = [
            ("find", &self.find),
            ("status", &self.status),
            ("changed_since", &self.changed_since),
            ("comment", &self.comment),
            ("close", &self.close),
            ("rewrite", &self.rewrite),
            ("comments", &self.comments),
            ("files", &self.files),
            ("group", &self.group),
        ];
        let mut all = vec![("probe", &self.probe), ("create", &self.create), ("read", &self.read)];
        all.extend(optional.into_iter().filter_map(|(name, operation)| Some((name, operation.as_ref()?))));
        all
    }
}

/// The desk's own webhook.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// How its sender is verified.
    pub verify: SchemeSettings,
    /// The ticket's id.
    pub ticket: Place,
    /// Our key.
    #[serde(default)]
    pub key: Option<Place>,
}

fn group() -> String {
    "group".to_owned()
}

fn utc() -> String {
    "UTC".to_owned()
}

fn rfc3339() -> String {
    "rfc3339".to_owned()
}
