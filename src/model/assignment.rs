//! An assignment: one approved order from the identity platform.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::clock::Timestamp;

/// What is ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Give the entitlement.
    Grant,
    /// Take the entitlement away.
    Revoke,
    /// Change an entitlement or account.
    Modify,
    /// Make an account.
    CreateAccount,
    /// Let an account be used again.
    EnableAccount,
    /// Stop an account from being used.
    DisableAccount,
    /// Remove an account.
    DeleteAccount,
}

impl Operation {
    /// Every operation.
    pub const ALL: [Self; 7] = [
        Self::Grant,
        Self::Revoke,
        Self::Modify,
        Self::CreateAccount,
        Self::EnableAccount,
        Self::DisableAccount,
        Self::DeleteAccount,
    ];

    /// The stored and configured word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Grant => "grant",
            Self::Revoke => "revoke",
            Self::Modify => "modify",
            Self::CreateAccount => "create_account",
            Self::EnableAccount => "enable_account",
            Self::DisableAccount => "disable_account",
            Self::DeleteAccount => "delete_account",
        }
    }

    /// A verb for people: "Grant", "Disable account".
    #[must_use]
    pub fn human(self) -> &'static str {
        match self {
            Self::Grant => "Grant",
            Self::Revoke => "Revoke",
            Self::Modify => "Change",
            Self::CreateAccount => "Create account",
            Self::EnableAccount => "Enable account",
            Self::DisableAccount => "Disable account",
            Self::DeleteAccount => "Delete account",
        }
    }

    /// Reads the stored word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|o| o.as_str() == text)
    }

    /// The operation that undoes this one, where there is one.
    #[must_use]
    pub fn undone_by(self) -> Option<Self> {
        match self {
            Self::Grant => Some(Self::Revoke),
            Self::CreateAccount => Some(Self::DeleteAccount),
            Self::EnableAccount => Some(Self::DisableAccount),
            Self::Revoke | Self::Modify | Self::DisableAccount | Self::DeleteAccount => None,
        }
    }

    /// Takes access away: goes ahead of everything, never waits for a future date it was not given.
    #[must_use]
    pub fn is_revocation(self) -> bool {
        matches!(self, Self::Revoke | Self::DisableAccount | Self::DeleteAccount)
    }
}

/// A person as the platform names them. Never logged; `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// The platform's id of the person.
    pub id: String,
    /// Name to show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// E-mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
}

impl std::fmt::Debug for Person {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Person(…)")
    }
}

/// A named thing of the platform: an application, an entitlement, an account.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Named {
    /// Stable id; applications are matched by it.
    pub id: String,
    /// Name to show; the id where the platform gives none.
    #[serde(default)]
    pub name: String,
}

/// One step of the approval that came before us.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// Who decided.
    pub by: Person,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
}

impl std::fmt::Debug for Approval {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Approval(at {:?})", self.at)
    }
}

/// The content of an order, as mapped from what the platform sent. `Debug` shows ids and times, no person.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assignment {
    /// Name of the source it came from.
    pub source: String,
    /// The platform's id of the order.
    pub external_id: String,
    /// The platform's count of this order's repetitions; 1 where it gives none. Never the order of arrival.
    pub generation: i64,
    /// What is ordered.
    pub operation: Operation,
    /// On which application.
    pub application: Named,
    /// Which entitlement; none for account operations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entitlement: Option<Named>,
    /// Account name on the application, where the platform knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// For whom.
    pub beneficiary: Person,
    /// Who asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requester: Option<Person>,
    /// Who approved, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvals: Vec<Approval>,
    /// When it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_at: Option<Timestamp>,
    /// When the last approval was given. Provisioning time never starts before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_at: Option<Timestamp>,
    /// From when it shall hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<Timestamp>,
    /// Until when it shall hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<Timestamp>,
    /// By when a platform that waits must hear something; none: it does not wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer_by: Option<Timestamp>,
    /// 0 (can wait) … 3 (urgent); 1 is normal.
    pub priority: i64,
    /// The requester's words: free text, untrusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Further mapped attributes, for rules and templates (owner, location, risk class …).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, Value>,
}

impl std::fmt::Debug for Assignment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Assignment")
            .field("source", &self.source)
            .field("external_id", &self.external_id)
            .field("generation", &self.generation)
            .field("operation", &self.operation)
            .field("application", &self.application.id)
            .finish_non_exhaustive()
    }
}

impl Assignment {
    /// What makes the order the same order, however it reached us: source, its id, operation, generation.
    #[must_use]
    pub fn natural_key(&self) -> String {
        natural_key(&self.source, &self.external_id, self.operation, self.generation)
    }

    /// Orders of one lane (application, beneficiary, entitlement) are carried out in the order of approval.
    #[must_use]
    pub fn lane(&self) -> String {
        let entitlement = self.entitlement.as_ref().map_or("", |e| e.id.as_str());
        super::key::stable_id(&["lane", &self.source, &self.application.id, &self.beneficiary.id, entitlement])
    }

    /// Name of the entitlement, else of the account, else "account".
    #[must_use]
    pub fn subject(&self) -> &str {
        match (&self.entitlement, &self.account) {
            (Some(e), _) => &e.name,
            (None, Some(account)) => account,
            (None, None) => "account",
        }
    }
}

/// See [`Assignment::natural_key`].
#[must_use]
pub fn natural_key(source: &str, external_id: &str, operation: Operation, generation: i64) -> String {
    // `/` may stand inside an external id: lengths are not needed because source names cannot contain it and
    // the last two parts are a word and a number.
    format!("{source}/{external_id}/{}/{generation}", operation.as_str())
}
