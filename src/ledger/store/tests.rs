use std::sync::atomic::Ordering;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{Notify, watch};

use super::*;
use crate::ledger::ReceiptContent;
use crate::ledger::sql::journal::Move;
use crate::model::Assignment;
use crate::plan::sample;

/// Each test as it is, where the writer is a task among others, and where it has a thread of its own.
macro_rules! on_either_runtime {
    ($($(#[$about:meta])* async fn $name:ident() $body:block)*) => {
        $($(#[$about])* async fn $name() $body)*

        mod as_a_task {
            $(#[tokio::test]
            async fn $name() {
                super::$name().await;
            })*
        }

        mod on_a_thread {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name().await;
            })*
        }
    };
}

async fn ledger() -> (tempfile::TempDir, Arc<SqlLedger>) {
    let folder = tempfile::tempdir().unwrap();
    let file = format!("sqlite:{}", folder.path().join("ledger.db").display());
    let ledger = SqlLedger::open(&file, "test", Mode::Serve).await.unwrap();
    (folder, Arc::new(ledger))
}

/// Keeps the writer at a write until it is let go: what is asked for meanwhile waits together.
struct Gate(watch::Sender<bool>);

impl Gate {
    async fn close(ledger: &Arc<SqlLedger>) -> Self {
        let (opens, (begun, ledger)) = (watch::Sender::new(false), (Arc::new(Notify::new()), Arc::clone(ledger)));
        let (told, open) = (Arc::clone(&begun), opens.subscribe());
        tokio::spawn(async move {
            let stands = ledger.write(move |_| {
                told.notify_one();
                let mut open = open.clone();
                Box::pin(async move { open.wait_for(|open| *open).await.map(drop).map_err(|_| gone()) })
            });
            stands.await
        });
        begun.notified().await;
        Self(opens)
    }

    async fn open(self) {
        self.0.send(true).unwrap();
    }
}

fn gone() -> LedgerError {
    LedgerError::Unavailable("gone".to_owned())
}

fn order(n: usize) -> Receipt {
    let order = Assignment { external_id: n.to_string(), ..sample::bare() };
    Receipt {
        source: order.source.clone(),
        event_id: n.to_string(),
        digest: n.to_string(),
        received_at: Timestamp(0),
        content: ReceiptContent::Order(Box::new(order)),
    }
}

/// Writes a cursor, and counts how often it is tried.
async fn counted(ledger: &SqlLedger, name: &'static str, tries: &Arc<AtomicU32>) -> LedgerResult<()> {
    let tries = Arc::clone(tries);
    let written = ledger.write(move |tx| {
        tries.fetch_add(1, Ordering::SeqCst);
        write_cursor(tx, name)
    });
    written.await
}

fn write_cursor<'c>(tx: &'c mut Conn, name: &'static str) -> BoxFuture<'c, LedgerResult<()>> {
    Box::pin(async move {
        query("INSERT INTO cursor (name, value, at) VALUES ($1, '1', 0)").bind(name).execute(tx).await?;
        Ok(())
    })
}

on_either_runtime! {
    async fn the_writer_has_a_thread_of_its_own_where_there_are_several() {
        let (_folder, ledger) = ledger().await;
        let of_writer = ledger.write(|_| Box::pin(async { Ok(std::thread::current().name() == Some("ledger")) }));
        assert_eq!(of_writer.await.unwrap(), Handle::current().runtime_flavor() == RuntimeFlavor::MultiThread);
        ledger.close().await;
    }

    async fn what_is_asked_for_meanwhile_is_one_commit_and_nobody_sees_it_before() {
        let (_folder, ledger) = ledger().await;
        let gate = Gate::close(&ledger).await;
        let readers = ledger.readers.clone();
        let looks = ledger.write(move |tx| {
            let readers = readers.clone();
            Box::pin(async move {
                let count = || query_as::<(i64,)>("SELECT COUNT(*) FROM cursor WHERE name = 'first'");
                Ok((count().fetch_all(tx).await?, count().fetch_all(&readers).await?))
            })
        });
        let (first, seen, ()) = tokio::join!(ledger.move_cursor("first", None, "1", Timestamp(0)), looks, gate.open());
        assert!(first.unwrap());
        assert_eq!(seen.unwrap(), (vec![(1,)], vec![(0,)]));
        assert_eq!(ledger.cursor("first").await.unwrap().as_deref(), Some("1"));
        ledger.close().await;
    }

    async fn a_defect_in_one_write_ends_neither_the_writer_nor_leaves_a_transaction_open() {
        let (_folder, ledger) = ledger().await;
        let defect = ledger.write::<(), _>(|tx| {
            Box::pin(async move {
                write_cursor(tx, "half").await?;
                panic!("a defect")
            })
        });
        assert!(matches!(defect.await, Err(LedgerError::Unavailable(_))));
        assert!(ledger.move_cursor("next", None, "1", Timestamp(0)).await.unwrap());
        assert_eq!(ledger.cursor("half").await.unwrap(), None);
        ledger.close().await;
    }

    async fn a_defect_in_one_write_fails_no_other_that_shares_its_commit() {
        let (_folder, ledger) = ledger().await;
        let (gate, tries) = (Gate::close(&ledger).await, [(); 2].map(|()| Arc::default()));
        let defect = ledger.write::<(), _>(|_| Box::pin(async { panic!("a defect") }));
        let (before, broken, after, ()) = tokio::join!(
            counted(&ledger, "before", &tries[0]),
            defect,
            counted(&ledger, "after", &tries[1]),
            gate.open()
        );
        assert!(matches!(broken, Err(LedgerError::Unavailable(_))), "{broken:?}");
        before.unwrap();
        after.unwrap();
        let tries = tries.map(|tries| tries.load(Ordering::SeqCst));
        assert_eq!(tries, [2, 1], "what comes before it was done with it, and again; what comes behind it never saw it");
        ledger.close().await;
    }

    async fn a_connection_that_was_lost_is_made_again_and_heard() {
        let (_folder, ledger) = ledger().await;
        let marked = || query_as::<(i64,)>("SELECT COUNT(*) FROM temp.sqlite_schema WHERE name = 'mark'");
        let mark = ledger.write(|tx| Box::pin(async move {
            query("CREATE TEMPORARY TABLE mark (n INTEGER)").execute(tx).await?;
            Ok(())
        }));
        mark.await.unwrap();
        let same = ledger.write(move |tx| Box::pin(async move { Ok(marked().fetch_all(tx).await?) }));
        assert_eq!(same.await.unwrap(), [(1,)]);
        let lost = ledger.write::<(), _>(|tx| {
            Box::pin(async move {
                write_cursor(tx, "lost").await?;
                Err(gone())
            })
        });
        assert!(matches!(lost.await, Err(LedgerError::Unavailable(_))));
        let another = ledger.write(move |tx| Box::pin(async move { Ok(marked().fetch_all(tx).await?) }));
        assert_eq!(another.await.unwrap(), [(0,)]);
        assert_eq!(ledger.cursor("lost").await.unwrap(), None);
        // Figures hear of what it writes, too.
        ledger.shared.touched.take();
        ledger.record(vec![order(1)]).await.unwrap();
        assert_eq!(ledger.shared.touched.take().map(|ids| ids.len()), Some(1));
        ledger.close().await;
    }

    async fn closing_carries_out_what_was_asked_for_before() {
        let (folder, ledger) = ledger().await;
        let (gate, tries) = (Gate::close(&ledger).await, Arc::default());
        let (first, second, (), ()) =
            tokio::join!(counted(&ledger, "first", &tries), counted(&ledger, "second", &tries), ledger.close(), gate.open());
        first.unwrap();
        second.unwrap();
        assert!(counted(&ledger, "third", &tries).await.is_err(), "it is closed");
        let file = format!("sqlite:{}", folder.path().join("ledger.db").display());
        let again = SqlLedger::open(&file, "test", Mode::Serve).await.unwrap();
        for (name, value) in [("first", Some("1")), ("second", Some("1")), ("third", None)] {
            assert_eq!(again.cursor(name).await.unwrap().as_deref(), value);
        }
        again.close().await;
    }

    /// Ids of two processes can be the same within a millisecond: a write makes others when it is done again.
    async fn a_write_whose_id_is_taken_is_done_again() {
        let (_folder, ledger) = ledger().await;
        let tries = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&tries);
        let written = ledger.write(move |tx| {
            let id = i64::from(counted.fetch_add(1, Ordering::SeqCst) / 2);
            Box::pin(async move {
                for id in [0, id] {
                    query("INSERT INTO checkpoint (id, at, assignments, head) VALUES ($1, 0, 0, '')")
                        .bind(id)
                        .execute(&mut *tx)
                        .await?;
                }
                Ok(())
            })
        });
        written.await.unwrap();
        assert_eq!(tries.load(Ordering::SeqCst), 3);
        ledger.close().await;
    }
}

/// So many orders, and lines of some of them at later times.
async fn with_lines(ledger: &SqlLedger, orders: usize, times: i64) -> Vec<Id> {
    let mut ids = Vec::new();
    for recorded in ledger.record((0..orders).map(order).collect()).await.unwrap() {
        let Recorded::New { id } = recorded else { panic!("{recorded:?}") };
        ids.push(id);
    }
    for n in 0..times {
        for id in &ids[usize::try_from(n).unwrap() % 2..] {
            let (step, at) = (Move::ours(id.0, None, "noted", Timestamp(n)), Timestamp(n));
            let noted = ledger.write(move |tx| {
                let step = step.clone();
                Box::pin(async move { sql::journal::apply(tx, &[step], at).await })
            });
            noted.await.unwrap();
        }
    }
    ids
}

/// A server's ledger is looked through order by order, a file as it lies.
#[tokio::test]
async fn a_checkpoint_ties_the_same_by_lines_as_by_orders() {
    let (_folder, ledger) = ledger().await;
    with_lines(&ledger, 4, 6).await;
    for (since, now) in [(i64::MIN, 9), (3, 4), (3, 5), (4, 5), (5, 9)] {
        let tied = |knot: LedgerResult<upkeep::Knot>| knot.unwrap().tied(Timestamp(now));
        let by_orders = upkeep::tie_by_orders(&ledger.readers, (since, now), upkeep::Knot::after("before")).await;
        let by_lines = upkeep::tie_by_lines(&ledger.readers, (since, now), upkeep::Knot::after("before")).await;
        let (by_orders, by_lines) = (tied(by_orders), tied(by_lines));
        assert_eq!(by_orders, by_lines, "{since} to {now}");
        assert_eq!(by_lines.is_some(), since < 5, "{since} to {now}");
    }
    ledger.close().await;
}

/// Lines are read as they were written, those of many orders in turn; what came before each is remembered, or looked up.
#[tokio::test]
async fn a_chain_is_broken_wherever_a_line_is_changed_or_gone_however_little_is_remembered() {
    let (_folder, ledger) = ledger().await;
    let ids = with_lines(&ledger, 6, 3).await;
    let broken = async |most| sql::chains::verify_remembering(&ledger.readers, most).await.unwrap();
    for most in [0, 2, 100] {
        assert_eq!(broken(most).await, []);
    }
    for (id, harm) in ids.iter().zip([
        "DELETE FROM journal WHERE seq = 3",
        "UPDATE journal SET actor = 'nobody' WHERE seq = 3",
        "UPDATE journal SET hash = 'another' WHERE seq = 2",
        "DELETE FROM journal WHERE seq = 1",
        "DELETE FROM journal WHERE seq = 4",
    ]) {
        let harm = format!("{harm} AND assignment_id = {}", id.0);
        let harmed = ledger.write(move |tx| {
            let harm = harm.clone();
            Box::pin(async move { Ok(query(harm).execute(tx).await?.rows_affected()) })
        });
        assert_eq!(harmed.await.unwrap(), 1);
    }
    for most in [0, 2, 100] {
        assert_eq!(broken(most).await, ids[..5]);
    }
    ledger.close().await;
}
