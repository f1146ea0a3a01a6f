//! The list, with its filter in the address.

use axum::extract::{Query, State};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{PAGE, address, render};
use crate::kpi::timing::{Listed, measured};
use crate::ledger::views::Filter;
use crate::model::{Id, State as Stage};
use crate::web::WebState;
use crate::web::access::Reader;
use crate::web::problem::unavailable;

/// Filters of the list, in the address. What is not understood is said on the page and filters nothing out.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(in crate::web) struct ListQuery {
    state: String,
    application: String,
    admin_group: String,
    parked: String,
    q: String,
    before: String,
}

impl ListQuery {
    fn trimmed(mut self) -> Self {
        for text in
            [&mut self.state, &mut self.application, &mut self.admin_group, &mut self.parked, &mut self.q, &mut self.before]
        {
            *text = text.trim().to_owned();
        }
        self
    }

    /// As the ledger's filter, within the reader's scope.
    fn filter(&self, reader: &Reader) -> Filter {
        let given = |v: &String| Some(v.clone()).filter(|t| !t.is_empty());
        Filter {
            states: Stage::parse(&self.state).map(|s| s.as_str().to_owned()).into_iter().collect(),
            application: given(&self.application),
            admin_group: given(&self.admin_group),
            parked: (self.parked == "yes").then_some(true),
            search: given(&self.q),
            scope: reader.scope.clone(),
            before: self.before.parse().ok(),
            ..Filter::default()
        }
    }

    fn is_filtered(&self) -> bool {
        [&self.state, &self.application, &self.admin_group, &self.parked, &self.q].iter().any(|t| !t.is_empty())
    }

    /// This list from another row on.
    fn from(&self, before: &str) -> String {
        let fields = [
            ("q", self.q.as_str()),
            ("application", &self.application),
            ("admin_group", &self.admin_group),
            ("state", &self.state),
            ("parked", &self.parked),
            ("before", before),
        ];
        address("/assignments", &fields)
    }
}

/// Assignments, newest first.
pub(in crate::web) async fn assignments(
    State(state): State<WebState>,
    reader: Reader,
    Query(query): Query<ListQuery>,
) -> Response {
    let query = query.trimmed();
    // One more than is shown tells whether there is another page.
    match state.ledger.assignments(&query.filter(&reader), reader.sees_names(), PAGE + 1).await {
        Ok(mut rows) => {
            let more = rows.len() > PAGE;
            rows.truncate(PAGE);
            let older = rows.last().filter(|_| more).map(|r| query.from(&r.id.to_string()));
            let newest = (!query.before.is_empty()).then(|| query.from(""));
            let setup = state.setup.load_full();
            let (ids, now): (Vec<Id>, _) = (rows.iter().map(|row| row.id).collect(), state.clock.now());
            let cases = match measured(&*state.ledger, &setup.catalog, &ids, now).await {
                Ok(cases) => cases,
                Err(error) => return unavailable(error),
            };
            let rows: Vec<Listed> = rows.into_iter().map(|row| Listed::of(row, &cases, now)).collect();
            let due = rows.iter().any(|row| row.due_by.is_some());
            let unknown = !query.state.is_empty() && Stage::parse(&query.state).is_none();
            let states: Vec<_> =
                Stage::ALL.iter().map(|s| json!({"id": s.as_str(), "chosen": s.as_str() == query.state})).collect();
            let data = json!({
                "rows": rows, "due": due, "query": query, "older": older, "newest": newest, "states": states, "only_parked": query.parked == "yes",
                "filtered": query.is_filtered(), "unknown_state": unknown.then_some(&query.state),
            });
            render(&state, &reader, "assignments", "Assignments", data)
        }
        Err(error) => unavailable(error),
    }
}
