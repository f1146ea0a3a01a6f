use super::*;

#[tokio::test]
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
