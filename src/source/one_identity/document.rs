//! The documents that the mapping reads: a row, with what was joined to it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use serde_json::{Map, Value, json};

use super::app_server::AppServer;
use super::settings::Join;
use crate::http::CallError;
use crate::model::Timestamp;
use crate::source::field::{as_text, items, lookup};

/// How long a joined object is not read again: names do not change by the minute.
const FRESH_MS: i64 = 3_600_000;

/// An entity of either server as `{display, values, texts}`. Values may come plain or as `{Value, DisplayValue}`.
pub(super) fn entity(raw: &Value) -> Value {
    let columns = ["values", "Values", "Columns", "columns"].iter().find_map(|name| raw.get(name)?.as_object());
    let (mut values, mut texts) = (Map::new(), Map::new());
    for (name, value) in columns.into_iter().flatten() {
        let plain = match value {
            Value::Object(members) => {
                if let Some(text) = members.get("DisplayValue").filter(|t| !t.is_null()) {
                    texts.insert(name.clone(), text.clone());
                }
                members.get("Value").cloned().unwrap_or(Value::Null)
            }
            plain => plain.clone(),
        };
        values.insert(name.clone(), plain);
    }
    let display = ["display", "Display"].iter().find_map(|name| raw.get(name)).cloned().unwrap_or(Value::Null);
    json!({"display": display, "values": values, "texts": texts})
}

/// Table and key parts of `<Key><T>Table</T><P>uid</P></Key>`.
pub(super) fn object_key(text: &str) -> Option<(String, Vec<String>)> {
    let inside = |open: &str, close: &str, from: &str| {
        let start = from.find(open)? + open.len();
        let end = start + from[start..].find(close)?;
        Some((from[start..end].to_owned(), end + close.len()))
    };
    let (table, mut at) = inside("<T>", "</T>", text)?;
    let mut keys = Vec::new();
    while let Some((key, used)) = inside("<P>", "</P>", &text[at..]) {
        keys.push(key);
        at += used;
    }
    (!keys.is_empty()).then_some((table, keys))
}

/// Columns that the mapping's pointers read below `/{name}/values/`, or below `/values/` for the row itself.
pub(super) fn columns(pointers: &[String], name: &str) -> BTreeSet<String> {
    let start = if name.is_empty() { "/values/".to_owned() } else { format!("/{name}/values/") };
    let column = |pointer: &String| pointer.strip_prefix(&start)?.split('/').next().map(str::to_owned);
    pointers.iter().filter_map(column).filter(|c| !c.is_empty()).collect()
}

/// Reads the objects that rows point to: in bulk, and not again for an hour.
#[derive(Debug)]
pub(super) struct Joiner {
    joins: Vec<(Join, Vec<String>)>,
    known: Mutex<HashMap<(String, String), (Timestamp, Value)>>,
}

impl Joiner {
    pub(super) fn new(joins: Vec<Join>, mut pointers: Vec<String>) -> Self {
        pointers.extend(joins.iter().map(|join| join.at.clone()));
        let with_columns = |join: Join| {
            let mut wanted = columns(&pointers, &join.name);
            wanted.insert(join.key());
            (join, wanted.into_iter().collect())
        };
        Self { joins: joins.into_iter().map(with_columns).collect(), known: Mutex::default() }
    }

    /// Table, key and columns of each join: for checks.
    pub(super) fn tables(&self) -> impl Iterator<Item = (&str, String, &[String])> {
        self.joins.iter().map(|(join, columns)| (join.table.as_str(), join.key(), columns.as_slice()))
    }

    /// Columns of the rows themselves that the joins start from.
    pub(super) fn starts(&self) -> Vec<String> {
        self.joins.iter().map(|(join, _)| join.at.clone()).collect()
    }

    /// Puts the joined objects into the documents. One that cannot be read fails the round: an order must not look
    /// changed because a name was missing for a moment.
    pub(super) async fn join(&self, server: &AppServer, documents: &mut [Value], now: Timestamp) -> Result<(), CallError> {
        for (join, columns) in &self.joins {
            let place = |key: &str| (format!("{}:{}", join.table, join.name), key.to_owned());
            let wanted: BTreeSet<String> =
                documents.iter().filter_map(|d| lookup(d, &join.at).and_then(as_text)).filter(|k| !k.is_empty()).collect();
            let unknown: Vec<String> = {
                let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
                let fresh = |key: &String| known.get(&place(key)).is_some_and(|(at, _)| now.ms_since(*at) < FRESH_MS);
                wanted.iter().filter(|key| !fresh(key)).cloned().collect()
            };
            let mut found = server.by_keys(&join.table, &join.key(), columns, &unknown).await?;
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            for key in unknown {
                let object = found.remove(&key).unwrap_or(Value::Null);
                known.insert(place(&key), (now, object));
            }
            for document in documents.iter_mut() {
                let key = lookup(document, &join.at).and_then(as_text);
                let object = key.and_then(|key| known.get(&place(&key)).map(|(_, object)| object.clone()));
                if let Some(object) = object.filter(|o| !o.is_null()) {
                    document[&join.name] = object;
                }
            }
        }
        Ok(())
    }
}

/// Rows by a text at a pointer.
pub(super) fn by_text(rows: Vec<Value>, pointer: &str) -> BTreeMap<String, Vec<Value>> {
    let mut groups: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for row in rows {
        if let Some(key) = lookup(&row, pointer).and_then(as_text) {
            groups.entry(key).or_default().push(row);
        }
    }
    groups
}

/// The entities of an answer: a list, or its one member itself.
pub(super) fn entities(body: &Value, pointer: &str) -> Option<Vec<Value>> {
    Some(items(body, pointer)?.into_iter().cloned().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn object_keys_and_values_are_read_in_every_form() {
        let two = "<Key><T>ADSAccountInADSGroup</T><P>a-1</P><P>g-2</P></Key>";
        assert_eq!(object_key(two), Some(("ADSAccountInADSGroup".to_owned(), vec!["a-1".to_owned(), "g-2".to_owned()])));
        assert_eq!(object_key("<Key><T>X</T></Key>"), None);
        assert_eq!(object_key("a-1"), None);
        let plain = entity(&json!({"display": "d", "values": {"A": 1}}));
        let rich = entity(&json!({"Display": "d", "Columns": {"A": {"Value": 1, "DisplayValue": "one"}}}));
        assert_eq!((&plain["values"]["A"], &plain["display"]), (&json!(1), &json!("d")));
        assert_eq!((&rich["values"]["A"], &rich["texts"]["A"]), (&json!(1), &json!("one")));
    }

    #[test]
    fn columns_are_those_that_the_mapping_reads() {
        let pointers = ["/values/A", "/person/values/B", "/values/C/deep", "/history/at", "word"].map(str::to_owned);
        assert_eq!(columns(&pointers, ""), ["A", "C"].map(str::to_owned).into());
        assert_eq!(columns(&pointers, "person"), ["B"].map(str::to_owned).into());
    }
}
