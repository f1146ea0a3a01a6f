//! How a declared desk is shown who we are: fixed headers, or a session that is opened again after a 401.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine;
use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use super::operation::{BodyTemplate, Method};
use super::place::{Place, Scene};
use crate::catalog::{ConfigFile, Problem, SecretRef};
use crate::desk::common::secret;
use crate::desk::redact::Redaction;
use crate::http::oauth::Grant;
use crate::http::verdict::by_status;
use crate::http::{Call, CallError, HttpClient};

/// How we show who we are.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, tag = "by", rename_all = "snake_case")]
pub enum AuthSettings {
    /// Not at all (or by `{{secrets.name}}` in the calls).
    #[default]
    None,
    /// User name and password.
    Basic {
        /// User name.
        user: String,
        /// Password or API token.
        password: SecretRef,
    },
    /// `Authorization: Bearer …`.
    Bearer {
        /// The token.
        token: SecretRef,
    },
    /// A secret in a header.
    Header {
        /// The header.
        #[serde(default = "authorization")]
        header: String,
        /// Text before the secret (`"token "`).
        #[serde(default)]
        prefix: String,
        /// The secret.
        secret: SecretRef,
    },
    /// A call that opens a session; it is made again after a 401.
    Login {
        /// HTTP method.
        #[serde(default = "post")]
        method: Method,
        /// Path after the prefix.
        path: String,
        /// Further headers; may name `{{secrets.name}}`.
        #[serde(default)]
        headers: BTreeMap<String, String>,
        /// Body; may name `{{secrets.name}}`.
        #[serde(default)]
        body: Option<BodyTemplate>,
        /// Where the token stands in the answer (`{ body = true }`: it is the answer).
        token: Place,
        /// Header that carries the token from then on.
        #[serde(default = "authorization")]
        header: String,
        /// Text before the token.
        #[serde(default)]
        prefix: String,
    },
    /// OAuth 2 client credentials, form-encoded; a token is fetched again after a 401.
    ClientCredentials {
        /// Address of the token endpoint.
        token_url: String,
        /// Client id.
        client_id: String,
        /// Client secret.
        client_secret: SecretRef,
        /// Scope.
        #[serde(default)]
        scope: Option<String>,
        /// Further form fields (`audience`).
        #[serde(default)]
        form: BTreeMap<String, String>,
    },
}

fn authorization() -> String {
    "authorization".to_owned()
}

fn post() -> Method {
    Method::Post
}

/// The settings with their secrets resolved. `Debug` shows nothing of them.
pub(super) struct Auth {
    fixed: Vec<(String, SecretString)>,
    /// In the forms in which they travel, to keep them out of what is told of errors.
    redaction: Redaction,
    session: Option<Session>,
}

/// How a session is opened, and the open one.
struct Session {
    token: Place,
    header: String,
    prefix: String,
    open: Mutex<Option<SecretString>>,
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Auth(…)")
    }
}

impl Auth {
    /// Resolves the secrets.
    pub(super) fn build(settings: &AuthSettings, file: &ConfigFile, folder: &Path) -> Result<Self, Problem> {
        let fixed = |header: &str, value: String, secrets: Vec<SecretString>| Self {
            fixed: vec![(header.to_lowercase(), SecretString::from(value))],
            redaction: Redaction::of(secrets),
            session: None,
        };
        let session = |token: &Place, header: &str, prefix: &str| Self {
            fixed: Vec::new(),
            redaction: Redaction::default(),
            session: Some(Session {
                token: token.clone(),
                header: header.to_lowercase(),
                prefix: prefix.to_owned(),
                open: Mutex::new(None),
            }),
        };
        Ok(match settings {
            AuthSettings::None => Self { fixed: Vec::new(), redaction: Redaction::default(), session: None },
            AuthSettings::Basic { user, password } => {
                let password = secret(file, folder, &["auth", "password"], password)?;
                let pair = format!("{user}:{}", password.expose_secret());
                let encoded = base64::engine::general_purpose::STANDARD.encode(pair);
                fixed("authorization", format!("Basic {encoded}"), vec![password, encoded.into()])
            }
            AuthSettings::Bearer { token } => {
                let token = secret(file, folder, &["auth", "token"], token)?;
                fixed("authorization", format!("Bearer {}", token.expose_secret()), vec![token])
            }
            AuthSettings::Header { header, prefix, secret: reference } => {
                let value = secret(file, folder, &["auth", "secret"], reference)?;
                fixed(header, format!("{prefix}{}", value.expose_secret()), vec![value])
            }
            AuthSettings::Login { token, header, prefix, .. } => session(token, header, prefix),
            AuthSettings::ClientCredentials { .. } => {
                session(&Place::Pointer("/access_token".to_owned()), "authorization", "Bearer ")
            }
        })
    }

    /// What keeps our secrets out of a desk's words.
    pub(super) fn redaction(&self) -> &Redaction {
        &self.redaction
    }

    /// Headers of a call; opens a session when there is none. `login` is the call that opens it.
    pub(super) async fn headers(
        &self,
        client: &HttpClient,
        login: Option<Call>,
    ) -> Result<Vec<(String, SecretString)>, CallError> {
        let (Some(session), Some(login)) = (&self.session, login) else { return Ok(self.fixed.clone()) };
        let mut open = session.open.lock().await;
        if open.is_none() {
            let token = session.enter(client, login).await?;
            self.redaction.learn(token.clone());
            *open = Some(token);
        }
        let token = open.as_ref().map(|t| t.expose_secret().to_owned()).unwrap_or_default();
        Ok(vec![(session.header.clone(), SecretString::from(format!("{}{token}", session.prefix)))])
    }

    /// After a 401: forgets the session these headers came from. True when a new one is worth a try.
    pub(super) async fn forget(&self, used: &[(String, SecretString)]) -> bool {
        let Some(session) = &self.session else { return false };
        let mut open = session.open.lock().await;
        let same = open.as_ref().is_some_and(|token| {
            let value = format!("{}{}", session.prefix, token.expose_secret());
            used.iter().any(|(_, v)| v.expose_secret() == value)
        });
        if same {
            *open = None;
        }
        true
    }
}

impl Session {
    async fn enter(&self, client: &HttpClient, login: Call) -> Result<SecretString, CallError> {
        let answer = client.send(login).await.map_err(CallError::of_a_read)?;
        let edge = client.edge();
        if !answer.is_success() {
            let refused = matches!(answer.status, 400..=499) && answer.status != 429;
            let error = by_status(answer.status, answer.retry_after(), edge, "").of_a_read();
            return Err(if refused {
                CallError::retry("E-AUTH", format!("{edge} refused our login ({})", answer.status))
            } else {
                error
            });
        }
        let row = answer.json().unwrap_or(serde_json::Value::Null);
        match self.token.text(Scene { row: &row, answer: Some(&answer) }) {
            Some(token) if token.len() < 8_192 && !token.contains(char::is_control) && !token.starts_with('<') => {
                Ok(token.into())
            }
            _ => Err(CallError::retry("E-AUTH", format!("{edge} answered our login without a token"))),
        }
    }
}

/// The token request of client credentials.
pub(super) fn token_call(settings: &AuthSettings, client_secret: &SecretString) -> Option<Call> {
    let AuthSettings::ClientCredentials { token_url, client_id, scope, form, .. } = settings else { return None };
    let grant = Grant {
        token_url: token_url.clone(),
        client_id: client_id.clone(),
        client_secret: client_secret.clone(),
        scope: scope.clone(),
        form: form.clone(),
        basic: false,
    };
    Some(grant.request())
}
