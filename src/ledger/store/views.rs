//! The read side, asked of the readers.

use async_trait::async_trait;

use super::SqlLedger;
use crate::ledger::sql;
use crate::ledger::views::{
    AssignmentDetail, AssignmentRow, ErrandRow, Filter, Gauge, Operations, Overview, Owed, QuarantineRow, Scope, Troubled,
};
use crate::ledger::{Action, LedgerResult, Views};
use crate::model::{Id, Timestamp};

#[async_trait]
impl Views for SqlLedger {
    async fn assignments(&self, filter: &Filter, names: bool, limit: usize) -> LedgerResult<Vec<AssignmentRow>> {
        sql::views::assignments(&self.readers, filter, names, limit).await
    }

    async fn assignment(&self, id: Id, scope: &Scope, names: bool) -> LedgerResult<Option<AssignmentDetail>> {
        sql::views::assignment(&self.readers, id, scope, names).await
    }

    async fn overview(&self, scope: &Scope, now: Timestamp) -> LedgerResult<Overview> {
        sql::views::overview(&self.readers, scope, now).await
    }

    async fn operations(&self, scope: &Scope, names: bool, limit: usize) -> LedgerResult<Operations> {
        sql::views::operations(&self.readers, scope, names, limit).await
    }

    async fn errands(
        &self,
        which: Troubled,
        scope: &Scope,
        names: bool,
        after: Option<Id>,
        limit: usize,
    ) -> LedgerResult<Vec<ErrandRow>> {
        sql::views::errands(&self.readers, which, scope, names, after, limit).await
    }

    async fn quarantine(&self, scope: &Scope, names: bool, after: Option<Id>, limit: usize) -> LedgerResult<Vec<QuarantineRow>> {
        sql::views::quarantined(&self.readers, scope, names, after, limit).await
    }

    async fn is_held(&self, source: &str, begins: &str) -> LedgerResult<bool> {
        sql::views::is_held(&self.readers, source, begins).await
    }

    async fn concerns(&self, action: &Action) -> LedgerResult<Vec<String>> {
        sql::views::concerns(&self.readers, action).await
    }

    async fn gauges(&self, now: Timestamp) -> LedgerResult<Vec<Gauge>> {
        sql::views::gauges(&self.readers, now).await
    }

    async fn quarantine_body(&self, id: Id) -> LedgerResult<Option<String>> {
        sql::views::quarantine_body(&self.readers, id).await
    }

    async fn owed(&self, now: Timestamp) -> LedgerResult<Vec<Owed>> {
        sql::views::owed(&self.readers, now).await
    }

    async fn dump(&self) -> LedgerResult<String> {
        sql::views::dump(&self.readers).await
    }
}
