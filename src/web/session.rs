//! Sign-in sessions and the tokens of forms. A session is a signed cookie; its key is made when the process starts and
//! kept nowhere, so that neither a copy of the ledger nor of the configuration opens anything. The price is one sign-in
//! after a restart. What was signed out is remembered until it would have expired, which is as long as the key can live.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::catalog::access::{Access, Token};
use crate::model::{Timestamp, random};

/// A working day.
pub(super) const LASTS_SECS: i64 = 8 * 3600;

/// A session that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Session {
    /// Name of the token it was opened with.
    pub(super) token: String,
    id: String,
    expires: Timestamp,
}

impl Session {
    /// What the tokens of its forms are bound to.
    pub(super) fn binding(&self) -> String {
        format!("session/{}", self.id)
    }
}

/// Opens, reads and ends sessions of this process.
pub(super) struct Sessions {
    key: [u8; 32],
    ended: Mutex<BTreeMap<String, Timestamp>>,
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sessions")
    }
}

impl Default for Sessions {
    fn default() -> Self {
        Self { key: random::bytes(), ended: Mutex::default() }
    }
}

impl Sessions {
    /// The cookie of a new session of this token.
    pub(super) fn open(&self, name: &str, token: &Token, now: Timestamp) -> String {
        let session =
            Session { token: name.to_owned(), id: hex::encode(random::bytes::<16>()), expires: now.plus_secs(LASTS_SECS) };
        let mark = hex::encode(self.mac_of(&session, token).finalize().into_bytes());
        format!("{}.{}.{}.{mark}", URL_SAFE_NO_PAD.encode(name), session.expires.0, session.id)
    }

    /// The session of a cookie; none when it was forged, ended, has expired, or its token is no longer configured.
    pub(super) fn read(&self, cookie: &str, access: &Access, now: Timestamp) -> Option<Session> {
        let mut parts = cookie.split('.');
        let (name, expires, id, mark) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let session = Session {
            token: String::from_utf8(URL_SAFE_NO_PAD.decode(name).ok()?).ok()?,
            id: id.to_owned(),
            expires: Timestamp(expires.parse().ok()?),
        };
        let token = access.tokens.get(&session.token)?;
        self.mac_of(&session, token).verify_slice(&hex::decode(mark).ok()?).ok()?;
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&session.id);
        (parts.next().is_none() && !ended && now < session.expires).then_some(session)
    }

    /// Ends a session: its cookie no longer opens anything, wherever it was copied to.
    pub(super) fn end(&self, session: &Session, now: Timestamp) {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.retain(|_, expires| now < *expires);
        ended.insert(session.id.clone(), session.expires);
    }

    /// The token of a form, bound to whom it was shown to.
    pub(super) fn form_token(&self, binding: &str) -> String {
        hex::encode(self.mac(&["form", binding]).finalize().into_bytes())
    }

    /// Whether a form came back with its token.
    pub(super) fn form_token_holds(&self, binding: &str, sent: &str) -> bool {
        hex::decode(sent).is_ok_and(|sent| self.mac(&["form", binding]).verify_slice(&sent).is_ok())
    }

    /// The hash of the token is signed too: another token under the same name opens no old session.
    fn mac_of(&self, session: &Session, token: &Token) -> Hmac<Sha256> {
        let (hash, expires) = (token.sha256.to_lowercase(), session.expires.0.to_string());
        self.mac(&["session", &session.token, &hash, &expires, &session.id])
    }

    /// Each part with its length, so that no two lists of parts look the same.
    fn mac(&self, parts: &[&str]) -> Hmac<Sha256> {
        #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("a key of 32 bytes");
        for part in parts {
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part.as_bytes());
        }
        mac
    }
}

/// The configured token that this is, with its name. Every hash is compared, each in constant time.
pub(super) fn known_token<'a>(sent: &str, access: &'a Access) -> Option<(&'a str, &'a Token)> {
    let hash = hex::encode(Sha256::digest(sent.as_bytes()));
    let fits = |token: &Token| bool::from(token.sha256.to_lowercase().as_bytes().ct_eq(hash.as_bytes()));
    access.tokens.iter().fold(None, |found, (name, token)| if fits(token) { Some((name.as_str(), token)) } else { found })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::access::Role;

    const NOW: Timestamp = Timestamp(1_795_000_000_000);

    fn access(token: &str) -> Access {
        let token =
            Token { sha256: hex::encode(Sha256::digest(token.as_bytes())), role: Role::Operator, applications: Vec::new() };
        Access { tokens: BTreeMap::from([("night.shift".to_owned(), token)]), trusted_proxy: None }
    }

    fn opened(sessions: &Sessions, access: &Access) -> String {
        let (name, token) = known_token("one", access).unwrap();
        sessions.open(name, token, NOW)
    }

    #[test]
    fn a_session_holds_until_it_expires_or_is_ended() {
        let (sessions, access) = (Sessions::default(), access("one"));
        let cookie = opened(&sessions, &access);
        let session = sessions.read(&cookie, &access, NOW).unwrap();
        assert_eq!(session.token, "night.shift");
        assert_eq!(sessions.read(&cookie, &access, NOW.plus_secs(LASTS_SECS)), None);
        sessions.end(&session, NOW);
        assert_eq!(sessions.read(&cookie, &access, NOW), None);
    }

    #[test]
    fn no_other_process_token_or_text_makes_a_session() {
        let (sessions, one) = (Sessions::default(), access("one"));
        let cookie = opened(&sessions, &one);
        assert_eq!(Sessions::default().read(&cookie, &one, NOW), None, "another key");
        assert_eq!(sessions.read(&cookie, &access("two"), NOW), None, "the token was replaced");
        assert_eq!(sessions.read(&cookie, &Access::default(), NOW), None, "the token was taken away");
        for at in 0..cookie.len() {
            let mut forged = cookie.clone().into_bytes();
            forged[at] ^= 1;
            let forged = String::from_utf8(forged).unwrap();
            assert_eq!(sessions.read(&forged, &one, NOW), None, "{forged}");
        }
        assert_eq!(sessions.read(&format!("{cookie}.x"), &one, NOW), None);
    }

    #[test]
    fn a_form_token_is_bound_to_its_reader() {
        let sessions = Sessions::default();
        let token = sessions.form_token("session/a");
        assert!(sessions.form_token_holds("session/a", &token));
        assert!(!sessions.form_token_holds("session/b", &token) && !sessions.form_token_holds("session/a", ""));
        assert!(!Sessions::default().form_token_holds("session/a", &token));
    }
}
