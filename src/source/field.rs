//! One declared field: where in the platform's JSON it stands, and what its values mean here.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// Where a value stands: a JSON pointer (`"/request/id"`), a list of pointers of which the first present one
/// counts, or a table with a default, a map of values, or a constant.
#[derive(Debug, Clone, PartialEq, Default, Serialize, JsonSchema)]
#[schemars(with = "FieldForm")]
pub struct Field {
    pointers: Vec<String>,
    value: Option<Value>,
    default: Option<Value>,
    map: BTreeMap<String, Value>,
    required: bool,
}

/// The written forms of a [`Field`].
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "describes the accepted forms in the JSON Schema")]
enum FieldForm {
    /// A JSON pointer.
    Pointer(Pointer),
    /// JSON pointers: the first present one counts.
    Pointers(Vec<Pointer>),
    /// With a default, a map or a constant.
    Table(FieldTable),
}

/// The long form of a field.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
struct FieldTable {
    /// JSON pointer, or a list of which the first present one counts.
    pointer: OneOrMany,
    /// A constant, instead of a pointer.
    value: Option<Value>,
    /// Taken where no pointer leads to a value.
    default: Option<Value>,
    /// The platform's values and what they mean here; `"*"` stands for every other value. Without `"*"`, a value that
    /// is not listed makes the event unmappable.
    map: BTreeMap<String, Value>,
    /// An event without this value is unmappable.
    required: bool,
}

/// A JSON pointer (RFC 6901), starting with `/`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Pointer(String);

impl Pointer {
    /// The whole document.
    #[must_use]
    pub fn whole() -> Self {
        Self(String::new())
    }

    /// The pointer's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Pointer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        pointer(String::deserialize(deserializer)?).map(Self).map_err(de::Error::custom)
    }
}

fn pointer(text: String) -> Result<String, String> {
    if text.is_empty() || text.starts_with('/') {
        return Ok(text);
    }
    Err(format!("`{text}` is not a JSON pointer: those start with `/`; a constant is written {{ value = \"{text}\" }}"))
}

/// One pointer or a list of them.
#[derive(Default, JsonSchema)]
#[schemars(with = "Vec<Pointer>")]
struct OneOrMany(Vec<String>);

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Field::deserialize(deserializer).map(|field| Self(field.pointers))
    }
}

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FieldVisitor)
    }
}

struct FieldVisitor;

impl<'de> Visitor<'de> for FieldVisitor {
    type Value = Field;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON pointer, a list of JSON pointers, or a table with `pointer` or `value`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Field, E> {
        let pointers = vec![pointer(text.to_owned()).map_err(E::custom)?];
        Ok(Field { pointers, ..Field::default() })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Field, A::Error> {
        let mut pointers = Vec::new();
        while let Some(Pointer(text)) = seq.next_element()? {
            pointers.push(text);
        }
        Ok(Field { pointers, ..Field::default() })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Field, A::Error> {
        let table = FieldTable::deserialize(MapAccessDeserializer::new(map))?;
        if table.pointer.0.is_empty() == table.value.is_none() {
            return Err(de::Error::custom("a field has either a `pointer` or a constant `value`"));
        }
        let FieldTable { pointer, value, default, map, required } = table;
        Ok(Field { pointers: pointer.0, value, default, map, required })
    }
}

impl Field {
    /// What stands at one pointer.
    #[must_use]
    pub fn at(pointer: &str) -> Self {
        Self { pointers: vec![pointer.to_owned()], ..Self::default() }
    }

    /// The value, `None` where there is none: null and empty text count as absent.
    ///
    /// # Errors
    /// Words that name the field and its pointers, never what stands there.
    pub fn resolve(&self, name: &str, document: &Value) -> Result<Option<Value>, String> {
        let found = match &self.value {
            Some(constant) => Some(constant),
            None => self.pointers.iter().find_map(|p| lookup(document, p)),
        };
        match found {
            Some(value) if self.map.is_empty() => Ok(Some(value.clone())),
            Some(value) => self.mapped(name, value).map(Some),
            None if self.default.is_some() => Ok(self.default.clone()),
            None if self.required => Err(self.nothing(name)),
            None => Ok(None),
        }
    }

    /// The value as text; numbers and booleans are written out.
    ///
    /// # Errors
    /// As [`Field::resolve`], and when a list or an object stands there.
    pub fn text(&self, name: &str, document: &Value) -> Result<Option<String>, String> {
        match self.resolve(name, document)? {
            None => Ok(None),
            Some(value) => as_text(&value)
                .map(Some)
                .ok_or_else(|| format!("field `{name}`: a list or an object stands at {}", self.places())),
        }
    }

    /// The value as text that must be there.
    ///
    /// # Errors
    /// As [`Field::text`], and when there is none.
    pub fn required_text(&self, name: &str, document: &Value) -> Result<String, String> {
        self.text(name, document)?.ok_or_else(|| self.nothing(name))
    }

    /// The pointers, for messages.
    #[must_use]
    pub fn places(&self) -> String {
        if self.pointers.is_empty() { "its constant".to_owned() } else { self.pointers.join(", ") }
    }

    /// Every value that this field can give by its own declaration: constant, default, map. For checks at start.
    pub fn declared_values(&self) -> impl Iterator<Item = &Value> {
        self.value.iter().chain(&self.default).chain(self.map.values())
    }

    fn mapped(&self, name: &str, value: &Value) -> Result<Value, String> {
        let key = as_text(value).unwrap_or_default();
        let exact = self.map.get(&key);
        let near = || self.map.iter().find(|(k, _)| k.to_lowercase() == key.to_lowercase()).map(|(_, v)| v);
        exact
            .or_else(near)
            .or_else(|| self.map.get("*"))
            .cloned()
            .ok_or_else(|| format!("field `{name}`: what stands at {} is not in its `map`", self.places()))
    }

    fn nothing(&self, name: &str) -> String {
        format!("field `{name}`: nothing stands at {}", self.places())
    }
}

/// Text of a scalar, trimmed.
#[must_use]
pub fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.trim().to_owned()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

/// What stands at a pointer; null and blank text count as nothing. Platforms write a list of one as the one thing
/// itself, or wrap one thing in a list: both are read alike.
#[must_use]
pub fn lookup<'a>(document: &'a Value, pointer: &str) -> Option<&'a Value> {
    let found = pointer.split('/').skip(1).try_fold(document, |here, raw| {
        let token = raw.replace("~1", "/").replace("~0", "~");
        match here {
            Value::Object(members) => members.get(&token).or_else(|| (token == "0").then_some(here)),
            Value::Array(items) => match token.parse::<usize>() {
                Ok(index) => items.get(index),
                Err(_) => items.first().and_then(|first| first.get(&token)),
            },
            _ => (token == "0").then_some(here),
        }
    })?;
    let blank = found.is_null() || found.as_str().is_some_and(|text| text.trim().is_empty());
    (!blank).then_some(found)
}

