//! How we show a platform who we are.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::web_address;
use crate::catalog::SecretRef;
use crate::http::oauth::{Grant, Tokens};
use crate::http::{Answer, Call, CallError, HttpClient};
use crate::model::Clock;

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
    /// OAuth 2 client credentials: a token is fetched, kept until it ends, and fetched once more after a 401.
    ClientCredentials(ClientCredentials),
}

/// OAuth 2 client credentials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientCredentials {
    /// Address of the token endpoint.
    pub token_url: String,
    /// Client id.
    pub client_id: String,
    /// Client secret.
    pub client_secret: SecretRef,
    /// Scope.
    #[serde(default)]
    pub scope: Option<String>,
    /// Further form fields (`audience`, `resource`).
    #[serde(default)]
    pub form: BTreeMap<String, String>,
    /// Where id and secret stand in the token request.
    #[serde(default)]
    pub secret_in: SecretIn,
}

/// Where a client's id and secret stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SecretIn {
    /// Form fields `client_id` and `client_secret`.
    #[default]
    Form,
    /// `Authorization: Basic …`.
    Basic,
}

/// Credentials, resolved. `Debug` shows nothing of them.
#[derive(Clone, Default)]
pub struct Auth(Kept);

#[derive(Clone, Default)]
enum Kept {
    #[default]
    Nothing,
    /// A header and its value.
    Header(String, SecretString),
    Tokens(Tokens),
}

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
        let authorization = |text: String| Kept::Header("authorization".to_owned(), SecretString::from(text));
        Ok(Auth(match self {
            Self::None => Kept::Nothing,
            Self::Basic { user, password } => {
                let password = password.resolve(folder)?;
                authorization(format!("Basic {}", STANDARD.encode(format!("{user}:{}", password.expose_secret()))))
            }
            Self::Bearer(token) => authorization(format!("Bearer {}", token.resolve(folder)?.expose_secret())),
            Self::Header { name, value } => Kept::Header(name.to_lowercase(), value.resolve(folder)?),
            Self::ClientCredentials(settings) => Kept::Tokens(Tokens::new(settings.grant(folder)?)),
        }))
    }
}

impl ClientCredentials {
    fn grant(&self, folder: &Path) -> Result<Grant, String> {
        web_address(&self.token_url).map_err(|words| format!("`token_url` is {words}"))?;
        Ok(Grant {
            token_url: self.token_url.clone(),
            client_id: self.client_id.clone(),
            client_secret: self.client_secret.resolve(folder)?,
            scope: self.scope.clone(),
            form: self.form.clone(),
            basic: self.secret_in == SecretIn::Basic,
        })
    }
}

impl Auth {
    /// The same, demanded of somebody who calls us; `None` where it is no fixed header.
    #[must_use]
    pub fn demanded(&self) -> Option<(String, SecretString)> {
        match &self.0 {
            Kept::Header(name, value) => Some((name.clone(), value.clone())),
            Kept::Nothing | Kept::Tokens(_) => None,
        }
    }

    /// With another clock for the end of tokens.
    #[must_use]
    pub fn timed_by(self, clock: Arc<dyn Clock>) -> Self {
        match self.0 {
            Kept::Tokens(tokens) => Self(Kept::Tokens(tokens.timed_by(clock))),
            kept => Self(kept),
        }
    }

    /// Sends the call with our credentials.
    ///
    /// # Errors
    /// As the call.
    pub async fn send(&self, client: &HttpClient, call: Call) -> Result<Answer, CallError> {
        match &self.0 {
            Kept::Nothing => client.send(call).await,
            Kept::Header(name, value) => client.send(call.header(name, value.expose_secret())).await,
            Kept::Tokens(tokens) => tokens.send(client, call).await,
        }
    }
}
