//! Dates as platforms write them: with and without time, with and without zone, as numbers, and as "no date".

use chrono::{DateTime, Datelike, Days, LocalResult, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone};
use chrono_tz::Tz;
use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::field::Field;
use crate::model::Timestamp;

/// Which instant of its day a date without time means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DayEdge {
    /// The first instant of the day in the declared zone.
    StartOfDay,
    /// The last millisecond of the day in the declared zone.
    EndOfDay,
}

/// A date field in its long form.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DateTable {
    /// Where it stands.
    pub at: Field,
    /// Which instant a date without time means; `end_of_day` for `valid_until`, else `start_of_day`, unless said.
    #[serde(default)]
    pub day: Option<DayEdge>,
    /// How it is written (`%d.%m.%Y`), where it is neither RFC 3339, an ISO date nor a number.
    #[serde(default)]
    pub format: Option<String>,
    /// Zone of this field (`Europe/Berlin`) instead of the mapping's.
    #[serde(default)]
    pub zone: Option<String>,
}

/// Where a date stands: as any field, or `{ at = …, day = "end_of_day", format = "…", zone = "…" }`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum DateField {
    /// With its own reading.
    Table(DateTable),
    /// As any field.
    Plain(Field),
}

impl<'de> Deserialize<'de> for DateField {
    /// Which form it is shows by `at`; then a mistake is told in that form's own words.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Value::deserialize(deserializer)?;
        let table = ["at", "day", "format", "zone"].iter().any(|key| written.get(key).is_some());
        if table {
            DateTable::deserialize(written).map(Self::Table).map_err(D::Error::custom)
        } else {
            Field::deserialize(written).map(Self::Plain).map_err(D::Error::custom)
        }
    }
}

impl DateField {
    /// The instant, in the zone that holds for it. `None` for absent and for a platform's "no date".
    ///
    /// # Errors
    /// Words that name field and pointer, when something else stands there.
    pub fn resolve(&self, name: &str, document: &Value, zone: Tz, edge: DayEdge) -> Result<Option<Timestamp>, String> {
        let (field, edge, format) = match self {
            Self::Plain(field) => (field, edge, None),
            Self::Table(table) => (&table.at, table.day.unwrap_or(edge), table.format.as_deref()),
        };
        let zone = self.zone().and_then(|z| z.parse().ok()).unwrap_or(zone);
        match field.resolve(name, document)? {
            None => Ok(None),
            Some(value) => read(&value, zone, edge, format)
                .ok_or_else(|| format!("field `{name}`: what stands at {} is not a date", field.places())),
        }
    }

    /// The zone it names itself.
    #[must_use]
    pub fn zone(&self) -> Option<&str> {
        match self {
            Self::Plain(_) => None,
            Self::Table(table) => table.zone.as_deref(),
        }
    }
}

/// `Some(None)` is a well-written "no date"; `None` cannot be read.
#[must_use]
pub fn read(value: &Value, zone: Tz, edge: DayEdge, format: Option<&str>) -> Option<Option<Timestamp>> {
    let instant = match value {
        Value::Number(number) => of_number(number.as_f64()?),
        Value::String(text) => of_text(text.trim(), zone, edge, format)?,
        _ => return None,
    };
    Some(instant.filter(|t| t.to_utc().year() >= 1901))
}

/// Seconds or milliseconds since 1970, told apart by size; 0 is "no date".
#[expect(clippy::cast_possible_truncation, reason = "a float cast saturates; what is out of range is no date anyway")]
fn of_number(number: f64) -> Option<Timestamp> {
    if number == 0.0 {
        return None;
    }
    let ms = if number.abs() < 1e11 { number * 1000.0 } else { number };
    Some(Timestamp(ms.round() as i64))
}

fn of_text(text: &str, zone: Tz, edge: DayEdge, format: Option<&str>) -> Option<Option<Timestamp>> {
    if let Some(format) = format {
        return of_format(text, zone, edge, format).map(Some);
    }
    if let Ok(instant) = DateTime::parse_from_rfc3339(text) {
        return Some(Some(instant.to_utc().into()));
    }
    // `+0100` without colon, as Jira and midPoint's JSON write it.
    if let Ok(instant) = DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f%z") {
        return Some(Some(instant.to_utc().into()));
    }
    if let Ok(number) = text.parse::<f64>() {
        return Some(of_number(number));
    }
    for written in ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"] {
        if let Ok(local) = NaiveDateTime::parse_from_str(text, written) {
            return Some(Some(in_zone(local, zone)));
        }
    }
    NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().map(|day| Some(edge_of(day, zone, edge)))
}

