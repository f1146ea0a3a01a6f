//! `lastmile token NAME`: a token for pages and API.

use std::process::ExitCode;

use sha2::{Digest, Sha256};

/// Prints a new token once, and its hash for the configuration.
#[expect(clippy::print_stdout, reason = "commands speak to a person")]
pub(super) fn run(name: &str) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'), "a token's name has only letters, digits and -");
    let token = format!("lmt_{}", crate::model::random::token());
    let hash = hex::encode(Sha256::digest(token.as_bytes()));
    println!(
        "Token, shown only now: {token}\n\nFor lastmile.toml:\n\n[access.tokens.{name}]\nsha256 = \"{hash}\"\nrole = \"viewer\"  # or \"operator\""
    );
    Ok(ExitCode::SUCCESS)
}
