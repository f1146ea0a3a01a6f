//! Logs and metrics.

use std::io::IsTerminal as _;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

/// Bounds of the buckets of `lastmile_http_request_seconds`.
const ANSWER_SECONDS: [f64; 8] = [0.005, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0, 20.0];

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people at a terminal.
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts logging to standard error. `filter` is in `tracing-subscriber`'s words; quiet when all is well.
pub fn start_logs(filter: &str, format: LogFormat) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("warn,lastmile=info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // Where nobody reads the log any more, it would be told on standard error that it cannot be written there: that
        // panics, and the loop that had something to say would end unseen.
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    // A second start (tests) keeps the first.
    let _ = match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
}

/// Installs the metrics recorder of this process; a second call gives a recorder of its own that shows nothing.
#[must_use]
pub fn metrics_handle() -> PrometheusHandle {
    let builder = || {
        let plain = PrometheusBuilder::new();
        // Without buckets it would be quantiles of one process, which cannot be added up.
        plain.set_buckets(&ANSWER_SECONDS).unwrap_or_else(|_| PrometheusBuilder::new())
    };
    builder().install_recorder().unwrap_or_else(|_| builder().build_recorder().handle())
}
