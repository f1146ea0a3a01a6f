//! Secrets by reference: the configuration never holds one.

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

/// Where a secret is found: `{ env = "JIRA_TOKEN" }` or `{ file = "/run/secrets/jira" }`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
pub enum SecretRef {
    /// In an environment variable.
    Env(String),
    /// In a file; one trailing line break is not part of it. A relative path starts at the configuration folder.
    File(std::path::PathBuf),
}

impl SecretRef {
    /// Reads the secret.
    ///
    /// # Errors
    /// Words for people that name the variable or file, never its content.
    #[expect(clippy::disallowed_methods, reason = "the one place where secrets are read from the environment")]
    pub fn resolve(&self, folder: &std::path::Path) -> Result<SecretString, String> {
        let text = match self {
            Self::Env(name) => std::env::var(name).map_err(|_| format!("the environment variable {name} is not set"))?,
            Self::File(path) => {
                let path = if path.is_absolute() { path.clone() } else { folder.join(path) };
                std::fs::read_to_string(&path).map_err(|e| format!("the secret file {} cannot be read: {e}", path.display()))?
            }
        };
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let text = text.strip_suffix('\r').unwrap_or(text);
        if text.is_empty() {
            return Err("the secret is empty".to_owned());
        }
        Ok(SecretString::from(text.to_owned()))
    }
}
