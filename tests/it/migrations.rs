//! Old databases upgrade, proven on rows: each migration owns a file of rows as its schema leaves them; every step is
//! applied to the rows of all steps before it, and today's code opens what comes out and works on with it.

mod upgrade;

use std::path::{Path, PathBuf};

use lastmile::ledger::{
    Ledger, LedgerError, Mode, Observation, Pull, Pulled, Receipt, ReceiptContent, Recorded, Snapshot, SqlLedger, Views,
};
use lastmile::model::ticket::{Category, TicketReading, TicketRef, TicketStatus};
use lastmile::model::{Key, Operation, Outcome, Timestamp};
use sqlx::migrate::Migrator;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, PgConnection, Row, SqliteConnection};

use crate::real::postgres::{Postgres, connect};
use crate::real::skipped;

const NOW: Timestamp = Timestamp(1_795_000_600_000);

/// A draft from when it stood in its ticket's row.
const DRAFT: &str = "SELECT draft FROM ticket_draft WHERE id = 501";
const OLD_DRAFT: &str = r#"{"key":"lm-old-key"}"#;

/// Times of closing that did not fit the state: of the open order none stands there any more, of the reported one when its
/// journal says that it ended.
const ENDS: &str = "SELECT id, closed_at FROM assignment WHERE id IN (1001, 1002) ORDER BY id";
const MENDED_ENDS: [(i64, Option<i64>); 2] = [(1001, None), (1002, Some(1_795_000_003_000))];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn names(folder: &str) -> Vec<String> {
    let entries = std::fs::read_dir(root().join(folder)).unwrap();
    let mut found: Vec<String> = entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
    found.sort();
    found
}

struct Old {
    folder: tempfile::TempDir,
    connection: SqliteConnection,
}

impl Old {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = SqliteConnectOptions::new().filename(folder.path().join("ledger.db")).create_if_missing(true);
        std::fs::create_dir(folder.path().join("migrations")).unwrap();
        Self { connection: options.connect().await.unwrap(), folder }
    }

    /// As a program left it that did not know this migration yet.
    async fn before(name: &str) -> Self {
        let mut old = Self::new().await;
        for earlier in names("migrations/sqlite").iter().take_while(|known| *known != name) {
            old.step(earlier).await;
        }
        old
    }

    fn url(&self) -> String {
        format!("sqlite:{}", self.folder.path().join("ledger.db").display())
    }

    /// One more migration, then the rows that a ledger of that schema holds.
    async fn step(&mut self, name: &str) {
        let known = self.folder.path().join("migrations");
        std::fs::copy(root().join("migrations/sqlite").join(name), known.join(name)).unwrap();
        Migrator::new(known).await.unwrap().run(&mut self.connection).await.unwrap_or_else(|e| panic!("{name}: {e}"));
        let rows = std::fs::read_to_string(root().join("tests/data/migrations/sqlite").join(name)).unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(rows)).execute(&mut self.connection).await.unwrap_or_else(|e| panic!("{name}: {e}"));
    }

    async fn count(&mut self, table: &str) -> i64 {
        let query = sqlx::AssertSqlSafe(format!("SELECT COUNT(*) FROM {table}"));
        sqlx::query(query).fetch_one(&mut self.connection).await.unwrap().get(0)
    }

    async fn tables(&mut self) -> Vec<String> {
        sqlx::query_scalar(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '\\_%' ESCAPE '\\' ORDER BY name",
        )
        .fetch_all(&mut self.connection)
        .await
        .unwrap()
    }
}

/// A database as a program left it that did not know this migration yet; none: as today's leaves it.
async fn on_postgres_before(server: &Postgres, database: &str, name: &str) -> PgConnection {
    server.make(database, "template1").await;
    let mut connection = connect(&server.url(database)).await;
    let folder = tempfile::tempdir().unwrap();
    for name in names("migrations/postgres").iter().take_while(|known| *known != name) {
        std::fs::copy(root().join("migrations/postgres").join(name), folder.path().join(name)).unwrap();
        Migrator::new(folder.path()).await.unwrap().run(&mut connection).await.unwrap_or_else(|e| panic!("{name}: {e}"));
        // The rows are the same on both.
        let rows = std::fs::read_to_string(root().join("tests/data/migrations/sqlite").join(name)).unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(rows)).execute(&mut connection).await.unwrap_or_else(|e| panic!("{name}: {e}"));
    }
    connection
}

