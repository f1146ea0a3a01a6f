//! Reads tickets out of answers, and walks pages of them.

use std::collections::BTreeMap;

use chrono_tz::Tz;
use serde_json::{Map, Value, json};

use super::Rest;
use super::call::{Effect, Here, Reply, rows_at};
use super::context::with;
use super::operation::{Operation, Paging};
use super::place::Scene;
use super::settings::{Settings, TicketPlaces};
use super::status_map::meaning;
use crate::desk::common::{Next, Page};
use crate::http::CallError;
use crate::model::key::Key;
use crate::model::ticket::{Category, TicketRef, TicketStatus};

/// A ticket read out of a row, and every key that stands in it.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) status: TicketStatus,
    pub(super) keys: Vec<Key>,
}

/// Reads one row; `None` when it has no usable id.
pub(super) fn read_row(settings: &Settings, zone: Tz, places: &TicketPlaces, scene: Scene<'_>) -> Option<Row> {
    let text = |place: &Option<super::place::Place>| place.as_ref().and_then(|p| p.text(scene));
    let id = text(&places.id).filter(|id| usable_id(id))?;
    let number = text(&places.number).unwrap_or_else(|| id.clone());
    let (status, resolution) = (text(&places.status), text(&places.resolution));
    let mut values: BTreeMap<String, String> =
        places.more.iter().filter_map(|(name, place)| Some((name.clone(), place.text(scene)?))).collect();
    values.extend(status.iter().map(|v| ("status".to_owned(), v.clone())));
    values.extend(resolution.iter().map(|v| ("resolution".to_owned(), v.clone())));
    let (category, outcome) = meaning(&settings.status, &values);
    let keys = places.key.as_ref().map(|p| p.keys(scene)).unwrap_or_default();
    let instant = |place: &Option<super::place::Place>| place.as_ref().and_then(|p| p.instant(scene, &settings.times, zone));
    let status = TicketStatus {
        ticket: TicketRef { id, number },
        key: keys.first().cloned(),
        category,
        outcome,
        status: status.unwrap_or_default(),
        resolution,
        group: text(&places.group),
        assigned: text(&places.owner).is_some(),
        created_by: text(&places.created_by),
        updated_at: instant(&places.updated),
        // An old date of closing may stay on a ticket that was opened again.
        closed_at: if category == Category::Closed { instant(&places.closed_at) } else { None },
    };
    Some(Row { status, keys })
}

/// Ids travel into paths and query languages: only what ids are made of.
pub(super) fn usable_id(id: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':' | b'#');
    (1..=200).contains(&id.len()) && id.bytes().all(fits) && id.bytes().any(|b| b.is_ascii_alphanumeric())
}

impl Rest {
    pub(super) fn places<'a>(&'a self, operation: &'a Operation) -> &'a TicketPlaces {
        operation.ticket.as_ref().unwrap_or(&self.settings.ticket)
    }

    /// The rows of an answer; `None` for those without a usable id.
    pub(super) fn rows(&self, operation: &Operation, here: &Here) -> Result<Vec<Option<Row>>, CallError> {
        let places = self.places(operation);
        let read = |row| read_row(&self.settings, self.zone, places, Scene { row, answer: Some(&here.answer) });
        Ok(self.raw_rows(operation, here)?.into_iter().map(read).collect())
    }

