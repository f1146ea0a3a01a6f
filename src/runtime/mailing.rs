//! The loop of scheduled reports.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::due::Due;
use crate::flow::Setup;
use crate::ledger::{Ledger, LedgerResult};
use crate::mailing::{self, Step};
use crate::model::Clock;

/// How often schedules are looked at: a report may come so much later.
const LOOK_EVERY_MS: i64 = 5_000;

/// Looks at every report when it is time to look; whether one was sent.
pub(super) async fn round(
    ledger: &Arc<dyn Ledger>,
    setup: &Arc<ArcSwap<Setup>>,
    clock: &Arc<dyn Clock>,
    next: &mut Option<Due>,
) -> LedgerResult<bool> {
    if next.is_some_and(|due| !due.has_come(&**clock)) {
        return Ok(false);
    }
    *next = Some(Due::after(LOOK_EVERY_MS, &**clock));
    let (catalog, mut sent) = (Arc::clone(&setup.load().catalog), false);
    for report in &catalog.main.reports {
        for way in mailing::ways(report) {
            sent |= mailing::step(&**ledger, &catalog, report, way, &**clock).await? == Step::Sent;
        }
    }
    Ok(sent)
}
