//! The one door of randomness.

/// Random bytes from the operating system.
///
/// # Panics
/// When the operating system has no randomness to give; nothing safe can be done then.
#[must_use]
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut out = [0u8; N];
    #[expect(
        clippy::expect_used,
        clippy::disallowed_methods,
        reason = "this is the one door of randomness; without it nothing is safe"
    )]
    getrandom::fill(&mut out).expect("the operating system gives random bytes");
    out
}

/// A random 64-bit number.
#[must_use]
pub fn u64() -> u64 {
    u64::from_le_bytes(bytes())
}

/// A secret of 32 random bytes as lower-case hex.
#[must_use]
pub fn token() -> String {
    hex::encode(bytes::<32>())
}
