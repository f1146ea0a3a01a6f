//! Names of persons, kept apart from everything else and erasable.

use super::super::LedgerResult;
use super::Shared;
use crate::ledger::engine::{Arg, Conn, Rows, query};
use crate::model::{Person, Timestamp};

/// Names of persons; one known from the last day is left as it is.
macro_rules! insert_persons_of {
    ($parameter:literal) => {
        concat!(
            "INSERT INTO person (hash, source, external_id, name, email, seen_at) ROWS ",
            $parameter,
            " (text, text, text, text, text, int) ON CONFLICT (hash) DO UPDATE SET external_id = excluded.external_id, name = COALESCE(excluded.name, person.name),
                email = COALESCE(excluded.email, person.email), seen_at = excluded.seen_at, erased_at = NULL
             WHERE excluded.seen_at > person.seen_at + 86400000 OR excluded.name IS DISTINCT FROM person.name"
        )
    };
}

pub(in crate::ledger) use insert_persons_of;

/// Hash, source, external id, name, address, when it was seen.
pub(in crate::ledger) type PersonRow = [Arg; 6];

pub(in crate::ledger) fn person_row(shared: &Shared, source: &str, person: &Person, now: Timestamp) -> PersonRow {
    let hash = shared.person(source, &person.id);
    [hash.into(), source.into(), (&person.id).into(), (&person.name).into(), (&person.email).into(), now.0.into()]
}

pub(in crate::ledger) async fn insert_persons(tx: &mut Conn, persons: Vec<PersonRow>) -> LedgerResult<()> {
    if persons.is_empty() {
        return Ok(());
    }
    query(insert_persons_of!("$1")).bind(persons.into_iter().collect::<Rows>()).execute(tx).await?;
    Ok(())
}
