//! Figures: readers compute, the writers keep.

use std::sync::Arc;

use async_trait::async_trait;

use super::SqlLedger;
use crate::ledger::LedgerResult;
use crate::ledger::rollups::{
    AgeRow, Behind, CaseWrite, CellFilter, CellRow, Dim, Dirty, Forecast, KeptCalendar, KeptCase, Kind, LeaverRow, LifeRow, Mark,
    Member, Place, Rolled, Rollups, Sought, Starts, Swept,
};
use crate::ledger::sql::rollup::{self, read};
use crate::model::{Id, Timestamp};

/// Longer than any transaction lasts and than clocks of processes differ.
const OVERLAP_MS: i64 = 120_000;

#[async_trait]
impl Rollups for SqlLedger {
    async fn touched(&self, now: Timestamp) -> LedgerResult<Option<Vec<Id>>> {
        if self.is_alone() {
            return Ok(self.shared.touched.take());
        }
        // Rows of other processes, too, and those whose commit came after that of later ones.
        let (many, before) = (self.shared.touched.take().is_none(), self.shared.touched.looked(self.by_database(now)));
        let Some(before) = before.filter(|_| !many) else { return Ok(None) };
        rollup::changed_since(&self.readers, before.plus_ms(-OVERLAP_MS)).await.map(Some)
    }

    async fn sweep(&self, after: Id, config: &str, limit: i64) -> LedgerResult<Swept> {
        rollup::sweep(&self.readers, after, config, limit).await
    }

    async fn all_ids(&self, after: Id, limit: i64) -> LedgerResult<Vec<Id>> {
        rollup::all_ids(&self.readers, after, limit).await
    }

    async fn lives(&self, ids: &[Id]) -> LedgerResult<Vec<LifeRow>> {
        rollup::lives(&self.readers, ids).await
    }

    async fn marks(&self, kind: Kind, at: &[i64]) -> LedgerResult<Vec<Mark>> {
        rollup::marks(&self.readers, kind, at).await
    }

    async fn members(&self, kind: Kind, at: i64, dim: Option<i64>, after: Id, limit: i64) -> LedgerResult<Vec<Member>> {
        read::members(&self.readers, kind, at, dim, after, limit).await
    }

    async fn keep_cases(&self, cases: Vec<CaseWrite>, calendars: Vec<KeptCalendar>) -> LedgerResult<()> {
        let kept = Arc::new((cases, calendars));
        self.write(move |tx| {
            let kept = Arc::clone(&kept);
            Box::pin(async move { rollup::keep_cases(tx, &kept.0, &kept.1).await })
        })
        .await
    }

    async fn dirty(&self, limit: i64) -> LedgerResult<Vec<Dirty>> {
        rollup::dirty(&self.readers, limit).await
    }

    async fn count_marks(&self, place: Place) -> LedgerResult<(i64, Timestamp)> {
        read::count_marks(&self.readers, place).await
    }

    async fn keep_cells(&self, cells: Vec<CellRow>, done: Vec<Dirty>, asked: Vec<Place>) -> LedgerResult<()> {
        let kept = Arc::new((cells, done, asked));
        self.write(move |tx| {
            let kept = Arc::clone(&kept);
            Box::pin(async move { rollup::keep_cells(tx, &kept.0, &kept.1, &kept.2).await })
        })
        .await
    }

    async fn cells(
        &self,
        kind: Kind,
        from: Timestamp,
        to: Timestamp,
        filter: &CellFilter,
        rest: bool,
    ) -> LedgerResult<Vec<CellRow>> {
        read::cells(&self.readers, kind, (from, to), filter, rest).await
    }

    async fn cells_at(&self, starts: &[Starts], dims: Option<&[i64]>, rest: bool) -> LedgerResult<Vec<CellRow>> {
        read::cells_at(&self.readers, starts, dims, rest).await
    }

    async fn ages(&self, this_hour: Timestamp) -> LedgerResult<Vec<AgeRow>> {
        read::ages(&self.readers, this_hour).await
    }

    async fn passed(&self, kind: Kind, before: Timestamp) -> LedgerResult<Vec<(i64, i64)>> {
        read::passed(&self.readers, kind, before).await
    }

    async fn dims(&self, filter: &CellFilter) -> LedgerResult<Vec<Dim>> {
        read::dims(&self.readers, filter).await
    }

    async fn behind(&self, sought: &Sought) -> LedgerResult<Vec<Behind>> {
        read::behind(&self.readers, sought).await
    }

    async fn case(&self, id: Id) -> LedgerResult<(Option<KeptCase>, Option<Forecast>)> {
        read::case(&self.readers, id).await
    }

    async fn named(&self, id: Id) -> LedgerResult<Option<Behind>> {
        read::named(&self.readers, id).await
    }

    async fn calendars(&self) -> LedgerResult<Vec<KeptCalendar>> {
        read::calendars(&self.readers).await
    }

    async fn leavers(&self, persons: &[i64]) -> LedgerResult<Vec<LeaverRow>> {
        read::leavers(&self.readers, persons).await
    }

    async fn leavers_between(&self, from: Timestamp, to: Timestamp, dim: Option<i64>) -> LedgerResult<Vec<LeaverRow>> {
        read::leavers_between(&self.readers, from, to, dim).await
    }

    async fn keep_leavers(&self, kept: Vec<LeaverRow>, gone: Vec<i64>, dirty: Vec<Place>, done: Vec<Dirty>) -> LedgerResult<()> {
        let kept = Arc::new((kept, gone, dirty, done));
        self.write(move |tx| {
            let kept = Arc::clone(&kept);
            Box::pin(async move { rollup::keep_leavers(tx, &kept.0, &kept.1, &kept.2, &kept.3).await })
        })
        .await
    }

    async fn forget_figures(&self, todays_calendars: bool) -> LedgerResult<()> {
        self.write(move |tx| Box::pin(async move { rollup::forget(tx, todays_calendars).await })).await
    }

    async fn rolled(&self) -> LedgerResult<Rolled> {
        // Looked at before and after: what is taken between is seen by one of both, or by the sums that wait.
        let taken = self.shared.touched.is_behind();
        let (until, waiting) = read::rolled(&self.readers).await?;
        // A process that only reads cannot tell what another has changed: its figures are of the time that is noted.
        let behind = taken || waiting || self.shared.touched.is_behind();
        Ok(Rolled { until, behind, knows_all: self.is_alone() && self.shared.touched.is_whole() })
    }

    async fn note_rolled(&self, until: Timestamp, sweeping: bool) -> LedgerResult<()> {
        self.write(move |tx| Box::pin(async move { rollup::note_rolled(tx, until, sweeping).await })).await?;
        if !sweeping {
            self.shared.touched.counted();
        }
        Ok(())
    }
}
