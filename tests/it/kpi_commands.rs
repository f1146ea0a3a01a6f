//! `lastmile kpi` as a person runs it: what it says, and the code it ends with.

use lastmile::ledger::{Ledger, Mode, Past, SqlLedger};
use lastmile::model::Clock as _;
use lastmile::model::clock::SystemClock;
use lastmile::sandbox::history;
use sqlx::{Connection as _, Executor as _, SqliteConnection};

use crate::orders;
use crate::program::Site;

/// What was closed long ago, by the sandbox's company.
fn past() -> Vec<Past> {
    let told = history::history(3, SystemClock.now(), 4, 40).unwrap();
    told.into_iter().enumerate().filter_map(orders::closed).take(100).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_are_proven_and_made_afresh() {
    let site = Site::new().await;
    let said = site.run(&["kpi", "verify"]);
    assert!(said.code != Some(0) && said.err.contains("there is no ledger at"), "{}", said.err);
    let file = site.folder.path().join("ledger.db");
    let ledger = SqlLedger::open(&format!("sqlite:{}", file.display()), "demo", Mode::Serve).await.unwrap();
    ledger.load_history(past()).await.unwrap();
    ledger.close().await;

    // Nothing is counted yet, and that is no difference.
    let said = site.run(&["kpi", "verify"]);
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
    assert!(said.out.contains("100 changed since they were counted"), "{}", said.out);
    let said = site.run(&["kpi", "rebuild"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.out.ends_with(" assignments were made afresh.\n"), "{}", said.out);
    let said = site.run(&["kpi", "verify"]);
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
    assert!(said.out.ends_with("The figures agree with the journal.\n") && !said.out.contains("wait"), "{}", said.out);

    // Somebody helps the last thirty days.
    let mut connection = SqliteConnection::connect(&format!("sqlite:{}", file.display())).await.unwrap();
    connection.execute("UPDATE kpi_cell SET n = n + 1 WHERE kind = 'window' AND at = 30").await.unwrap();
    connection.close().await.unwrap();
    let said = site.run(&["kpi", "verify"]);
    assert_eq!(said.code, Some(1), "{}", said.out);
    assert!(said.out.contains("  DIFFERS the last 30 days of "), "{}", said.out);

    // Beside a server it proves, and throws nothing away.
    let mut running = site.serve().await;
    let said = site.run(&["kpi", "rebuild"]);
    assert!(said.code != Some(0) && said.err.contains("the server runs: stop it first"), "{:?} {}", said.code, said.err);
    assert_eq!(site.run(&["kpi", "verify"]).code, Some(1));
    running.signal(rustix::process::Signal::TERM);
    assert_eq!(running.wait(), Some(0));
    assert_eq!(site.run(&["kpi", "rebuild"]).code, Some(0));
    assert_eq!(site.run(&["kpi", "verify"]).code, Some(0));
}
