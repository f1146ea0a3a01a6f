//! Real components, started on loopback. Where one cannot be installed its test says "skipped: why"; with
//! `LASTMILE_CI=1` that is a failure.

mod browser;
mod chromium;
mod on_postgres;
pub mod pair;
pub mod pgbouncer;
pub mod postgres;
mod replicas;
pub mod rt;
mod rt_desk;
mod rt_journey;
mod server;
mod standard_webhooks;

/// A component that is not there: a failure in CI, words elsewhere.
pub fn skipped(why: &str) {
    assert!(std::env::var_os("LASTMILE_CI").is_none_or(|v| v != "1"), "skipped in CI: {why}");
    eprintln!("skipped: {why}");
}
