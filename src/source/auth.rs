//! How we show a platform who we are.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use crate::catalog::SecretRef;
use crate::http::Call;

/// How we show who we are.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum AuthSettings {
    /// Not at all.
    #[default]
    None,
    /// User name and password.
    Basic {
        /// User name.
        user: String,
        /// Password.
        password: SecretRef,
    },
    /// `Authorization: Bearer …`.
    Bearer(SecretRef),
    /// A key in a header of its own.
    Header {
        /// The header's name.
        name: String,
        /// The key.
        value: SecretRef,
    },
}

/// Credentials, resolved. `Debug` shows nothing of them.
#[derive(Clone, Default)]
pub struct Auth(Option<(String, SecretString)>);

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Auth(…)")
    }
}

impl AuthSettings {
    /// Reads the secrets; relative secret files start at `folder`.
    ///
    /// # Errors
    /// Words for people that name the variable or file, never its content.
    pub fn resolve(&self, folder: &Path) -> Result<Auth, String> {
        let authorization = |text: String| Some(("authorization".to_owned(), SecretString::from(text)));
        Ok(Auth(match self {
            Self::None => None,
            Self::Basic { user, password } => {
                let password = password.resolve(folder)?;
                authorization(format!("Basic {}", STANDARD.encode(format!("{user}:{}", password.expose_secret()))))
            }
            Self::Bearer(token) => authorization(format!("Bearer {}", token.resolve(folder)?.expose_secret())),
            Self::Header { name, value } => Some((name.to_lowercase(), value.resolve(folder)?)),
        }))
    }
}

impl Auth {
    /// The same, demanded of somebody who calls us; `None` where nothing is demanded.
    #[must_use]
    pub fn demanded(&self) -> Option<(String, SecretString)> {
        self.0.clone()
    }

    /// The call with our credentials.
    #[must_use]
    pub fn on(&self, call: Call) -> Call {
        match &self.0 {
            Some((name, value)) => call.header(name, value.expose_secret()),
            None => call,
        }
    }
}
