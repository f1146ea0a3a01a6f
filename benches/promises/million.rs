//! Placeholder.
pub async fn run(_: crate::Effort) -> anyhow::Result<()> { Ok(()) }
