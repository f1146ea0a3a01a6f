//! What an upgrade asks of the machine, of whoever waits for it, and of those who still use the ledger.

use std::os::unix::net::UnixDatagram;
use std::process::Stdio;
use std::time::Duration;

use lastmile::ledger::{Ledger as _, LedgerError, LedgerResult, Mode, SqlLedger};
use rustix::process::Signal;
use sqlx::migrate::Migrate as _;
use sqlx::{Executor as _, Row as _, SqliteConnection};

use super::{Old, on_postgres_before};
use crate::program::{Running, Site, until};
use crate::real::postgres::{Postgres, connect};
use crate::real::skipped;

const LANES: &str = "0026_lanes_by_end.sql";
const DRAFTS: &str = "0027_drafts_apart.sql";
const JOURNAL: &str = "0028_journal_as_written.sql";

/// A name that stands in one draft and nowhere else.
const NAME: &str = "Ada Example of nowhere else";

async fn upgraded(url: &str) -> LedgerResult<()> {
    SqlLedger::open(url, "test", Mode::Serve).await?.close().await;
    Ok(())
}

/// What makes a table and its indexes, without blanks and quotation marks.
async fn made_by(connection: &mut SqliteConnection, table: &str) -> Vec<String> {
    let query = "SELECT sql FROM sqlite_master WHERE tbl_name = $1 AND sql IS NOT NULL ORDER BY type, name";
    let made: Vec<String> = sqlx::query_scalar(query).bind(table).fetch_all(connection).await.unwrap();
    made.into_iter().map(|text| text.replace([' ', '\n', '"'], "")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_are_made_anew_keep_their_columns_rules_and_indexes() {
    let mut old = Old::before(DRAFTS).await;
    let (tickets, journal) = (made_by(&mut old.connection, "ticket").await, made_by(&mut old.connection, "journal").await);
    assert_eq!((tickets.len(), journal.len()), (7, 1));
    old.step(DRAFTS).await;
    old.step(JOURNAL).await;
    let without_draft: Vec<String> = tickets.iter().map(|text| text.replace("draftTEXT,", "")).collect();
    assert_ne!(tickets, without_draft);
    assert_eq!(made_by(&mut old.connection, "ticket").await, without_draft);
    let by_key = "PRIMARYKEY(assignment_id,seq))STRICT,WITHOUTROWID";
    assert!(journal[0].contains(by_key));
    let as_written = journal[0].replace(by_key, "UNIQUE(assignment_id,seq))STRICT");
    assert_eq!(made_by(&mut old.connection, "journal").await, [as_written]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_leaves_neither_hollow_pages_nor_a_long_log() {
    let mut old = Old::before(DRAFTS).await;
    let many = "INSERT INTO ticket (id, key, desk, admin_group, route, state, draft, template, template_version, catalog_version, planned_at)
        WITH RECURSIVE n (k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM n WHERE k < 2000)
        SELECT 10000 + k, 'many-' || k, 'desk', 'g', 'r', 'dropped', hex(zeroblob(700)), 'default', 'v', 'c', 0 FROM n";
    sqlx::query(many).execute(&mut old.connection).await.unwrap();
    let before = used(&mut old.connection).await;
    let ledger = SqlLedger::open(&old.url(), "test", Mode::Serve).await.unwrap();
    let log = std::fs::metadata(old.folder.path().join("ledger.db-wal")).unwrap().len();
    ledger.close().await;
    let after = used(&mut old.connection).await;
    assert!(after < before + before / 4, "{before} pages, then {after}");
    assert!(log < 100_000, "a log of {log} bytes");
}

/// Pages that hold something.
async fn used(connection: &mut SqliteConnection) -> i64 {
    let pages = "SELECT (SELECT page_count FROM pragma_page_count) - (SELECT freelist_count FROM pragma_freelist_count)";
    sqlx::query(pages).fetch_one(connection).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_asks_its_manager_for_time_and_tells_people_while_it_upgrades() {
    let (old, site) = (Old::before(LANES).await, Site::new().await);
    site.keeps_in(&old.url());
    let socket = site.folder.path().join("notify");
    let manager = UnixDatagram::bind(&socket).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut command = site.command(&["serve"]);
    command.env("NOTIFY_SOCKET", &socket).stderr(Stdio::piped()).stdout(Stdio::null());
    let mut server = Running::start(command);
    let heard = || {
        let mut text = [0; 64];
        let n = manager.recv(&mut text).unwrap();
        String::from_utf8_lossy(&text[..n]).into_owned()
    };
    let first = heard();
    assert!(first.starts_with("EXTEND_TIMEOUT_USEC="), "{first}");
    assert_eq!(heard(), "READY=1");
    let said = server.says("the ledger is upgraded to schema").await;
    assert_eq!(said.matches("upgrading the ledger from schema 25 to ").count(), 1, "{said}");
    server.signal(Signal::TERM);
    assert_eq!(server.wait(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_on_postgres_may_take_longer_than_any_statement() {
    let server = match Postgres::shared().await {
        Ok(server) => server,
        Err(why) => return skipped(why),
    };
    let mut connection = on_postgres_before(server, "long_steps", LANES).await;
    let watched = "CREATE FUNCTION watch() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
            IF current_setting('statement_timeout') <> '0' OR current_setting('lock_timeout') <> '15s' THEN
                RAISE 'a step has %, and waits % for a table', current_setting('statement_timeout'), current_setting('lock_timeout');
            END IF;
        END $$;
        CREATE EVENT TRIGGER watched ON ddl_command_start EXECUTE FUNCTION watch();";
    connection.execute(watched).await.unwrap();
    upgraded(&server.url("long_steps")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_start_at_once_upgrade_once() {
    let server = match Postgres::shared().await {
        Ok(server) => server,
        Err(why) => return skipped(why),
    };
    let mut other = on_postgres_before(server, "at_once", LANES).await;
    // As one that upgrades.
    other.lock().await.unwrap();
    let url = server.url("at_once");
    let let_them = async {
        wait_for_another(&url, 2).await;
        other.unlock().await.unwrap();
    };
    let (one, two, ()) = tokio::join!(upgraded(&url), upgraded(&url), let_them);
    one.unwrap();
    two.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_waits_for_an_upgrade_can_be_told_to_stop() {
    let server = match Postgres::shared().await {
        Ok(server) => server,
        Err(why) => return skipped(why),
    };
    let mut other = on_postgres_before(server, "told_to_stop", LANES).await;
    other.lock().await.unwrap();
    let (url, site) = (server.url("told_to_stop"), Site::new().await);
    site.keeps_in(&url);
    let mut serving = Running::start(site.command(&["serve"]));
    wait_for_another(&url, 1).await;
    serving.signal(Signal::TERM);
    assert_eq!(serving.wait(), Some(0));
    other.unlock().await.unwrap();
}

/// Until so many wait for an upgrade that another is at.
async fn wait_for_another(url: &str, expected: i64) {
    let waiting = "SELECT COUNT(*) FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database
        WHERE d.datname = current_database() AND l.locktype = 'advisory' AND NOT l.granted";
    until("they wait for it", async || {
        let (found,): (i64,) = sqlx::query_as(waiting).fetch_one(&mut connect(url).await).await.unwrap();
        (found == expected).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draft_that_an_older_replica_still_writes_is_kept() {
    let server = match Postgres::shared().await {
        Ok(server) => server,
        Err(why) => return skipped(why),
    };
    let mut older = on_postgres_before(server, "late_draft", DRAFTS).await;
    older.execute("BEGIN; UPDATE ticket SET draft = 'late' WHERE id = 502").await.unwrap();
    let url = server.url("late_draft");
    let let_it_through = async {
        until("the upgrade waits for it", async || {
            let waiting = "SELECT EXISTS (SELECT 1 FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database
                WHERE d.datname = current_database() AND NOT l.granted AND l.relation = 'ticket'::regclass)";
            let (waits,): (bool,) = sqlx::query_as(waiting).fetch_one(&mut connect(&url).await).await.unwrap();
            waits.then_some(())
        })
        .await;
        older.execute("COMMIT").await.unwrap();
    };
    let (upgrade, ()) = tokio::join!(upgraded(&url), let_it_through);
    upgrade.unwrap();
    let (draft,): (String,) =
        sqlx::query_as("SELECT draft FROM ticket_draft WHERE id = 502").fetch_one(&mut older).await.unwrap();
    assert_eq!(draft, "late");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_uses_a_table_for_long_is_named_as_the_reason() {
    let server = match Postgres::shared().await {
        Ok(server) => server,
        Err(why) => return skipped(why),
    };
    let mut connection = on_postgres_before(server, "held", LANES).await;
    // As PostgreSQL says it after 15 s.
    let held = "CREATE FUNCTION held() RETURNS event_trigger LANGUAGE plpgsql AS
            $$ BEGIN RAISE SQLSTATE '55P03' USING MESSAGE = 'canceling statement due to lock timeout'; END $$;
        CREATE EVENT TRIGGER held ON ddl_command_start EXECUTE FUNCTION held();";
    connection.execute(held).await.unwrap();
    let error = upgraded(&server.url("held")).await.unwrap_err();
    assert!(matches!(&error, LedgerError::Unavailable(words) if words.contains("somebody else uses its tables")), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_draft_stays_in_the_table_of_tickets_on_postgres() {
    let server = match Postgres::shared().await {
        Ok(server) => server,
        Err(why) => return skipped(why),
    };
    let mut connection = on_postgres_before(server, "names", DRAFTS).await;
    let named = format!("UPDATE ticket SET draft = '{NAME}' WHERE id = 502");
    connection.execute(sqlx::AssertSqlSafe(named)).await.unwrap();
    assert!(file_holds(&mut connection, "ticket", NAME).await);
    upgraded(&server.url("names")).await.unwrap();
    assert!(file_holds(&mut connection, "ticket_draft", NAME).await);
    assert!(!file_holds(&mut connection, "ticket", NAME).await);
}

/// Whether the bytes of a table hold these words, in rows or between them.
async fn file_holds(connection: &mut sqlx::PgConnection, table: &str, words: &str) -> bool {
    connection.execute("CHECKPOINT").await.unwrap();
    let query = "SELECT position(convert_to($2, 'UTF8') IN pg_read_binary_file(pg_relation_filepath(CAST($1 AS regclass)))) > 0";
    let (holds,): (bool,) = sqlx::query_as(query).bind(table).bind(words).fetch_one(connection).await.unwrap();
    holds
}
