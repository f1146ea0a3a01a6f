//! A session with one of the platform's two servers: logs in when needed, keeps the cookies by hand, logs in again
//! when the session has ended, logs out at the end.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use url::Url;

use super::settings::{Login, ServerKind};
use crate::http::verdict::{by_status, json_of};
use crate::http::{Answer, Call, CallError, HttpClient};
use crate::source::field::{as_text, items, lookup};

/// Cookie and header against forged requests (API server).
const XSRF_COOKIE: &str = "XSRF-TOKEN";

/// One server. `Debug` shows its address and nothing of the session.
pub(super) struct Server {
    client: HttpClient,
    base: Url,
    kind: ServerKind,
    login: Login,
    session: Mutex<Option<Session>>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Server({})", self.base)
    }
}

/// The cookies of a login; `number` tells logins apart, so that many calls refused at once log in once.
struct Session {
    number: u64,
    cookies: BTreeMap<String, SecretString>,
}

impl Session {
    /// The API server gives new cookies while it goes (the session group is rotated at each login).
    fn take(&mut self, answer: &Answer) {
        for line in answer.header("set-cookie").into_iter().flat_map(str::lines) {
            let mut parts = line.split(';');
            let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else { continue };
            let (name, value) = (name.trim(), value.trim());
            let over = parts.any(|p| p.trim().eq_ignore_ascii_case("max-age=0"));
            if value.is_empty() || over {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), SecretString::from(value));
            }
        }
    }

    fn dress(&self, call: Call) -> Call {
        let written = call.method != "GET";
        let pairs = self.cookies.iter().map(|(name, value)| format!("{name}={}", value.expose_secret()));
        let call = call.header("cookie", pairs.collect::<Vec<_>>().join("; "));
        match self.cookies.get(XSRF_COOKIE) {
            // The cookie travels percent-encoded, the header does not.
            Some(token) if written => {
                let plain = percent_encoding::percent_decode_str(token.expose_secret()).decode_utf8_lossy().into_owned();
                call.header("x-xsrf-token", plain)
            }
            _ => call,
        }
    }
}

impl Server {
    pub(super) fn new(client: HttpClient, base: Url, kind: ServerKind, login: Login) -> Self {
        Self { client, base, kind, login, session: Mutex::new(None) }
    }

    /// The platform's name, for messages.
    pub(super) fn edge(&self) -> &str {
        self.client.edge()
    }

    /// An address below the server's own; each segment is percent-encoded.
    pub(super) fn address(&self, segments: &[&str]) -> String {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url.into()
    }

    /// Makes a call within a session; a session that has ended is opened afresh once. A call that was refused for
    /// want of a session had no effect, so that this also holds for writes.
    pub(super) async fn call(&self, call: Call) -> Result<Answer, CallError> {
        let mut number = 0;
        for last in [false, true] {
            let dressed = {
                let mut held = self.session.lock().await;
                if held.as_ref().is_none_or(|session| session.number == number) {
                    *held = None;
                    *held = Some(self.log_in(number + 1).await?);
                }
                let session = held.as_ref().ok_or_else(|| CallError::retry("E-AUTH", "there is no session"))?;
                number = session.number;
                session.dress(call.clone())
            };
            let answer = self.client.send(self.versioned(dressed)).await?;
            if let Some(session) = self.session.lock().await.as_mut().filter(|s| s.number == number) {
                session.take(&answer);
            }
            if answer.status != 401 || last {
                return Ok(answer);
            }
        }
        Err(CallError::retry("E-AUTH", format!("{} ends every session at once", self.edge())))
    }

    /// A call without effect, read as JSON. `None`: 404.
    pub(super) async fn read(&self, call: Call) -> Result<Option<Value>, CallError> {
        let answer = self.call(call).await.map_err(CallError::of_a_read)?;
        if answer.status == 404 {
            return Ok(None);
        }
        if !answer.is_success() {
            return Err(self.failure(&answer, false).of_a_read());
        }
        json_of(&answer, self.edge()).map(Some)
    }

    /// A call with an effect. `false`: 404.
    pub(super) async fn write(&self, call: Call) -> Result<bool, CallError> {
        let answer = self.call(call).await?;
        match answer.status {
            404 => Ok(false),
            _ if answer.is_success() => Ok(true),
            _ => Err(self.failure(&answer, true)),
        }
    }

    /// Ends the session, where there is one.
    pub(super) async fn log_out(&self) {
        let Some(session) = self.session.lock().await.take() else { return };
        let address = match &self.kind {
            ServerKind::Application => self.address(&["auth", "logout"]),
            ServerKind::Api { app, .. } => self.address(&["imx", "logout", app]),
        };
        // A session that is not ended here ends by itself.
        if let Err(error) = self.client.send(self.versioned(session.dress(Call::new("POST", address)))).await {
            tracing::debug!(code = error.code(), "the platform could not be told that the session is over");
        }
    }

