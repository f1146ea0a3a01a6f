//! The first SIGTERM or Ctrl-C stops gracefully, a second one at once; SIGHUP asks for the configuration again.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Exit code of a stop that waited for nothing (128 + SIGTERM).
const CUT_SHORT: i32 = 143;

/// What a person or service manager tells this process.
pub(super) struct Signals {
    term: Signal,
    int: Signal,
    hup: Signal,
}

/// What was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// Stop.
    Stop,
    /// Read the configuration again.
    Reload,
}

impl Signals {
    /// From now on signals are ours.
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            hup: signal(SignalKind::hangup())?,
        })
    }

    /// The next thing that is told.
    pub(super) async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.term.recv() => Told::Stop,
            _ = self.int.recv() => Told::Stop,
            _ = self.hup.recv() => Told::Reload,
        }
    }

    /// The process stops: from now on another SIGTERM or Ctrl-C ends it at once.
    pub(super) fn stopping(mut self) {
        tokio::spawn(async move {
            while self.next().await != Told::Stop {}
            tracing::warn!("stopped at once: what was under way is cleared up at the next start");
            std::process::exit(CUT_SHORT);
        });
    }
}
