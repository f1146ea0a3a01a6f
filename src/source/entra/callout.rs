//! The message of the custom extension, as the Logic App forwards it: what it asks for, and until when it waits. Nothing
//! in it is believed that is not of the form it must have.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use url::Url;

use super::duration;
use super::settings::EntraFile;
use crate::model::{Operation, Timestamp};
use crate::source::date::{DayEdge, read};
use crate::source::digest;
use crate::source::field::lookup;

/// How far the Logic App's clock may be ahead of ours.
const CLOCKS_APART_MS: i64 = 300_000;
/// Waits that the platform allows: five minutes to fourteen days.
const WAITS_MS: std::ops::RangeInclusive<i64> = 300_000..=14 * 86_400_000;
/// No id of the platform is longer.
const LONGEST_ID: usize = 64;

/// Where in a request's life the extension is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Stage {
    /// The request was made; nobody has approved it yet.
    #[serde(rename = "assignmentRequestCreated")]
    Created,
    /// It was approved, and nothing was given yet.
    #[serde(rename = "assignmentRequestApproved")]
    Approved,
    /// The platform has given what it can give itself.
    #[serde(rename = "assignmentRequestGranted")]
    Granted,
    /// The assignment is taken away.
    #[serde(rename = "assignmentRequestRemoved")]
    Removed,
}

impl Stage {
    /// Every stage at which the platform can wait.
    pub const ALL: [Self; 4] = [Self::Created, Self::Approved, Self::Granted, Self::Removed];

    /// The platform's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "assignmentRequestCreated",
            Self::Approved => "assignmentRequestApproved",
            Self::Granted => "assignmentRequestGranted",
            Self::Removed => "assignmentRequestRemoved",
        }
    }

    /// Reads the platform's word, in any case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str().eq_ignore_ascii_case(text))
    }

    /// Whether there still is something to deny.
    #[must_use]
    pub fn may_be_denied(self) -> bool {
        matches!(self, Self::Created | Self::Approved)
    }
}

/// What a message is.
#[derive(Debug)]
pub(super) enum Reading {
    /// Nobody waits for an answer to it (days before an expiry).
    Nothing,
    /// It cannot be acted on.
    Wrong { problem: String, instance: Option<String> },
    /// An order.
    Order { document: Value, answer_by: Timestamp, instance: String },
}

impl Reading {
    /// The callout's own id and a digest of what it says; when it was forwarded is no part of it.
    pub(super) fn event_id(&self, body: &Value) -> String {
        let said = digest(body.get("callout").unwrap_or(body).to_string().as_bytes());
        let instance = match self {
            Self::Order { instance, .. } => Some(instance.as_str()),
            Self::Wrong { instance, .. } => instance.as_deref(),
            Self::Nothing => None,
        };
        format!("{}-{}", instance.unwrap_or("callout"), &said[..16])
    }
}

/// Reads messages.
#[derive(Debug)]
pub(super) struct Reader {
    graph: Url,
    stages: Vec<Stage>,
    /// Where a callout does not say.
    pub(super) wait_ms: i64,
    margin_ms: i64,
}

impl Reader {
    /// Of a source's file.
    ///
    /// # Errors
    /// The key at fault and words for people.
    pub(super) fn new(settings: &EntraFile, graph: Url) -> Result<Self, (&'static str, String)> {
        let words = "a wait is written as the platform writes it, between \"PT5M\" and \"P14D\"";
        let wait_ms = duration::read(&settings.wait).filter(|ms| WAITS_MS.contains(ms));
        let wait_ms = wait_ms.ok_or_else(|| ("wait", words.to_owned()))?;
        if settings.stages.is_empty() {
            return Err(("stages", "without a stage no callout is an order".to_owned()));
        }
        Ok(Self { graph, stages: settings.stages.clone(), wait_ms, margin_ms: settings.margin.ms() })
    }

    /// What a forwarded message is. `{"sentAt", "callout", "resources"}`, or the callout alone.
    pub(super) fn read(&self, body: &Value, received_at: Timestamp) -> Reading {
        let callout = small_first_letters(body.get("callout").unwrap_or(body));
        let instance = id_at(&callout, "/customExtensionStageInstanceId");
        let order = self.order(body, &callout, received_at, instance.clone());
        order.unwrap_or_else(|problem| Reading::Wrong { problem, instance })
    }

    fn order(&self, body: &Value, callout: &Value, received_at: Timestamp, instance: Option<String>) -> Result<Reading, String> {
        let stage = lookup(callout, "/stage").and_then(Value::as_str).ok_or("nothing stands at /callout/stage")?;
        if stage.to_ascii_lowercase().ends_with("beforeexpiration") {
            return Ok(Reading::Nothing);
        }
        let stage = Stage::parse(stage).ok_or("the stage at /callout/stage is not known")?;
        if !self.stages.contains(&stage) {
            return Err(format!("the extension is called at `{}`, which is not in `stages`", stage.as_str()));
        }
        let place = "/accessPackageAssignmentRequestId";
        let request = id_at(callout, place).ok_or_else(|| format!("no id stands at /callout{place}"))?;
        let instance = instance.ok_or("no id stands at /callout/customExtensionStageInstanceId")?;
        self.callback(callout, &request)?;
        let sent_at = body.get("sentAt").and_then(|at| read(at, chrono_tz::Tz::UTC, DayEdge::StartOfDay, None)).flatten();
        // A clock that is ahead must not move the end of the wait.
        let sent_at = sent_at.filter(|at| at.0 <= received_at.0 + CLOCKS_APART_MS).unwrap_or(received_at);
        let document = json!({
            "id": format!("{request}/{}/{instance}", stage.as_str()),
            "stage": stage.as_str(),
            "operation": operation(stage, callout)?.as_str(),
            "approvedAt": (stage != Stage::Created).then(|| sent_at.iso()),
            "resources": resources(body.get("resources")),
            "answers": answers(callout),
            "callout": callout,
        });
        let answer_by = sent_at.plus_ms(self.answer_within_ms(callout));
        Ok(Reading::Order { document, answer_by, instance })
    }

