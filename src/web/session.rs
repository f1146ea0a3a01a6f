//! Sign-in sessions and the tokens of forms. A session is a secret that the browser keeps. The ledger keeps its hash: every
//! process of the ledger knows it, a restart ends none, and neither a copy of the ledger nor of the configuration opens
//! anything. The hash covers the access token too, so that another token under the same name opens no old session.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;

use crate::catalog::access::{Access, Token};
use crate::ledger::{Ledger, LedgerResult};
use crate::model::{Timestamp, random};

/// A working day.
pub(super) const LASTS_SECS: i64 = 8 * 3600;
/// Length of a session's secret, as text.
const SECRET: usize = 64;

/// A session that holds.
#[derive(Debug, Clone)]
pub(super) struct Session {
    /// Name of the token it was opened with.
    pub(super) token: String,
    secret: SecretString,
    /// As the ledger knows it.
    hash: String,
}

impl Session {
    fn new(name: &str, token: &Token, secret: &str) -> Self {
        let hash = hashed(&["session", name, &token.sha256.to_lowercase(), secret]);
        Self { token: name.to_owned(), secret: secret.into(), hash }
    }

    /// What the tokens of its forms are bound to; not to be found in the ledger.
    pub(super) fn binding(&self) -> String {
        format!("session/{}", hashed(&["forms of a session", self.secret.expose_secret()]))
    }
}

/// Opens, reads and ends sessions.
#[derive(Debug)]
pub(super) struct Sessions {
    /// Cookies are looked up one at a time: made-up ones never take the ledger's last reader from hooks and stages.
    one: Semaphore,
}

impl Default for Sessions {
    fn default() -> Self {
        Self { one: Semaphore::new(1) }
    }
}

impl Sessions {
    /// The cookie of a new session of this token.
    pub(super) async fn open(&self, ledger: &dyn Ledger, name: &str, token: &Token, now: Timestamp) -> LedgerResult<String> {
        let secret = random::token();
        let session = Session::new(name, token, &secret);
        ledger.signed_in(&session.hash, now.plus_secs(LASTS_SECS), now).await?;
        Ok(format!("{}.{secret}", URL_SAFE_NO_PAD.encode(name)))
    }

    /// The session of a cookie; none when it was forged, ended, has expired, or its token is no longer configured.
    pub(super) async fn read(
        &self,
        ledger: &dyn Ledger,
        cookie: &str,
        access: &Access,
        now: Timestamp,
    ) -> LedgerResult<Option<Session>> {
        let Some(session) = named(cookie, access) else { return Ok(None) };
        let _turn = self.one.acquire().await;
        let until = ledger.sign_in_until(&session.hash).await?;
        Ok(until.is_some_and(|until| now < until).then_some(session))
    }

    /// Ends a session: its cookie no longer opens anything, wherever it was copied to.
    pub(super) async fn end(&self, ledger: &dyn Ledger, session: &Session) -> LedgerResult<()> {
        ledger.signed_out(&session.hash).await
    }
}

/// The session that a cookie claims to be.
fn named(cookie: &str, access: &Access) -> Option<Session> {
    let (name, secret) = cookie.split_once('.')?;
    let fits = secret.len() == SECRET && secret.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let name = String::from_utf8(URL_SAFE_NO_PAD.decode(name).ok()?).ok()?;
    let token = access.tokens.get(&name).filter(|_| fits)?;
    Some(Session::new(&name, token, secret))
}

/// The token of a form, bound to whom it was shown to: any process of the ledger makes and knows it.
pub(super) fn form_token(ledger: &dyn Ledger, binding: &str) -> String {
    hex::encode(of_form(ledger, binding).finalize().into_bytes())
}

/// Whether a form came back with its token.
pub(super) fn form_token_holds(ledger: &dyn Ledger, binding: &str, sent: &str) -> bool {
    hex::decode(sent).is_ok_and(|sent| of_form(ledger, binding).verify_slice(&sent).is_ok())
}

fn of_form(ledger: &dyn Ledger, binding: &str) -> Hmac<Sha256> {
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(&ledger.common_key("forms")).expect("a key of 32 bytes");
    mac.update(binding.as_bytes());
    mac
}

/// Each part with its length, so that no two lists of parts look the same.
fn hashed(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    hex::encode(hash.finalize())
}

