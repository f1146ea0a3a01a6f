//! (read side)
use super::super::LedgerResult;
use super::super::views::*;
use crate::model::{Id, Timestamp};
use sqlx::SqlitePool;
pub(in crate::ledger) async fn assignments(_: &SqlitePool, _: &Filter, _: bool, _: usize) -> LedgerResult<Vec<AssignmentRow>> {
    Ok(vec![])
}
pub(in crate::ledger) async fn assignment(_: &SqlitePool, _: Id, _: &Scope, _: bool) -> LedgerResult<Option<AssignmentDetail>> {
    Ok(None)
}
pub(in crate::ledger) async fn overview(_: &SqlitePool, _: &Scope, _: Timestamp) -> LedgerResult<Overview> {
    Ok(Overview::default())
}
pub(in crate::ledger) async fn operations(
    _: &SqlitePool,
    _: &Scope,
    _: bool,
    _: Timestamp,
    _: usize,
) -> LedgerResult<Operations> {
    Ok(Operations::default())
}
pub(in crate::ledger) async fn facts(_: &SqlitePool, _: &FactFilter) -> LedgerResult<Vec<Fact>> {
    Ok(vec![])
}
pub(in crate::ledger) async fn backlog(_: &SqlitePool, _: &FactFilter) -> LedgerResult<Vec<Fact>> {
    Ok(vec![])
}
pub(in crate::ledger) async fn quarantine_body(_: &SqlitePool, _: Id) -> LedgerResult<Option<String>> {
    Ok(None)
}
pub(in crate::ledger) async fn dump(_: &SqlitePool) -> LedgerResult<String> {
    Ok(String::new())
}
