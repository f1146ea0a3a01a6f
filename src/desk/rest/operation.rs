//! What one declared call looks like.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::place::Place;
use super::settings::TicketPlaces;

/// One call. Templates may use the names of their operation (docs/adding-a-desk.md lists them).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Operation {
    /// HTTP method.
    pub method: Method,
    /// Path after the prefix; filled values are percent-encoded.
    pub path: String,
    /// Query parameters; filled values are percent-encoded.
    pub query: BTreeMap<String, String>,
    /// Further headers.
    pub headers: BTreeMap<String, String>,
    /// Body.
    pub body: Option<BodyTemplate>,
    /// Calls that only read, made before; what they capture is `{{steps.name.capture}}`.
    pub before: Vec<Step>,
    /// Calls that only read, made after (`read` only).
    pub after: Vec<Step>,
    /// What a success must hold beyond its HTTP status.
    pub success: Success,
    /// What HTTP statuses mean here.
    pub statuses: BTreeMap<String, Word>,
    /// Pointer to the row or rows in the answer; the whole answer where it is not given.
    pub at: Option<String>,
    /// No rows at `at` means none; otherwise an answer without them is not believed.
    pub may_be_absent: bool,
    /// Places that differ from `[ticket]` in this answer (`create` often answers with an id only).
    pub ticket: Option<TicketPlaces>,
    /// `create`: pointer into the JSON body where further fields of the application go; `""` is its top.
    pub fields_at: Option<String>,
    /// `status`: how ids are joined to `{{ids}}`.
    pub batch: Option<Batch>,
    /// `find`, `changed_since`, `comments`: how pages are asked for.
    pub paging: Option<Paging>,
    /// How `{{since}}` and `{{due}}` are written; `times` of the desk where it is not given.
    pub dates: Option<String>,
    /// `changed_since`: rows come ordered by their last change, the oldest first (it is checked).
    pub oldest_first: bool,
}

/// HTTP method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// GET.
    #[default]
    Get,
    /// POST.
    Post,
    /// PUT.
    Put,
    /// PATCH.
    Patch,
    /// DELETE.
    Delete,
}

impl Method {
    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// A body. JSON is built by code: templates fill its leaves. A leaf that is exactly one `{{name}}` keeps the value's
/// type, and is left out when there is no value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum BodyTemplate {
    /// `application/json`.
    Json(Value),
    /// `application/x-www-form-urlencoded`.
    Form(BTreeMap<String, String>),
    /// A form in which one field holds JSON.
    FormJson {
        /// That field.
        field: String,
        /// Its JSON.
        json: Value,
        /// The other fields.
        #[serde(default)]
        form: BTreeMap<String, String>,
    },
    /// Raw text.
    Text(String),
}

/// A call that only reads, made before or after the main one.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Step {
    /// Name under which its captures are found.
    pub name: String,
    /// HTTP method; the call must have no effect.
    pub method: Method,
    /// Path after the prefix.
    pub path: String,
    /// Query parameters.
    pub query: BTreeMap<String, String>,
    /// Body, for searches by POST.
    pub body: Option<BodyTemplate>,
    /// Pointer to the rows; the whole answer where it is not given.
    pub at: Option<String>,
    /// Only rows that have one of these values at each pointer; values are templates.
    #[serde(rename = "where")]
    pub only: BTreeMap<String, Vec<String>>,
    /// Not rows that have one of these values at any of these pointers; values are templates.
    pub except: BTreeMap<String, Vec<String>>,
    /// The row that is taken.
    pub pick: Pick,
    /// Names and places of what is kept.
    pub capture: BTreeMap<String, Place>,
    /// Finding nothing is no failure: its captures do not exist then. `"group"`: the group does not exist.
    pub when_missing: Missing,
}

/// Which row of a step is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Pick {
    /// The first.
    #[default]
    First,
    /// The last.
    Last,
    /// The only one; several are a failure.
    Only,
}

/// What it means that a step finds nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// The operation fails; a person must look.
    #[default]
    Refuse,
    /// The desk does not know the admin group: the fallback group takes the ticket.
    Group,
    /// Nothing: steps that need its captures are left out too.
    Skip,
}

/// What a success must hold beyond its HTTP status.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Success {
    /// Values that must stand at pointers (`"/code" = 0`). Another value is the desk's refusal.
    pub equals: BTreeMap<String, Value>,
    /// Pointers that must exist; without them nobody knows what happened.
    pub exists: Vec<String>,
}

/// What an HTTP status means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// It is done.
    Done,
    /// It had no effect; later again.
    Retry,
    /// It may have happened.
    Unclear,
    /// It had no effect; a person must look.
    Reject,
    /// The ticket does not exist, or not for us.
    Gone,
    /// The desk does not know the admin group.
    Group,
}

/// How ids are joined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// One id, as `{{id}}`.
    #[serde(default = "one_id")]
    pub each: String,
    /// Text between them.
    #[serde(default = "comma")]
    pub join: String,
    /// Most ids of one call.
    #[serde(default = "fifty")]
    pub max: usize,
}

fn one_id() -> String {
    "{{id}}".to_owned()
}

fn comma() -> String {
    ",".to_owned()
}

fn fifty() -> usize {
    50
}

/// How pages are asked for. A page that is merely short is never the end: rights may have thinned it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, tag = "by", rename_all = "snake_case")]
pub enum Paging {
    /// `{{page}}` counts pages; ends with an empty page.
    Page {
        /// Number of the first page.
        #[serde(default = "one")]
        first: usize,
        /// Most pages of one walk.
        #[serde(default = "two_hundred")]
        max_pages: usize,
    },
    /// `{{offset}}` counts rows; ends with an empty page.
    Offset {
        /// Rows per page, as the call asks for.
        size: usize,
        /// Most pages of one walk.
        #[serde(default = "two_hundred")]
        max_pages: usize,
    },
    /// The header `Link` names the next page.
    Link {
        /// Most pages of one walk.
        #[serde(default = "two_hundred")]
        max_pages: usize,
    },
    /// A pointer holds a token for the next page, asked for as `{{cursor}}`; ends when there is none. On the first page
    /// a query parameter or a member of the body that is exactly `{{cursor}}` is left out.
    Cursor {
        /// The pointer.
        at: String,
        /// Pointer to a boolean that says whether more follows, for desks that give a token on the last page too.
        #[serde(default)]
        more: Option<String>,
        /// Most pages of one walk.
        #[serde(default = "two_hundred")]
        max_pages: usize,
    },
    /// A pointer holds the address of the next page.
    Next {
        /// The pointer.
        at: String,
        /// Most pages of one walk.
        #[serde(default = "two_hundred")]
        max_pages: usize,
    },
}

impl Paging {
    /// Most pages of one walk.
    #[must_use]
    pub fn max_pages(&self) -> usize {
        match self {
            Self::Page { max_pages, .. }
            | Self::Offset { max_pages, .. }
            | Self::Link { max_pages }
            | Self::Cursor { max_pages, .. }
            | Self::Next { max_pages, .. } => *max_pages,
        }
    }
}

fn one() -> usize {
    1
}

fn two_hundred() -> usize {
    200
}