    async fn log_in(&self, number: u64) -> Result<Session, CallError> {
        let call = match &self.kind {
            ServerKind::Application => {
                Call::new("POST", self.address(&["auth", "apphost"])).json(json!({"authString": self.login.auth_string()}))
            }
            ServerKind::Api { app, xsrf, .. } => {
                let call = Call::new("POST", self.address(&["imx", "login", app]));
                let call = if *xsrf { call } else { call.query("noxsrf", "true") };
                call.json(self.login.key_values())
            }
        };
        let answer = self.client.send(self.versioned(call)).await.map_err(CallError::of_a_read)?;
        let refused = matches!(answer.status, 400..=428) || (answer.status == 500 && exceptions(&answer).is_some());
        if refused {
            let reason = format!(
                "{} does not let `{}` in ({}): check user, password and module `{}`",
                self.edge(),
                self.login.user,
                answer.status,
                self.login.module
            );
            return Err(CallError::retry("E-AUTH", reason));
        }
        if !answer.is_success() {
            return Err(self.failure(&answer, false).of_a_read());
        }
        let mut session = Session { number, cookies: BTreeMap::new() };
        session.take(&answer);
        // Clients of the application server are known to send the session's id as a cookie of their own.
        let id = answer.json().and_then(|body| body.get("sessionId").and_then(as_text)).filter(|id| !id.is_empty());
        if let (ServerKind::Application, Some(id)) = (&self.kind, id) {
            session.cookies.entry("ss-opt".to_owned()).or_insert_with(|| SecretString::from("temp"));
            session.cookies.insert("ss-id".to_owned(), SecretString::from(id));
        }
        if session.cookies.is_empty() {
            let reason = format!("{} answered the login without a session: is the address that of its server?", self.edge());
            return Err(CallError::retry("E-AUTH", reason));
        }
        Ok(session)
    }

    fn versioned(&self, call: Call) -> Call {
        let call = call.header("accept", "application/json");
        match &self.kind {
            ServerKind::Api { version: Some(version), .. } => call.header("imx-version", version),
            _ => call,
        }
    }

    /// What a refusal means. The platform's own words may name persons: only its error numbers are passed on.
    pub(super) fn failure(&self, answer: &Answer, wrote: bool) -> CallError {
        let numbers = exceptions(answer);
        let words = match &numbers {
            Some(numbers) if !numbers.is_empty() => format!("with its error numbers {}", numbers.join(", ")),
            Some(_) => "with an error of its own".to_owned(),
            None => String::new(),
        };
        match answer.status {
            // Its web server is starting again; nothing has reached the platform.
            503 => CallError::busy(format!("{} is starting again (503)", self.edge()), answer.retry_after()),
            // An exception of the platform's own undid what it was about to do.
            500 if wrote && numbers.is_some() => CallError::reject("E-REFUSED", format!("{} refused, {words}", self.edge())),
            status => by_status(status, answer.retry_after(), self.edge(), &words),
        }
    }
}

/// The error numbers of `{errorString, exceptions: [{number, message}]}`; `None` where the answer is none of that.
fn exceptions(answer: &Answer) -> Option<Vec<String>> {
    let body = answer.json()?;
    let known = ["errorString", "exceptions", "responseStatus"].iter().any(|name| body.get(name).is_some());
    let listed = items(&body, "/exceptions").unwrap_or_default();
    known.then(|| listed.into_iter().filter_map(|e| lookup(e, "/number").and_then(as_text)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(cookies: &str) -> Answer {
        Answer { status: 200, headers: [("set-cookie".to_owned(), cookies.to_owned())].into(), body: Vec::new() }
    }

    #[test]
    fn cookies_are_kept_rotated_and_dropped_and_the_token_goes_with_writes_only() {
        let mut session = Session { number: 1, cookies: BTreeMap::new() };
        session.take(&answer("imx_sessiongroup=one; path=/; HttpOnly\nXSRF-TOKEN=a%3D; path=/\nold=1"));
        session.take(&answer("imx_sessiongroup=two; path=/\nold=1; Max-Age=0"));
        let header = |call: &Call, name: &str| call.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone());
        let read = session.dress(Call::new("GET", "http://idm.example"));
        let write = session.dress(Call::new("POST", "http://idm.example"));
        assert_eq!(header(&read, "cookie").as_deref(), Some("XSRF-TOKEN=a%3D; imx_sessiongroup=two"));
        assert_eq!((header(&read, "x-xsrf-token"), header(&write, "x-xsrf-token").as_deref()), (None, Some("a=")));
    }
}
