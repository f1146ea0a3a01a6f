//! The correlation key inside a ticket, and the stable ids of reports and comment marks.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Our correlation key inside a ticket: `lm-` and 24 characters of `[a-z2-7]`. Deterministic, so that after a
/// crash, a restore or a failover the same ticket is looked for. No person and no name of a system is in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Key(pub String);

impl Key {
    /// The key of the ticket that covers these natural keys in this cycle (a late reopening starts a new cycle).
    #[must_use]
    pub fn of(instance: &str, natural_keys: &[&str], cycle: i64) -> Self {
        let mut sorted: Vec<&str> = natural_keys.to_vec();
        sorted.sort_unstable();
        let cycle = cycle.to_string();
        let mut parts = vec!["ticket", instance, cycle.as_str()];
        parts.extend(sorted);
        Self(format!("lm-{}", stable_id(&parts)))
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// 24 characters (120 bits) of base 32 that depend on every part and on where each part ends.
#[must_use]
pub fn stable_id(parts: &[&str]) -> String {
    base32(&digest(parts)[..15])
}

/// The same as a number of 62 bits, for keys of rows.
#[must_use]
pub fn stable_number(parts: &[&str]) -> i64 {
    digest(parts).iter().take(8).fold(0, |number: i64, byte| (number << 8) | i64::from(*byte)) & (i64::MAX >> 1)
}

/// Salted hash of a person's id on a platform: stands for the person in the journal and in keys of rows.
#[must_use]
pub fn person_hash(salt: &str, source: &str, external_id: &str) -> String {
    stable_id(&["person", salt, source, external_id])
}

/// Of every part, and of where each ends.
fn digest(parts: &[&str]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().into()
}

fn base32(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut out = String::with_capacity(bytes.len() * 8 / 5);
    let (mut buffer, mut bits) = (0u32, 0u32);
    for byte in bytes {
        buffer = (buffer << 8) | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            out.push(char::from(ALPHABET[((buffer >> bits) & 31) as usize]));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_depends_on_all_it_covers_but_not_on_their_order() {
        let key = Key::of("prod", &["a", "b"], 1);
        assert_eq!(key, Key::of("prod", &["b", "a"], 1));
        assert_ne!(key, Key::of("prod", &["ab"], 1));
        assert_ne!(key, Key::of("prod", &["a", "b"], 2));
        assert_ne!(key, Key::of("test", &["a", "b"], 1));
        assert_eq!(key.0.len(), 27);
        assert!(key.0.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'));
    }
}