fn of_format(text: &str, zone: Tz, edge: DayEdge, format: &str) -> Option<Timestamp> {
    if let Ok(instant) = DateTime::parse_from_str(text, format) {
        return Some(instant.to_utc().into());
    }
    if let Ok(local) = NaiveDateTime::parse_from_str(text, format) {
        return Some(in_zone(local, zone));
    }
    NaiveDate::parse_from_str(text, format).ok().map(|day| edge_of(day, zone, edge))
}

/// A local time as an instant: of two the earlier; in the gap of a clock change the first instant after it.
fn in_zone(local: NaiveDateTime, zone: Tz) -> Timestamp {
    match zone.from_local_datetime(&local) {
        LocalResult::Single(instant) | LocalResult::Ambiguous(instant, _) => instant.to_utc().into(),
        LocalResult::None => {
            // No gap is longer than a day; quarter hours are the grain of all zones in use.
            let after = (1..=96).find_map(|quarters| {
                let later = local + TimeDelta::minutes(15 * quarters);
                zone.from_local_datetime(&later).earliest()
            });
            after.map_or_else(|| local.and_utc().into(), |instant| instant.to_utc().into())
        }
    }
}

fn edge_of(day: NaiveDate, zone: Tz, edge: DayEdge) -> Timestamp {
    match edge {
        DayEdge::StartOfDay => in_zone(day.and_time(NaiveTime::MIN), zone),
        DayEdge::EndOfDay => {
            let next = day.checked_add_days(Days::new(1)).unwrap_or(day);
            in_zone(next.and_time(NaiveTime::MIN), zone).plus_ms(-1)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn iso(value: Value, zone: Tz, edge: DayEdge) -> Option<String> {
        read(&value, zone, edge, None).unwrap().map(Timestamp::iso)
    }

    #[test]
    fn instants_in_every_writing() {
        let expected = Some("2026-03-01T10:00:00.000Z".to_owned());
        for value in [
            json!("2026-03-01T10:00:00Z"),
            json!("2026-03-01T11:00:00.000+01:00"),
            json!("2026-03-01T11:00:00.000+0100"),
            json!("2026-03-01 11:00:00"),
            json!("2026-03-01T11:00"),
            json!(1_772_359_200),
            json!(1_772_359_200_000_i64),
            json!("1772359200"),
        ] {
            assert_eq!(iso(value.clone(), Tz::Europe__Berlin, DayEdge::StartOfDay), expected, "{value}");
        }
    }

    #[test]
    fn days_begin_and_end_in_the_declared_zone_also_when_clocks_change() {
        let berlin = Tz::Europe__Berlin;
        assert_eq!(iso(json!("2026-03-29"), berlin, DayEdge::StartOfDay).unwrap(), "2026-03-28T23:00:00.000Z");
        assert_eq!(iso(json!("2026-03-29"), berlin, DayEdge::EndOfDay).unwrap(), "2026-03-29T21:59:59.999Z");
        // 02:30 does not exist on that day; the first instant after the gap is meant.
        assert_eq!(iso(json!("2026-03-29 02:30"), berlin, DayEdge::StartOfDay).unwrap(), "2026-03-29T01:00:00.000Z");
        // In Santiago the change is at midnight: the day starts at 01:00.
        assert_eq!(iso(json!("2026-09-06"), Tz::America__Santiago, DayEdge::StartOfDay).unwrap(), "2026-09-06T04:00:00.000Z");
    }

    #[test]
    fn a_mistake_in_a_date_is_told_in_words() {
        #[derive(Debug, Deserialize)]
        struct Holder {
            #[expect(dead_code, reason = "only whether it can be read matters")]
            at: DateField,
        }
        let refused = |text: &str| toml::from_str::<Holder>(&format!("at = {text}")).unwrap_err().message().to_owned();
        assert!(refused("{ at = \"/from\", dya = \"end_of_day\" }").contains("unknown field `dya`"));
        assert!(refused("{ at = \"/from\", day = \"noon\" }").contains("unknown variant `noon`"));
        assert!(refused("\"from\"").contains("start with `/`"));
        assert!(toml::from_str::<Holder>("at = { pointer = \"/a\", default = \"2026-01-01\" }").is_ok());
    }

    #[test]
    fn no_date_is_none_and_nonsense_is_refused() {
        for value in [json!("1899-12-30T00:00:00Z"), json!("1899-12-30"), json!("0001-01-01T00:00:00Z"), json!(0)] {
            assert_eq!(iso(value, Tz::UTC, DayEdge::EndOfDay), None);
        }
        assert!(read(&json!("soon"), Tz::UTC, DayEdge::EndOfDay, None).is_none());
        assert!(read(&json!({}), Tz::UTC, DayEdge::EndOfDay, None).is_none());
        let german = read(&json!("24.12.2026"), Tz::UTC, DayEdge::StartOfDay, Some("%d.%m.%Y")).unwrap().unwrap();
        assert_eq!(german.iso(), "2026-12-24T00:00:00.000Z");
    }
}
