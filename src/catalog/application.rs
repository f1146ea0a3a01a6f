//! `applications/*.toml`: one file per application, all of it optional.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::span::Span;
use super::target::Targets;
use crate::model::Operation;

/// When the ticket of a future-dated assignment is filed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Filing {
    /// As soon as the assignment arrives.
    AtOnce,
    /// At `valid_from` less the lead time.
    #[default]
    LeadTime,
}

/// Where tickets go and what they look like; every part may be left to what is more general.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Route {
    /// Desk by name.
    pub desk: Option<String>,
    /// A name from `admin-groups.toml`, or a pattern with `{{…}}` that names the desk's group by convention.
    pub admin_group: Option<String>,
    /// Ticket template by name.
    pub template: Option<String>,
    /// When the ticket is filed.
    pub filing: Option<Filing>,
    /// How long before `valid_from` the admin group wants to know.
    pub lead_time: Option<Span>,
    /// 0 (can wait) … 3 (urgent), instead of the platform's.
    pub priority: Option<i64>,
    /// Further desk fields by the desk's own name; strings may use `{{…}}`.
    pub fields: BTreeMap<String, Value>,
}

/// One application.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Application {
    /// The platform's id; the file's name where it is not given.
    pub id: String,
    /// Name for people, instead of the platform's.
    pub name: Option<String>,
    /// Steps for the admin, put into every ticket; neutral markup.
    pub instructions: Option<String>,
    /// Attributes that this application's templates may show, in addition to those of `[defaults]`.
    pub template_attributes: Vec<String>,
    /// How long its admins may take, by operation; what is left out has the target of `[defaults]`.
    pub targets: Targets,
    /// Where its tickets go.
    pub route: Route,
    /// From special to general: the first rule that fits wins over the application's own route.
    pub rules: Vec<Rule>,
    /// Overrides per entitlement id; win over rules.
    pub entitlements: BTreeMap<String, Route>,
}

/// A rule on attributes of the assignment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Name for people: `check` and `plan` name the rule that won.
    pub name: String,
    /// Attribute (a mapped attribute's name) and the values that fit; all must fit.
    #[serde(default)]
    pub when: BTreeMap<String, Vec<Value>>,
    /// Operations that fit; none given: all.
    #[serde(default)]
    pub operations: Vec<Operation>,
    /// Where the ticket goes then.
    #[serde(default)]
    pub route: Route,
}
