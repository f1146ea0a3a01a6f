//! Who may see and do what.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a person or machine may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Sees overview, KPIs and timelines of the applications in scope; no names of persons, no free text.
    Viewer,
    /// Sees names too, and acts: retry, replay, resolve.
    Operator,
}

/// Access to pages and API. Health checks and verified hooks are always open.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Access {
    /// Tokens by name. The token itself is shown once by `lastmile token` and kept by its holder.
    pub tokens: BTreeMap<String, Token>,
    /// A proxy in front that has authenticated the person.
    pub trusted_proxy: Option<TrustedProxy>,
}

/// A token's hash and what it opens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// SHA-256 of the token, hex.
    pub sha256: String,
    /// What its holder may do.
    pub role: Role,
    /// Application ids in scope; none given: all.
    #[serde(default)]
    pub applications: Vec<String>,
}

/// A proxy in front that has authenticated the person and names them in a header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrustedProxy {
    /// Addresses the proxy connects from.
    pub from: Vec<std::net::IpAddr>,
    /// Header with the person's name (`X-Forwarded-User`).
    pub user_header: String,
    /// Header with the person's groups, comma-separated.
    #[serde(default)]
    pub groups_header: Option<String>,
    /// What a group may do; the first that fits, in this order.
    #[serde(default)]
    pub groups: Vec<GroupAccess>,
}

/// What a group of the proxy may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupAccess {
    /// The group's name; `*` fits every authenticated person.
    pub group: String,
    /// What its members may do.
    pub role: Role,
    /// Application ids in scope; none given: all.
    #[serde(default)]
    pub applications: Vec<String>,
}

impl Access {
    /// Whether anything at all is configured.
    #[must_use]
    pub fn is_configured(&self) -> bool {
        !self.tokens.is_empty() || self.trusted_proxy.is_some()
    }
}
