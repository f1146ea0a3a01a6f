//! The floor: one raw row through the same sqlx, pragmas and group commit, and nothing else.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, SqliteConnection};
use tokio::sync::{mpsc, oneshot};

use crate::bed::Served;

/// Rows that one commit carries at most, as in the product.
const MAX_ROWS: usize = 512;

struct Row {
    id: String,
    body: Bytes,
    done: oneshot::Sender<()>,
}

/// How rows of one commit are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inserts {
    /// A statement for each.
    Each,
    /// One statement for all.
    Set,
}

/// A table of raw rows with a group-committing writer.
#[derive(Clone)]
pub struct Store(mpsc::Sender<Row>);

impl Store {
    /// A fresh file.
    pub async fn open(path: &Path, inserts: Inserts) -> anyhow::Result<Self> {
        let mut connection = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .pragma("temp_store", "memory")
            .pragma("cache_size", "-16384")
            .pragma("wal_autocheckpoint", "16000")
            .disable_statement_logging()
            .connect()
            .await?;
        sqlx::query("CREATE TABLE raw (id TEXT NOT NULL UNIQUE, body TEXT NOT NULL) STRICT").execute(&mut connection).await?;
        let (sender, mut queue) = mpsc::channel::<Row>(4096);
        tokio::spawn(async move {
            while let Some(first) = queue.recv().await {
                let mut rows = vec![first];
                while rows.len() < MAX_ROWS
                    && let Ok(row) = queue.try_recv()
                {
                    rows.push(row);
                }
                // A failure is heard as a closed answer.
                if commit(&mut connection, &rows, inserts).await.is_ok() {
                    for row in rows {
                        // A caller that has gone away does not undo what is committed.
                        let _ = row.done.send(());
                    }
                }
            }
        });
        Ok(Self(sender))
    }

    /// One row, on disk when this returns.
    pub async fn write(&self, id: String, body: Bytes) -> anyhow::Result<()> {
        let (done, answer) = oneshot::channel();
        self.0.send(Row { id, body, done }).await.ok().context("the writer is gone")?;
        answer.await.context("the write failed")
    }
}

async fn commit(connection: &mut SqliteConnection, rows: &[Row], inserts: Inserts) -> anyhow::Result<()> {
    let mut tx = connection.begin_with("BEGIN IMMEDIATE").await?;
    match inserts {
        Inserts::Each => {
            for row in rows {
                let body = std::str::from_utf8(&row.body)?;
                sqlx::query("INSERT INTO raw (id, body) VALUES ($1, $2)").bind(&row.id).bind(body).execute(&mut *tx).await?;
            }
        }
        Inserts::Set => {
            let mut all = Vec::with_capacity(rows.len());
            for row in rows {
                all.push((&row.id, std::str::from_utf8(&row.body)?));
            }
            sqlx::query("INSERT INTO raw (id, body) SELECT value->>0, value->>1 FROM json_each($1) WHERE true")
                .bind(serde_json::to_string(&all)?)
                .execute(&mut *tx)
                .await?;
        }
    }
    tx.commit().await?;
    Ok(())
}

/// The same server with a route that stores the raw body.
pub async fn serve(store: Store) -> anyhow::Result<Served> {
    async fn take(State(store): State<Store>, headers: HeaderMap, body: Bytes) -> StatusCode {
        let Some(id) = headers.get("webhook-id").and_then(|v| v.to_str().ok()) else { return StatusCode::BAD_REQUEST };
        match store.write(id.to_owned(), body).await {
            Ok(()) => StatusCode::ACCEPTED,
            Err(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
    Served::start(Router::new().route("/hooks/{source}", post(take)).with_state(store)).await
}

/// A webhook, two commits and a POST: what an idle product's way is compared with.
pub async fn serve_with_post(store: Store, call: Arc<dyn Fn() -> lastmile::http::Call + Send + Sync>) -> anyhow::Result<Served> {
    type Idle = (Store, lastmile::http::HttpClient, Arc<dyn Fn() -> lastmile::http::Call + Send + Sync>);
    async fn take(State((store, client, call)): State<Idle>, headers: HeaderMap, body: Bytes) -> StatusCode {
        let Some(id) = headers.get("webhook-id").and_then(|v| v.to_str().ok()).map(str::to_owned) else {
            return StatusCode::BAD_REQUEST;
        };
        if store.write(id.clone(), body.clone()).await.is_err() {
            return StatusCode::SERVICE_UNAVAILABLE;
        }
        tokio::spawn(async move {
            if store.write(format!("{id}/attempt"), body).await.is_ok() {
                // The desk counts what reached it.
                drop(client.send(call()).await);
            }
        });
        StatusCode::ACCEPTED
    }
    let router = Router::new().route("/hooks/{source}", post(take)).with_state((store, client(64)?, call));
    Served::start(router).await
}

/// The product's own HTTP client.
pub fn client(in_flight: usize) -> anyhow::Result<lastmile::http::HttpClient> {
    let settings = lastmile::http::client::ClientSettings {
        max_in_flight: in_flight,
        timeout: Duration::from_secs(30),
        ..lastmile::http::client::ClientSettings::for_edge("desk")
    };
    lastmile::http::HttpClient::new(settings).map_err(anyhow::Error::msg)
}
