//! Spans of time as people write them.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A span of time, written `"90s"`, `"15m"`, `"2h"`, `"14days"`. Kept in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, JsonSchema)]
#[schemars(with = "String")]
pub struct Span(pub i64);

impl Span {
    /// Of so many seconds.
    #[must_use]
    pub const fn secs(n: i64) -> Self {
        Self(n * 1000)
    }

    /// In milliseconds.
    #[must_use]
    pub const fn ms(self) -> i64 {
        self.0
    }

    /// As a duration; negative spans do not exist.
    #[must_use]
    pub fn duration(self) -> std::time::Duration {
        std::time::Duration::from_millis(self.0.unsigned_abs())
    }

    /// For people: `7 days`, where the configuration says `7days`.
    #[must_use]
    pub fn human(self) -> String {
        let (mut words, mut after_digit) = (String::new(), false);
        for c in self.to_string().chars() {
            if after_digit && c.is_alphabetic() {
                words.push(' ');
            }
            after_digit = c.is_ascii_digit();
            words.push(c);
        }
        words
    }
}

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", humantime::format_duration(self.duration()))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let span = humantime::parse_duration(&text).map_err(|_| {
            serde::de::Error::custom(format!(
                "`{text}` is not a span of time; write it like \"90s\", \"15m\", \"2h\" or \"14days\""
            ))
        })?;
        i64::try_from(span.as_millis()).map(Self).map_err(serde::de::Error::custom)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