#[test]
fn every_migration_has_its_rows() {
    assert_eq!(names("migrations/sqlite"), names("tests/data/migrations/sqlite"));
}

#[test]
fn both_engines_have_the_same_migrations() {
    assert_eq!(names("migrations/sqlite"), names("migrations/postgres"));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_every_step_survive_on_postgres_too() {
    let server = match Postgres::shared().await {
        Ok(server) => server,
        Err(why) => return skipped(why),
    };
    let mut connection = on_postgres_before(server, "old", "").await;
    let draft: String = sqlx::query_scalar(DRAFT).fetch_one(&mut connection).await.unwrap();
    assert_eq!(draft, OLD_DRAFT);
    let ends: Vec<(i64, Option<i64>)> = sqlx::query_as(ENDS).fetch_all(&mut connection).await.unwrap();
    assert_eq!(ends, MENDED_ENDS);
    let ledger = SqlLedger::open(&server.url("old"), "test", Mode::Serve).await.unwrap();
    assert_eq!(ledger.verify_chains().await.unwrap(), []);
    assert_eq!(ledger.verify_ends().await.unwrap(), []);
    assert_eq!(ledger.cursor("pull/idm").await.unwrap().as_deref(), Some("1795000000000"));
    assert_eq!(ledger.assignments(&lastmile::ledger::views::Filter::default(), true, 10).await.unwrap().len(), 2);
    ledger.close().await;
    sqlx::query("INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (9999, 'later', true, '', 0)")
        .execute(&mut connection)
        .await
        .unwrap();
    let error = SqlLedger::open(&server.url("old"), "test", Mode::Serve).await.unwrap_err();
    assert!(matches!(error, LedgerError::NewerSchema { found: 9999, .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_every_step_survive_and_todays_code_works_on_with_them() {
    let mut old = Old::new().await;
    for name in names("migrations/sqlite") {
        let mut before = Vec::new();
        for table in old.tables().await {
            before.push((table.clone(), old.count(&table).await));
        }
        old.step(&name).await;
        for (table, rows) in before {
            assert!(old.count(&table).await >= rows, "{name} loses rows of {table}");
        }
    }
    for table in old.tables().await {
        assert!(old.count(&table).await > 0, "no row proves anything about {table}");
    }
    let draft: String = sqlx::query_scalar(DRAFT).fetch_one(&mut old.connection).await.unwrap();
    assert_eq!(draft, OLD_DRAFT);
    let ends: Vec<(i64, Option<i64>)> = sqlx::query_as(ENDS).fetch_all(&mut old.connection).await.unwrap();
    assert_eq!(ends, MENDED_ENDS);
    let ledger = SqlLedger::open(&old.url(), "test", Mode::Serve).await.unwrap();
    assert_eq!(ledger.verify_chains().await.unwrap(), []);
    assert_eq!(ledger.verify_ends().await.unwrap(), []);
    assert_eq!(ledger.cursor("pull/idm").await.unwrap().as_deref(), Some("1795000000000"));
    let todo = ledger.operations(&None, true, 10).await.unwrap();
    assert_eq!((todo.quarantined.len(), todo.strays.len(), todo.edges.len()), (1, 1, 2));

    // An old event is still a repeat, an old early withdrawal still meets its order, an old open ticket still closes.
    let order = |id: &str, operation| -> ReceiptContent {
        let json = serde_json::json!({"source": "idm", "external_id": id, "generation": 1, "operation": operation,
            "application": {"id": "sap", "name": "SAP"}, "beneficiary": {"id": "p-1"}, "priority": 1});
        ReceiptContent::Order(serde_json::from_value(json).unwrap())
    };
    let receipt = |event: &str, digest: &str, content| Receipt {
        source: "idm".to_owned(),
        event_id: event.to_owned(),
        digest: digest.to_owned(),
        received_at: NOW,
        content,
    };
    let results = ledger
        .record(vec![
            receipt("e-1", "d-1", order("A-1", Operation::Grant)),
            receipt("n-9", "d", order("A-9", Operation::Modify)),
            receipt("n-8", "d", order("A-8", Operation::Grant)),
            receipt("n-8b", "d", order("A-8", Operation::Modify)),
        ])
        .await
        .unwrap();
    assert!(matches!(results[0], Recorded::Repeat { id: Some(_) }));
    let mut states = Vec::new();
    for result in &results[1..] {
        let Recorded::New { id } = result else { panic!("{result:?}") };
        states.push(ledger.assignment(*id, &None, true).await.unwrap().unwrap().row.state.clone());
    }
    assert_eq!(states, ["closed", "closed", "received"]);
    let ticket = ledger.held("desk", &["id-T-1".to_owned()]).await.unwrap().remove(0);
    let status = TicketStatus {
        ticket: TicketRef { id: "id-T-1".to_owned(), number: "T-1".to_owned() },
        key: Some(Key("lm-old-key".to_owned())),
        category: Category::Closed,
        outcome: Some(Outcome::Fulfilled),
        status: "Closed".to_owned(),
        resolution: None,
        group: None,
        assigned: false,
        created_by: None,
        updated_at: None,
        closed_at: Some(NOW),
    };
    let reading =
        TicketReading { status, closer: None, words: None, first_work_at: None, closed_by_us: None, evidence: Vec::new() };
    let closed = Observation::Closed { ticket_id: ticket.id, reading: Box::new(reading) };
    assert_eq!(ledger.observe(vec![closed], NOW).await.unwrap(), 1);
    // A list goes on where it was: A-3 is missed for the second time.
    let pull = Pull {
        source: "idm".to_owned(),
        from: Some("1795000000000".to_owned()),
        to: "next".to_owned(),
        receipts: Vec::new(),
        snapshot: Some(Snapshot { present: vec!["A-1".to_owned()], one_page: false }),
        started_at: NOW,
    };
    assert!(matches!(ledger.record_pull(pull).await.unwrap(), Pulled::Recorded { .. }));
    assert_eq!(ledger.verify_chains().await.unwrap(), []);
    ledger.close().await;
    let gone: Option<i64> =
        sqlx::query_scalar("SELECT gone_at FROM listed WHERE external_id = 'A-3'").fetch_one(&mut old.connection).await.unwrap();
    assert_eq!(gone, Some(NOW.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_of_any_older_schema_is_opened_and_upgraded() {
    let all = names("migrations/sqlite");
    for reached in 1..=all.len() {
        let mut old = Old::new().await;
        for name in &all[..reached] {
            old.step(name).await;
        }
        let ledger =
            SqlLedger::open(&old.url(), "test", Mode::Serve).await.unwrap_or_else(|e| panic!("{}: {e}", all[reached - 1]));
        assert_eq!(ledger.assignments(&lastmile::ledger::views::Filter::default(), true, 10).await.unwrap().len(), 2);
        ledger.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_schema_refuses_an_older_binary() {
    let mut old = Old::new().await;
    for name in names("migrations/sqlite") {
        old.step(&name).await;
    }
    let last = names("migrations/sqlite").pop().unwrap();
    let known: u32 = last.split('_').next().unwrap().parse().unwrap();
    sqlx::query("INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (9999, 'later', 1, x'00', 0)")
        .execute(&mut old.connection)
        .await
        .unwrap();
    for mode in [Mode::Serve, Mode::Read] {
        let error = SqlLedger::open(&old.url(), "test", mode).await.unwrap_err();
        assert!(matches!(error, LedgerError::NewerSchema { found: 9999, .. }), "{error}");
        assert_eq!(error.to_string(), format!("the ledger has schema 9999, this lastmile knows {known}: use the newer lastmile"));
    }
    assert_eq!(old.count("assignment").await, 2, "nothing was touched");
}
