use super::*;

/// Where there are several threads the writer has one of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_defect_in_one_write_ends_neither_the_writer_nor_leaves_a_transaction_open() {
    let folder = tempfile::tempdir().unwrap();
    let file = format!("sqlite:{}", folder.path().join("ledger.db").display());
    let ledger = SqlLedger::open(&file, "test", Mode::Serve).await.unwrap();
    let defect = ledger.write::<(), _>(|tx| {
        Box::pin(async move {
            query("INSERT INTO cursor (name, value, at) VALUES ('half', 'done', 0)").execute(tx).await?;
            panic!("a defect")
        })
    });
    assert!(matches!(defect.await, Err(LedgerError::Unavailable(_))));
    assert!(ledger.move_cursor("next", None, "1", Timestamp(0)).await.unwrap());
    assert_eq!(ledger.cursor("half").await.unwrap(), None);
    ledger.close().await;
}

#[tokio::test]
async fn a_defect_in_one_write_fails_no_other_that_shares_its_commit() {
    let folder = tempfile::tempdir().unwrap();
    let file = format!("sqlite:{}", folder.path().join("ledger.db").display());
    let ledger = SqlLedger::open(&file, "test", Mode::Serve).await.unwrap();
    let defect = ledger.write::<(), _>(|_| Box::pin(async { panic!("a defect") }));
    // All are in the queue before the writer has its turn.
    let (before, broken, after) = tokio::join!(
        ledger.move_cursor("before", None, "1", Timestamp(0)),
        defect,
        ledger.move_cursor("after", None, "1", Timestamp(0))
    );
    assert!(matches!(broken, Err(LedgerError::Unavailable(_))), "{broken:?}");
    assert!(before.unwrap() && after.unwrap(), "each is done, and once");
    ledger.close().await;
}

/// Ids of two processes can be the same within a millisecond: a write makes others when it is done again.
#[tokio::test]
async fn a_write_whose_id_is_taken_is_done_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = format!("sqlite:{}", folder.path().join("ledger.db").display());
    let ledger = SqlLedger::open(&file, "test", Mode::Serve).await.unwrap();
    let tries = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&tries);
    let written = ledger.write(move |tx| {
        let id = i64::from(counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst) / 2);
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
    assert_eq!(tries.load(std::sync::atomic::Ordering::SeqCst), 3);
    ledger.close().await;
}
