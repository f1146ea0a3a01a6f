//! The write-ahead log is merged into the file beside the writer: done by it, as SQLite does by itself, all who wait for a commit
//! wait for that, too.

use sqlx::sqlite::SqliteConnection;
use sqlx::{ConnectOptions as _, Connection as _, Executor as _};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::FileDoor;
use crate::ledger::LedgerResult;

/// Rows that are written between two merges: some seven pages of the log each.
const ROWS: usize = 1024;
/// Pages at which the writer merges after all: under steady load the log begins anew only where all of it is merged, which at
/// that time is little work.
pub(super) const MOST_PAGES: &str = "16000";

/// Merges the log of a file every so many rows.
#[derive(Debug)]
pub(in crate::ledger) struct Log {
    rows: usize,
    ring: mpsc::Sender<()>,
    merging: JoinHandle<()>,
}

impl Log {
    /// Of that file.
    pub(super) fn of(door: FileDoor) -> Self {
        let (ring, mut rung) = mpsc::channel(1);
        let merging = tokio::spawn(async move {
            let mut connection = None;
            while rung.recv().await.is_some() {
                // What it leaves is the writer's.
                if let Err(error) = merge(&door, &mut connection).await {
                    tracing::debug!(error = %error, "the ledger's log could not be merged beside its writer");
                    connection = None;
                }
            }
            if let Some(connection) = connection {
                drop(connection.close().await);
            }
        });
        Self { rows: 0, ring, merging }
    }

    /// So many more were written.
    pub(in crate::ledger) fn wrote(&mut self, rows: usize) {
        self.rows += rows;
        if self.rows >= ROWS {
            self.rows = 0;
            // One that is under way, or rung for, is enough.
            let _ = self.ring.try_send(());
        }
    }

    /// Waits for the merge under way.
    pub(in crate::ledger) async fn close(self) {
        drop(self.ring);
        drop(self.merging.await);
    }
}

async fn merge(door: &FileDoor, connection: &mut Option<SqliteConnection>) -> LedgerResult<()> {
    let connection = match connection {
        Some(connection) => connection,
        None => connection.insert(door.0.connect().await?),
    };
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};

    use super::*;

    #[tokio::test]
    async fn after_so_many_rows_the_log_is_merged_while_the_writer_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.db");
        let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true).journal_mode(SqliteJournalMode::Wal);
        let door = FileDoor(options.pragma("wal_autocheckpoint", MOST_PAGES));
        let mut writer = door.0.connect().await.unwrap();
        writer.execute("CREATE TABLE t (x); INSERT INTO t VALUES (zeroblob(100000))").await.unwrap();
        let size = || std::fs::metadata(&path).unwrap().len();
        for (rows, merged) in [(ROWS - 1, false), (ROWS, true)] {
            let mut log = door.log();
            log.wrote(rows);
            log.close().await;
            assert_eq!(size() > 100_000, merged, "after {rows} rows");
        }
    }
}
