//! How long an admin group may take.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::span::Span;
use crate::model::Operation;

/// Which time counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClockKind {
    /// All of it.
    Elapsed,
    /// The working time of the admin group's calendar.
    Business,
}

/// A target for provisioning time: `{ within = "16h", clock = "business" }`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// How long it may take from the start of the admin group's clock to the closing of the ticket. Hours of working
    /// time with the business clock: two days of eight hours are `"16h"`.
    pub within: Span,
    /// `"elapsed"` or `"business"`.
    pub clock: ClockKind,
}

/// Targets by operation; an operation left out has none of its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Targets {
    /// Of entitlements given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grant: Option<Target>,
    /// Of entitlements taken away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoke: Option<Target>,
    /// Of changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modify: Option<Target>,
    /// Of new accounts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub create_account: Option<Target>,
    /// Of accounts let be used again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_account: Option<Target>,
    /// Of accounts stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disable_account: Option<Target>,
    /// Of accounts removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delete_account: Option<Target>,
}

impl Targets {
    /// The target of an operation.
    #[must_use]
    pub fn of(&self, operation: Operation) -> Option<Target> {
        match operation {
            Operation::Grant => self.grant,
            Operation::Revoke => self.revoke,
            Operation::Modify => self.modify,
            Operation::CreateAccount => self.create_account,
            Operation::EnableAccount => self.enable_account,
            Operation::DisableAccount => self.disable_account,
            Operation::DeleteAccount => self.delete_account,
        }
    }
}