    pub(super) fn raw_rows<'a>(&self, operation: &Operation, here: &'a Here) -> Result<Vec<&'a Value>, CallError> {
        let at = operation.at.as_deref().unwrap_or("");
        match rows_at(&here.body, at) {
            Some(rows) => Ok(rows),
            None if operation.may_be_absent => Ok(Vec::new()),
            None => Err(CallError::retry("E-SHAPE", format!("{} answered without rows at `{at}`", self.wire.edge()))),
        }
    }

    /// One page of a list, and where the next one starts.
    pub(super) async fn page(
        &self,
        operation: &Operation,
        context: &Value,
        at: Option<&Next>,
    ) -> Result<(Here, Option<Next>), CallError> {
        let reply = match at {
            Some(Next::Token(address)) if !matches!(operation.paging, Some(Paging::Cursor { .. })) => {
                self.wire.follow(operation, address).await?
            }
            _ => {
                let count = match (at, &operation.paging) {
                    (Some(Next::Offset(n)), _) => *n,
                    (_, Some(Paging::Page { first, .. })) => *first,
                    _ => 0,
                };
                let cursor = match at {
                    Some(Next::Token(token)) => json!(token),
                    _ => Value::Null,
                };
                let context = with(context.clone(), json!({"page": count, "offset": count, "cursor": cursor}));
                let context = self.wire.prepare(&operation.before, context).await?;
                self.wire.run(operation, &context, Effect::Read, Map::new()).await?
            }
        };
        let Reply::Here(here) = reply else {
            return Err(CallError::retry("E-REFUSED", format!("{} does not know the address of a list", self.wire.edge())));
        };
        let next = self.next(operation, &here, at)?;
        Ok((here, next))
    }

    fn next(&self, operation: &Operation, here: &Here, at: Option<&Next>) -> Result<Option<Next>, CallError> {
        let counted = |first: usize| match at {
            Some(Next::Offset(n)) => *n,
            _ => first,
        };
        Ok(match &operation.paging {
            None => None,
            Some(Paging::Page { .. } | Paging::Offset { .. }) if self.raw_rows(operation, here)?.is_empty() => None,
            Some(Paging::Page { first, .. }) => Some(Next::Offset(counted(*first) + 1)),
            Some(Paging::Offset { size, .. }) => Some(Next::Offset(counted(0) + size)),
            Some(Paging::Link { .. }) => here.answer.header("link").and_then(next_link).map(Next::Token),
            Some(Paging::Cursor { at: pointer, more, .. }) => {
                let said = |pointer: &str| super::place::pick(&here.body, pointer).first().and_then(|v| super::place::scalar(v));
                let more = more.as_deref().is_none_or(|pointer| said(pointer).as_deref() == Some("true"));
                // The same token again would be the same page for ever.
                let again = |token: &String| matches!(at, Some(Next::Token(before)) if before == token);
                said(pointer).filter(|token| more && !again(token)).map(Next::Token)
            }
            Some(Paging::Next { at, .. }) => {
                super::place::pick(&here.body, at).first().and_then(|v| super::place::scalar(v)).map(Next::Token)
            }
        })
    }

    /// Every page of a list. Too many are a failure: a list cut short would look like "not there".
    pub(super) async fn all_pages(&self, operation: &Operation, context: &Value) -> Result<Vec<Here>, CallError> {
        let most = operation.paging.as_ref().map_or(1, Paging::max_pages);
        let (mut pages, mut at) = (Vec::new(), None);
        loop {
            let (here, next) = self.page(operation, context, at.as_ref()).await?;
            pages.push(here);
            match next {
                None => return Ok(pages),
                Some(_) if pages.len() >= most => {
                    return Err(CallError::retry(
                        "E-SHAPE",
                        format!("{} has more than {most} pages of a list", self.wire.edge()),
                    ));
                }
                more => at = more,
            }
        }
    }

    /// One page of changes for the walk, checked to be ordered as declared.
    pub(super) async fn changed_page(
        &self,
        operation: &Operation,
        from: crate::model::Timestamp,
        at: Option<Next>,
    ) -> Result<Page, CallError> {
        let context = super::context::of_since(&self.settings, from, self.zone);
        let (here, next) = self.page(operation, &context, at.as_ref()).await?;
        let rows: Vec<TicketStatus> = self.rows(operation, &here)?.into_iter().flatten().map(|r| r.status).collect();
        if !rows.is_sorted_by_key(|r| r.updated_at) {
            let words = format!("{} lists changes in another order than `oldest_first`", self.wire.edge());
            return Err(CallError::retry("E-SHAPE", words));
        }
        Ok(Page { rows, next })
    }
}

/// The address called `next` in a `Link` header.
fn next_link(link: &str) -> Option<String> {
    let next = link.split(",").find(|part| part.contains("rel=\"next\"") || part.contains("rel=next"))?;
    Some(next.trim().trim_start_matches('<').split('>').next()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_cannot_leave_their_place() {
        for id in ["1", "UserRequest::123", "a-b_c.d"] {
            assert!(usable_id(id), "{id}");
        }
        for id in ["", "..", "1 OR id > 0", "a/b", "1'", "ü"] {
            assert!(!usable_id(id), "{id}");
        }
    }

    #[test]
    fn the_link_called_next_is_found_among_others() {
        let link = "<https://d/x?page=1>; rel=\"first\", <https://d/x?page=3>; rel=\"next\"";
        assert_eq!(next_link(link).unwrap(), "https://d/x?page=3");
        assert_eq!(next_link("<https://d/x?page=1>; rel=\"first\""), None);
    }
}