/// The items at a pointer: a list, or one thing as a list of one. `None` where nothing stands there.
#[must_use]
pub fn items<'a>(document: &'a Value, pointer: &str) -> Option<Vec<&'a Value>> {
    lookup(document, pointer).map(|found| match found {
        Value::Array(items) => items.iter().collect(),
        one => vec![one],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[derive(Deserialize, Debug)]
    struct Holder {
        f: Field,
    }

    fn field(text: &str) -> Field {
        toml::from_str::<Holder>(&format!("f = {text}")).unwrap().f
    }

    #[test]
    fn every_form_finds_its_value() {
        let doc = json!({"a": {"b": " x "}, "n": 5, "empty": "", "nil": null});
        assert_eq!(field("\"/a/b\"").text("f", &doc).unwrap().as_deref(), Some("x"));
        assert_eq!(field("[\"/nil\", \"/empty\", \"/n\"]").text("f", &doc).unwrap().as_deref(), Some("5"));
        assert_eq!(field("{ pointer = \"/none\", default = 1 }").resolve("f", &doc).unwrap(), Some(json!(1)));
        assert_eq!(field("{ value = \"grant\" }").text("f", &doc).unwrap().as_deref(), Some("grant"));
        assert_eq!(field("\"/none\"").text("f", &doc).unwrap(), None);
    }

    #[test]
    fn a_map_is_closed_unless_it_says_otherwise() {
        let doc = json!({"op": "ADD"});
        assert_eq!(field("{ pointer = \"/op\", map = { add = \"grant\" } }").resolve("f", &doc).unwrap(), Some(json!("grant")));
        let problem = field("{ pointer = \"/op\", map = { del = \"revoke\" } }").resolve("f", &doc).unwrap_err();
        assert!(problem.contains("`f`") && problem.contains("/op") && !problem.contains("ADD"), "{problem}");
        let open = field("{ pointer = \"/op\", map = { del = \"revoke\", \"*\" = \"modify\" } }");
        assert_eq!(open.resolve("f", &doc).unwrap(), Some(json!("modify")));
    }

    #[test]
    fn one_or_many_are_read_alike() {
        for doc in [json!({"w": {"id": 7}}), json!({"w": [{"id": 7}]})] {
            assert_eq!(lookup(&doc, "/w/id"), Some(&json!(7)));
            assert_eq!(lookup(&doc, "/w/0/id"), Some(&json!(7)));
            assert_eq!(items(&doc, "/w").unwrap().len(), 1);
        }
        assert_eq!(items(&json!({"w": []}), "/w").unwrap().len(), 0);
        assert!(items(&json!({}), "/w").is_none());
    }

    #[test]
    fn wrong_forms_are_refused_in_words() {
        let refused = |text: &str| toml::from_str::<Holder>(&format!("f = {text}")).unwrap_err().message().to_owned();
        assert!(refused("\"id\"").contains("start with `/`"));
        assert!(refused("{ default = 1 }").contains("either a `pointer`"));
        assert!(refused("{ pointr = \"/a\" }").contains("pointr"));
    }
}
