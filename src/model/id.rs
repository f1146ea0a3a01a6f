//! Row ids: 63 bits, sortable by time of making, made without asking the database.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};

use super::clock::Timestamp;
use super::random;

/// Our own id of a row: 41 bits of milliseconds since 2020, 22 bits that differ within a millisecond.
/// Written for people and addresses as 13 characters of Crockford base 32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Id(pub i64);

const EPOCH_MS: i64 = 1_577_836_800_000;
const LOW_BITS: u32 = 22;
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

impl Id {
    /// The smallest id that could have been made at this instant.
    #[must_use]
    pub fn floor(at: Timestamp) -> Self {
        Self((at.0 - EPOCH_MS).max(0).saturating_mul(1 << LOW_BITS))
    }

    /// When it was made.
    #[must_use]
    pub fn made_at(self) -> Timestamp {
        Timestamp((self.0 >> LOW_BITS) + EPOCH_MS)
    }
}

/// Makes ids that never repeat within a process and practically never between processes.
#[derive(Debug)]
pub struct IdMaker {
    last: AtomicU64,
    salt: u64,
}

impl Default for IdMaker {
    fn default() -> Self {
        Self { last: AtomicU64::new(0), salt: random::u64() & 0x3ff }
    }
}

impl IdMaker {
    /// The next id; ids of one maker grow strictly.
    pub fn next(&self, now: Timestamp) -> Id {
        let ms = u64::try_from((now.0 - EPOCH_MS).max(0)).unwrap_or(0);
        // 12 bits count within a millisecond, 10 bits tell makers apart.
        let floor = ms << 12;
        let mut seen = self.last.load(Ordering::Relaxed);
        loop {
            let next = floor.max(seen + 1);
            match self.last.compare_exchange_weak(seen, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => {
                    let value = ((next >> 12) << LOW_BITS) | ((next & 0xfff) << 10) | self.salt;
                    return Id(i64::try_from(value & (u64::MAX >> 1)).unwrap_or(i64::MAX));
                }
                Err(now_seen) => seen = now_seen,
            }
        }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut value = self.0.cast_unsigned();
        let mut out = [b'0'; 13];
        for slot in out.iter_mut().rev() {
            *slot = ALPHABET[(value & 31) as usize];
            value >>= 5;
        }
        f.write_str(std::str::from_utf8(&out).unwrap_or_default())
    }
}

/// The text is not an id of ours.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not an id (13 characters of 0-9 a-z without i, l, o, u)")]
pub struct BadId(pub String);

impl FromStr for Id {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let bad = || BadId(text.chars().take(40).collect());
        if text.len() != 13 {
            return Err(bad());
        }
        let mut value: u64 = 0;
        for byte in text.bytes() {
            let digit = ALPHABET.iter().position(|a| *a == byte).ok_or_else(bad)?;
            value = (value << 5) | digit as u64;
        }
        i64::try_from(value).map(Id).map_err(|_| bad())
    }
}

impl serde::Serialize for Id {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Id {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_grow_and_read_back() {
        let maker = IdMaker::default();
        let mut last = Id(0);
        for n in 0..10_000 {
            let id = maker.next(Timestamp(1_795_000_000_000 + n / 4096));
            assert!(id > last);
            assert!(id.made_at() >= Timestamp(1_795_000_000_000 + n / 4096) && Id::floor(id.made_at()) <= id);
            assert_eq!(id.to_string().parse::<Id>(), Ok(id));
            last = id;
        }
        assert!("../../etc".parse::<Id>().is_err());
    }
}