    /// From the callout until the platform must have heard something.
    fn answer_within_ms(&self, callout: &Value) -> i64 {
        let places = ["/callbackConfiguration/durationBeforeTimeout", "/callbackConfiguration/timeoutDuration"];
        let said = places.iter().find_map(|place| duration::read(lookup(callout, place)?.as_str()?));
        let wait = said.filter(|ms| WAITS_MS.contains(ms)).unwrap_or(self.wait_ms);
        wait - self.margin_ms.clamp(0, wait / 4)
    }

    /// The address to answer at is made by us; what the message names must be that very one.
    fn callback(&self, callout: &Value, request: &str) -> Result<(), String> {
        let place = "/callout/callbackUriPath";
        let named = lookup(callout, "/callbackUriPath").and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty());
        let named = named.ok_or_else(|| {
            format!("nothing stands at {place}: the extension does not wait for an answer; set it to “Launch and wait”")
        })?;
        let path = if named.starts_with('/') && !named.starts_with("//") {
            named.to_owned()
        } else {
            let url = Url::parse(named).ok().filter(|url| url.origin() == self.graph.origin() && url.query().is_none());
            url.ok_or_else(|| format!("the address at {place} is not one of the configured Graph"))?.path().to_owned()
        };
        let path = ["/v1.0", "/beta"].iter().find_map(|version| path.strip_prefix(version)).unwrap_or(&path);
        let ours = ["assignmentRequests", "accessPackageAssignmentRequests"]
            .map(|list| format!("/identityGovernance/entitlementManagement/{list}/{request}/resume"));
        if ours.iter().any(|ours| ours.eq_ignore_ascii_case(path)) {
            return Ok(());
        }
        Err(format!("the address at {place} does not resume this request"))
    }
}

/// An id of the platform: letters, digits, hyphens.
fn id_at(callout: &Value, place: &str) -> Option<String> {
    let id = lookup(callout, place)?.as_str()?;
    let fits = !id.is_empty() && id.len() <= LONGEST_ID && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    fits.then(|| id.to_owned())
}

/// `userAdd`, `adminUpdate`, `systemRemove` … What is called at the removal is one, whoever asked for it.
fn operation(stage: Stage, callout: &Value) -> Result<Operation, String> {
    let word = lookup(callout, "/requestType").and_then(Value::as_str).unwrap_or_default().to_ascii_lowercase();
    match stage {
        Stage::Removed => Ok(Operation::Revoke),
        _ if word.ends_with("remove") => Ok(Operation::Revoke),
        _ if word.ends_with("add") => Ok(Operation::Grant),
        _ if word.ends_with("update") || word.ends_with("extend") => Ok(Operation::Modify),
        _ => Err("the request type at /callout/requestType is not known".to_owned()),
    }
}

/// Names of the platform come with a large or a small first letter.
fn small_first_letters(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let small = |(name, value): (&String, &Value)| {
                let mut letters = name.chars();
                let first = letters.next().map(|c| c.to_ascii_lowercase());
                (first.into_iter().chain(letters).collect::<String>(), small_first_letters(value))
            };
            Value::Object(members.iter().map(small).collect::<Map<String, Value>>())
        }
        Value::Array(list) => list.iter().map(small_first_letters).collect(),
        other => other.clone(),
    }
}

/// What the package holds, where the Logic App read it: "Member on Sales Team, …".
fn resources(listed: Option<&Value>) -> Value {
    let name = |of: &Value, place: &str| lookup(of, place).and_then(Value::as_str).map(str::to_owned);
    let one = |each: &Value| {
        let (role, scope) = (name(each, "/role/displayName"), name(each, "/scope/displayName"));
        Some(match (role, scope) {
            (Some(role), Some(scope)) => format!("{role} on {scope}"),
            (role, scope) => role.or(scope)?,
        })
    };
    let texts: Vec<String> = listed.and_then(Value::as_array).into_iter().flatten().filter_map(one).collect();
    if texts.is_empty() { Value::Null } else { json!(texts.join(", ")) }
}

/// What the requestor answered to the package's questions.
fn answers(callout: &Value) -> Value {
    let text = |of: &Value, place: &str| lookup(of, place).and_then(Value::as_str).map(str::to_owned);
    let one = |each: &Value| {
        let said = text(each, "/displayValue").or_else(|| text(each, "/value"))?;
        Some(match text(each, "/answeredQuestion/text") {
            Some(question) => format!("{question}: {said}"),
            None => said,
        })
    };
    let listed = lookup(callout, "/answers").and_then(Value::as_array);
    let texts: Vec<String> = listed.into_iter().flatten().filter_map(one).collect();
    if texts.is_empty() { Value::Null } else { json!(texts.join("; ")) }
}
