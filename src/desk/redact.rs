//! Words of a desk are shown to people and written to logs: a secret that it quotes back is taken out first.

use std::sync::{Mutex, PoisonError};

use secrecy::{ExposeSecret, SecretString};

/// Shorter texts are no secrets, and would tear holes into plain words.
const SHORTEST: usize = 6;

/// The secrets of one desk. `Debug` shows nothing of them.
#[derive(Default)]
pub(super) struct Redaction(Mutex<Vec<SecretString>>);

impl std::fmt::Debug for Redaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Redaction(…)")
    }
}

impl Redaction {
    /// Knows these from the start.
    pub(super) fn of(secrets: impl IntoIterator<Item = SecretString>) -> Self {
        Self(Mutex::new(secrets.into_iter().collect()))
    }

    /// Learns one more (the token of a session).
    pub(super) fn learn(&self, secret: SecretString) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.iter().any(|k| k.expose_secret() == secret.expose_secret()) {
            known.push(secret);
        }
    }

    /// The text without them.
    pub(super) fn clean(&self, text: &str) -> String {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let secrets = known.iter().map(ExposeSecret::expose_secret).filter(|s| s.len() >= SHORTEST);
        secrets.fold(text.to_owned(), |text, secret| text.replace(secret, "[redacted]"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_desk_quotes_back_is_taken_out() {
        let redaction = Redaction::of([SecretString::from("hunter22"), SecretString::from("a")]);
        redaction.learn(SecretString::from("session-9"));
        assert_eq!(redaction.clean("bad token hunter22 of session-9, a word"), "bad token [redacted] of [redacted], a word");
        assert!(!format!("{redaction:?}").contains("hunter22"));
    }
}
