//! OAuth 2 client credentials: a token is fetched when it is needed, kept until it ends, and fetched once more when the
//! other side no longer takes it.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use tokio::sync::Mutex;

use super::client::Body;
use super::verdict::by_status;
use super::{Answer, Call, CallError, HttpClient};
use crate::model::Clock;
use crate::model::clock::SystemClock;

/// No token is longer.
const LONGEST_TOKEN: usize = 16 * 1024;
/// A token is not used in its last seconds: it may end on the way.
const MARGIN_SECS: i64 = 30;

/// Who asks for a token, and where.
#[derive(Clone)]
pub struct Grant {
    /// Address of the token endpoint.
    pub token_url: String,
    /// Client id.
    pub client_id: String,
    /// Client secret.
    pub client_secret: SecretString,
    /// Scope.
    pub scope: Option<String>,
    /// Further form fields (`audience`).
    pub form: BTreeMap<String, String>,
    /// Id and secret stand in the `Authorization` header instead of the form.
    pub basic: bool,
}

impl std::fmt::Debug for Grant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Grant(…)")
    }
}

impl Grant {
    /// The token request, form-encoded.
    #[must_use]
    pub fn request(&self) -> Call {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let (id, secret) = (&self.client_id, self.client_secret.expose_secret());
        let mut pairs = vec![pair("grant_type", "client_credentials")];
        let mut call = Call::new("POST", self.token_url.clone()).header("accept", "application/json");
        if self.basic {
            // RFC 6749, 2.3.1: both are form-encoded first.
            let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
            let basic = STANDARD.encode(format!("{}:{}", encoded(id), encoded(secret)));
            call = call.header("authorization", format!("Basic {basic}"));
        } else {
            pairs.extend([pair("client_id", id), pair("client_secret", secret)]);
        }
        pairs.extend(self.scope.iter().map(|scope| pair("scope", scope)));
        pairs.extend(self.form.iter().map(|(name, value)| pair(name, value)));
        call.body = Body::Form(pairs);
        call
    }
}

/// The token of a grant.
#[derive(Clone)]
pub struct Tokens {
    grant: Grant,
    clock: Arc<dyn Clock>,
    held: Arc<Mutex<Option<Held>>>,
}

#[derive(Clone)]
struct Held {
    token: SecretString,
    /// By the clock that never jumps; none: until it is refused.
    until_boot_ms: Option<i64>,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tokens(…)")
    }
}

impl Tokens {
    /// Of a grant; nothing is asked yet.
    #[must_use]
    pub fn new(grant: Grant) -> Self {
        Self { grant, clock: Arc::new(SystemClock), held: Arc::default() }
    }

    /// With another clock.
    #[must_use]
    pub fn timed_by(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    /// Sends the call with a token; after a 401 once more with a new one.
    ///
    /// # Errors
    /// As the call. Without a token nothing was sent: `Retry`.
    pub async fn send(&self, client: &HttpClient, call: Call) -> Result<Answer, CallError> {
        let token = self.token(client).await?;
        let answer = client.send(with(call.clone(), &token)).await?;
        if answer.status != 401 {
            return Ok(answer);
        }
        let fresh = self.instead_of(client, &token).await?;
        client.send(with(call, &fresh)).await
    }

    async fn token(&self, client: &HttpClient) -> Result<SecretString, CallError> {
        let mut held = self.held.lock().await;
        let now = self.clock.boot_ms();
        if let Some(held) = held.as_ref().filter(|held| held.until_boot_ms.is_none_or(|until| now < until)) {
            return Ok(held.token.clone());
        }
        self.fetch(client, &mut held).await
    }

    /// A new token, unless another call has fetched one meanwhile.
    async fn instead_of(&self, client: &HttpClient, refused: &SecretString) -> Result<SecretString, CallError> {
        let mut held = self.held.lock().await;
        if let Some(held) = held.as_ref().filter(|held| held.token.expose_secret() != refused.expose_secret()) {
            return Ok(held.token.clone());
        }
        self.fetch(client, &mut held).await
    }

    async fn fetch(&self, client: &HttpClient, held: &mut Option<Held>) -> Result<SecretString, CallError> {
        *held = None;
        let edge = client.edge();
        let answer = client.send(self.grant.request()).await.map_err(CallError::of_a_read)?;
        if !answer.is_success() {
            let refused = matches!(answer.status, 400..=499) && answer.status != 429;
            return Err(if refused {
                let words = format!("{edge} gave no token for our client id and secret ({})", answer.status);
                CallError::retry("E-AUTH", words)
            } else {
                by_status(answer.status, answer.retry_after(), edge, "").of_a_read()
            });
        }
        let body = answer.json().unwrap_or(Value::Null);
        let token = body["access_token"].as_str().filter(|t| !t.is_empty() && t.len() <= LONGEST_TOKEN && t.is_ascii());
        let Some(token) = token.filter(|t| !t.contains(|c: char| c.is_ascii_control() || c == ' ')) else {
            return Err(CallError::retry("E-AUTH", format!("{edge} answered our token request without a token")));
        };
        let token = SecretString::from(token.to_owned());
        let seconds = body["expires_in"].as_i64().or_else(|| body["expires_in"].as_str()?.parse().ok()).filter(|s| *s > 0);
        let until =
            seconds.map(|s| s - MARGIN_SECS.min(s / 2)).map(|s| self.clock.boot_ms().saturating_add(s.saturating_mul(1000)));
        *held = Some(Held { token: token.clone(), until_boot_ms: until });
        Ok(token)
    }
}

fn with(call: Call, token: &SecretString) -> Call {
    call.header("authorization", format!("Bearer {}", token.expose_secret()))
}
