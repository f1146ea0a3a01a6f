//! Files that lie with a ticket: their names and where people find them.

use serde_json::{Value, json};

use super::Rest;
use super::context;
use super::operation::Paging;
use super::place::Scene;
use super::settings::Files;
use crate::desk::evidence;
use crate::http::CallError;
use crate::model::completion::Evidence;
use crate::model::ticket::TicketRef;

impl Rest {
    pub(super) async fn files(&self, ticket: &TicketRef) -> Vec<Evidence> {
        evidence::or_none(self.wire.edge(), ticket, self.listed_files(ticket).await)
    }

    async fn listed_files(&self, ticket: &TicketRef) -> Result<Vec<Evidence>, CallError> {
        let (Some(operation), Some(places)) = (&self.settings.operations.files, &self.settings.files) else {
            return Ok(Vec::new());
        };
        let context = context::of_ticket(ticket);
        let (mut files, mut at) = (Vec::new(), None);
        // The first of a long list are shown: unlike tickets, files that are left out mean nothing.
        for _ in 0..operation.paging.as_ref().map_or(1, Paging::max_pages) {
            let (here, next) = self.page(operation, &context, at.as_ref()).await?;
            for row in self.raw_rows(operation, &here)? {
                files.extend(self.files_of(places, &context, Scene { row, answer: Some(&here.answer) }));
            }
            at = next;
            if files.len() >= evidence::MOST || at.is_none() {
                break;
            }
        }
        files.truncate(evidence::MOST);
        Ok(files)
    }

    fn files_of(&self, places: &Files, context: &Value, scene: Scene<'_>) -> Vec<Evidence> {
        let names = places.name.texts(scene);
        let ids = places.id.as_ref().map(|place| place.texts(scene)).unwrap_or_default();
        let row = places.row.as_ref().and_then(|place| place.text(scene));
        // Ids that do not go with the names would lead to other files.
        let ids = if ids.len() == names.len() { ids } else { Vec::new() };
        let file = |(n, name): (usize, String)| {
            let about = json!({"file": {"id": ids.get(n), "name": name, "row": row}});
            let url = places.url.as_ref().filter(|_| places.id.is_none() || ids.get(n).is_some());
            let url = url.and_then(|url| self.wire.text(url, &context::for_path(&context::with(context.clone(), about))).ok());
            evidence::file(&name, url)
        };
        names.into_iter().enumerate().map(file).collect()
    }
}