/// The configured token that this is, with its name. Every hash is compared, each in constant time.
pub(super) fn known_token<'a>(sent: &str, access: &'a Access) -> Option<(&'a str, &'a Token)> {
    let hash = hex::encode(Sha256::digest(sent.as_bytes()));
    let fits = |token: &Token| bool::from(token.sha256.to_lowercase().as_bytes().ct_eq(hash.as_bytes()));
    access.tokens.iter().fold(None, |found, (name, token)| if fits(token) { Some((name.as_str(), token)) } else { found })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::catalog::access::Role;
    use crate::ledger::{Mode, SqlLedger};

    const NOW: Timestamp = Timestamp(1_795_000_000_000);

    fn access(token: &str) -> Access {
        let token =
            Token { sha256: hex::encode(Sha256::digest(token.as_bytes())), role: Role::Operator, applications: Vec::new() };
        Access { tokens: BTreeMap::from([("night.shift".to_owned(), token)]), trusted_proxy: None }
    }

    struct Bed {
        _folder: tempfile::TempDir,
        ledger: SqlLedger,
        sessions: Sessions,
    }

    impl Bed {
        async fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let url = format!("sqlite:{}", folder.path().join("ledger.db").display());
            let ledger = SqlLedger::open(&url, "test", Mode::Serve).await.unwrap();
            Self { _folder: folder, ledger, sessions: Sessions::default() }
        }

        async fn opened(&self, access: &Access) -> String {
            let (name, token) = known_token("one", access).unwrap();
            self.sessions.open(&self.ledger, name, token, NOW).await.unwrap()
        }

        async fn read(&self, cookie: &str, access: &Access, now: Timestamp) -> Option<Session> {
            self.sessions.read(&self.ledger, cookie, access, now).await.unwrap()
        }
    }

    #[tokio::test]
    async fn a_session_holds_until_it_expires_or_is_ended() {
        let (bed, access) = (Bed::new().await, access("one"));
        let cookie = bed.opened(&access).await;
        let session = bed.read(&cookie, &access, NOW).await.unwrap();
        assert_eq!(session.token, "night.shift");
        assert!(bed.read(&cookie, &access, NOW.plus_secs(LASTS_SECS)).await.is_none());
        bed.sessions.end(&bed.ledger, &session).await.unwrap();
        assert!(bed.read(&cookie, &access, NOW).await.is_none());
    }

    #[tokio::test]
    async fn no_other_ledger_token_or_text_makes_a_session() {
        let (bed, one) = (Bed::new().await, access("one"));
        let cookie = bed.opened(&one).await;
        assert!(Bed::new().await.read(&cookie, &one, NOW).await.is_none(), "another ledger");
        assert!(bed.read(&cookie, &access("two"), NOW).await.is_none(), "the token was replaced");
        assert!(bed.read(&cookie, &Access::default(), NOW).await.is_none(), "the token was taken away");
        for at in 0..cookie.len() {
            let mut forged = cookie.clone().into_bytes();
            forged[at] ^= 1;
            let forged = String::from_utf8(forged).unwrap();
            assert!(bed.read(&forged, &one, NOW).await.is_none(), "{forged}");
        }
        assert!(bed.read(&format!("{cookie}.x"), &one, NOW).await.is_none());
    }

    #[tokio::test]
    async fn what_the_ledger_keeps_opens_nothing_and_shows_nothing() {
        let (bed, one) = (Bed::new().await, access("one"));
        let cookie = bed.opened(&one).await;
        let session = bed.read(&cookie, &one, NOW).await.unwrap();
        let (name, secret) = cookie.split_once('.').unwrap();
        assert!(bed.read(&format!("{name}.{}", session.hash), &one, NOW).await.is_none());
        assert!(!session.hash.contains(secret) && !session.binding().contains(secret));
        assert!(!session.binding().contains(&session.hash), "no copy of the ledger makes a form of a session");
        assert!(!format!("{session:?}").contains(secret));
    }

    #[tokio::test]
    async fn a_form_token_is_bound_to_its_reader() {
        let (bed, other) = (Bed::new().await, Bed::new().await);
        let token = form_token(&bed.ledger, "session/a");
        assert!(form_token_holds(&bed.ledger, "session/a", &token));
        assert!(!form_token_holds(&bed.ledger, "session/b", &token) && !form_token_holds(&bed.ledger, "session/a", ""));
        assert!(!form_token_holds(&other.ledger, "session/a", &token));
    }
}
