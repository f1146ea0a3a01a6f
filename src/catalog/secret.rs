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
                warn_if_open(&path);
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

/// A secret that every user of the machine can read is told, and used all the same: some places give no choice.
fn warn_if_open(path: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt as _;
    if std::fs::metadata(path).is_ok_and(|about| is_open(about.permissions().mode())) {
        tracing::warn!(file = %path.display(), "every user of this machine can read this secret: chmod o-rwx it");
    }
}

fn is_open(mode: u32) -> bool {
    mode & 0o007 != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret as _;

    #[test]
    fn one_line_break_is_not_part_of_it_and_emptiness_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let read = |text: &str| {
            std::fs::write(folder.path().join("s"), text).unwrap();
            SecretRef::File("s".into()).resolve(folder.path()).map(|s| s.expose_secret().to_owned())
        };
        for text in ["secret", "secret\n", "secret\r\n"] {
            assert_eq!(read(text).unwrap(), "secret");
        }
        assert_eq!(read(" two words \n\n").unwrap(), " two words \n", "all else is kept as it is");
        assert!(read("\n").unwrap_err().contains("empty") && read("").is_err());
        let missing = SecretRef::Env("LASTMILE_NO_SUCH_VARIABLE".to_owned()).resolve(folder.path()).unwrap_err();
        assert_eq!(missing, "the environment variable LASTMILE_NO_SUCH_VARIABLE is not set");
        let missing = SecretRef::File("nowhere".into()).resolve(folder.path()).unwrap_err();
        assert!(missing.contains("nowhere cannot be read"), "{missing}");
    }

    #[test]
    fn what_every_user_can_read_is_told() {
        assert!(is_open(0o644) && is_open(0o602));
        assert!(!is_open(0o600) && !is_open(0o640));
    }
}
