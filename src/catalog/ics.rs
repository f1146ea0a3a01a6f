//! Holidays from iCalendar files (RFC 5545): all-day and timed events, once or every year. Whatever would change a
//! figure and is not understood is refused, never skipped.

use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveDateTime};
use chrono_tz::Tz;

/// A time without work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// A whole day.
    Day(NaiveDate),
    /// Month and day of every year.
    EveryYear(u32, u32),
    /// From and to, in the calendar's zone.
    Time(NaiveDateTime, NaiveDateTime),
}

/// What cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) line: usize,
    pub(super) message: String,
    pub(super) help: &'static str,
}

const DATES: &str = "a date like 20261225, or a time like 20261224T120000";
const EXPAND: &str = "export the calendar with single events; of repetitions, only RRULE:FREQ=YEARLY of one day is read";
/// Longest event, days: a longer one is a mistake.
const LONGEST: i64 = 366;

/// One property: name, parameters and value, with the line it begins in.
struct Property {
    line: usize,
    name: String,
    parameters: Vec<(String, String)>,
    value: String,
}

#[derive(Default)]
struct Open {
    line: usize,
    start: Option<Property>,
    end: Option<Property>,
    rule: Option<Property>,
    cancelled: bool,
}

/// Every event that takes time away; cancelled ones do not.
pub(super) fn events(text: &str, zone: Tz) -> Result<Vec<Event>, Vec<Wrong>> {
    let (mut found, mut wrong) = (Vec::new(), Vec::new());
    let mut open: Option<Open> = None;
    // Alarms and the like inside an event have dates of their own.
    let mut inside = 0;
    let mut began = false;
    for property in properties(text) {
        let is_event = property.value.eq_ignore_ascii_case("VEVENT");
        match (property.name.as_str(), &mut open) {
            ("BEGIN", None) if is_event => open = Some(Open { line: property.line, ..Open::default() }),
            ("BEGIN", None) => began |= property.value.eq_ignore_ascii_case("VCALENDAR"),
            ("BEGIN", Some(_)) => inside += 1,
            ("END", Some(_)) if inside > 0 => inside -= 1,
            ("END", Some(_)) => {
                if let Some(event) = open.take().filter(|e| !e.cancelled) {
                    match meant(&event, zone) {
                        Ok(events) => found.extend(events),
                        Err(problem) => wrong.push(problem),
                    }
                }
            }
            (_, Some(event)) if inside == 0 => {
                if let Err(problem) = event.take(property) {
                    wrong.push(problem);
                }
            }
            _ => {}
        }
    }
    if !began || open.is_some() {
        let message = if began { "the last event has no end" } else { "this is no iCalendar file" };
        let line = open.map_or(1, |e| e.line);
        wrong.push(Wrong { line, message: message.to_owned(), help: "export it again as .ics" });
    }
    if wrong.is_empty() { Ok(found) } else { Err(wrong) }
}

impl Open {
    fn take(&mut self, property: Property) -> Result<(), Wrong> {
        match property.name.as_str() {
            "DTSTART" => self.start = Some(property),
            "DTEND" => self.end = Some(property),
            "RRULE" => self.rule = Some(property),
            "STATUS" => self.cancelled = property.value.eq_ignore_ascii_case("CANCELLED"),
            "RDATE" | "EXDATE" | "EXRULE" | "RECURRENCE-ID" | "DURATION" => {
                return Err(Wrong { line: property.line, message: format!("{} is not read", property.name), help: EXPAND });
            }
            _ => {}
        }
        Ok(())
    }
}

fn meant(event: &Open, zone: Tz) -> Result<Vec<Event>, Wrong> {
    let Some(start) = &event.start else {
        return Err(Wrong { line: event.line, message: "an event without DTSTART".to_owned(), help: DATES });
    };
    let from = moment(start, zone)?;
    let to = event.end.as_ref().map(|end| moment(end, zone)).transpose()?;
    let too_long = |from: NaiveDateTime, to: NaiveDateTime| {
        let line = event.end.as_ref().map_or(start.line, |e| e.line);
        let message = "the event ends before it begins, or more than a year later".to_owned();
        let fits = from <= to && (to - from).num_days() <= LONGEST;
        if fits { Ok(()) } else { Err(Wrong { line, message, help: "give it an end after its start" }) }
    };
    match (from, to, &event.rule) {
        (Moment::Day(day), None, Some(rule)) => every_year(day, day.succ_opt(), rule),
        (Moment::Day(day), Some(Moment::Day(end)), Some(rule)) => every_year(day, Some(end), rule),
        (_, _, Some(rule)) => Err(Wrong { line: rule.line, message: "a timed event that repeats".to_owned(), help: EXPAND }),
        (Moment::Day(day), None, None) => Ok(vec![Event::Day(day)]),
        (Moment::Day(day), Some(Moment::Day(end)), None) => {
            too_long(day.into(), end.into())?;
            // DTEND is the first day after; some programs write the day itself.
            let end = if end == day { day + Days::new(1) } else { end };
            Ok(day.iter_days().take_while(|d| *d < end).map(Event::Day).collect())
        }
        (Moment::Time(from), Some(Moment::Time(to)), None) => {
            too_long(from, to)?;
            Ok(if from < to { vec![Event::Time(from, to)] } else { Vec::new() })
        }
        // An instant takes no time away.
        (Moment::Time(_), None, None) => Ok(Vec::new()),
        (_, Some(_), None) => {
            let message = "a date and a time cannot bound one event".to_owned();
            Err(Wrong { line: start.line, message, help: "write both DTSTART and DTEND as dates, or both as times" })
        }
    }
}

fn every_year(day: NaiveDate, end: Option<NaiveDate>, rule: &Property) -> Result<Vec<Event>, Wrong> {
    let own_day = [format!("BYMONTH={}", day.month()), format!("BYMONTHDAY={}", day.day())];
    let plain = rule.value.to_uppercase().split(';').all(|part| {
        matches!(part, "FREQ=YEARLY" | "INTERVAL=1") || part.starts_with("WKST=") || own_day.iter().any(|own| own == part)
    });
    if plain && rule.value.to_uppercase().contains("FREQ=YEARLY") && end.is_some_and(|e| e <= day + Days::new(1)) {
        return Ok(vec![Event::EveryYear(day.month(), day.day())]);
    }
    Err(Wrong { line: rule.line, message: format!("the repetition `{}` is not read", rule.value), help: EXPAND })
}

enum Moment {
    Day(NaiveDate),
    Time(NaiveDateTime),
}

fn moment(property: &Property, zone: Tz) -> Result<Moment, Wrong> {
    let value = property.value.trim();
    let wrong = |message: String, help| Wrong { line: property.line, message, help };
    if value.len() == 8 {
        let day = NaiveDate::parse_from_str(value, "%Y%m%d");
        return day.map(Moment::Day).map_err(|_| wrong(format!("`{value}` is no date"), DATES));
    }
    let (local, utc) = value.strip_suffix(['Z', 'z']).map_or((value, false), |local| (local, true));
    let local =
        NaiveDateTime::parse_from_str(local, "%Y%m%dT%H%M%S").map_err(|_| wrong(format!("`{value}` is no time"), DATES))?;
    if utc {
        return Ok(Moment::Time(local.and_utc().with_timezone(&zone).naive_local()));
    }
    let Some((_, name)) = property.parameters.iter().find(|(name, _)| name == "TZID") else {
        return Ok(Moment::Time(local));
    };
    let own: Tz = name.parse().map_err(|_| {
        let help = "zones are read by their IANA names, as in TZID=Europe/Berlin; or write the time in UTC, with a Z";
        wrong(format!("`{name}` is no time zone"), help)
    })?;
    if own == zone {
        return Ok(Moment::Time(local));
    }
    let there: Option<DateTime<Tz>> = local.and_local_timezone(own).earliest();
    there
        .map(|t| Moment::Time(t.with_timezone(&zone).naive_local()))
        .ok_or_else(|| wrong(format!("`{value}` does not exist in {name}: clocks leap over it"), DATES))
}

/// Unfolds continued lines and takes them apart; what is no property is no line of this format and says nothing.
fn properties(text: &str) -> Vec<Property> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    for (n, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        match (line.strip_prefix([' ', '\t']), lines.last_mut()) {
            (Some(more), Some((_, last))) => last.push_str(more),
            _ => lines.push((n + 1, line.to_owned())),
        }
    }
    lines.into_iter().filter_map(|(line, text)| property(line, &text)).collect()
}

/// `NAME;PARAMETER=value;OTHER="quoted: value":value`.
fn property(line: usize, text: &str) -> Option<Property> {
    let mut quoted = false;
    let colon = text.char_indices().find_map(|(i, c)| {
        quoted ^= c == '"';
        (c == ':' && !quoted).then_some(i)
    })?;
    let (head, value) = (&text[..colon], text[colon + 1..].to_owned());
    let mut parts = head.split(';');
    let name = parts.next()?.trim().to_uppercase();
    let parameter = |part: &str| {
        let (name, value) = part.split_once('=')?;
        Some((name.to_uppercase(), value.trim_matches('"').to_owned()))
    };
    Some(Property { line, name, parameters: parts.filter_map(parameter).collect(), value })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &str) -> Result<Vec<Event>, Vec<Wrong>> {
        let text = format!("BEGIN:VCALENDAR\r\nVERSION:2.0\r\n{}\r\nEND:VCALENDAR\r\n", lines.replace('\n', "\r\n"));
        events(&text, chrono_tz::Europe::Berlin)
    }

    fn event(lines: &str) -> Result<Vec<Event>, Vec<Wrong>> {
        read(&format!("BEGIN:VEVENT\n{lines}\nEND:VEVENT"))
    }

    fn day(y: i32, m: u32, d: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(y, m, d).unwrap()
    }

    fn at(y: i32, m: u32, d: u32, hour: u32) -> NaiveDateTime {
        day(y, m, d).and_hms_opt(hour, 0, 0).unwrap()
    }

    #[test]
    fn all_day_and_timed_events_are_read() {
        assert_eq!(event("DTSTART;VALUE=DATE:20260501"), Ok(vec![Event::Day(day(2026, 5, 1))]));
        let two = event("DTSTART;VALUE=DATE:20261224\nDTEND;VALUE=DATE:20261226\nSUMMARY:a long\n  line:with a colon");
        assert_eq!(two, Ok(vec![Event::Day(day(2026, 12, 24)), Event::Day(day(2026, 12, 25))]));
        assert_eq!(event("DTSTART;VALUE=DATE:2026\n 0501"), Ok(vec![Event::Day(day(2026, 5, 1))]), "folded");
        let utc =
            event("DTSTART:20260701T100000Z\nDTEND:20260701T120000Z\nBEGIN:VALARM\nTRIGGER:-PT1H\nDURATION:PT1H\nEND:VALARM");
        assert_eq!(utc, Ok(vec![Event::Time(at(2026, 7, 1, 12), at(2026, 7, 1, 14))]));
        let zoned = "DTSTART;TZID=\"America/New_York\":20260701T100000\nDTEND;TZID=America/New_York:20260701T110000";
        assert_eq!(event(zoned), Ok(vec![Event::Time(at(2026, 7, 1, 16), at(2026, 7, 1, 17))]));
        assert_eq!(event("DTSTART;VALUE=DATE:20001225\nRRULE:FREQ=YEARLY;BYMONTH=12"), Ok(vec![Event::EveryYear(12, 25)]));
        assert_eq!(event("DTSTART;VALUE=DATE:20260501\nSTATUS:CANCELLED"), Ok(vec![]));
        assert_eq!(
            read("BEGIN:VTIMEZONE\nBEGIN:STANDARD\nDTSTART:19701025T030000\nRRULE:FREQ=YEARLY\nEND:STANDARD\nEND:VTIMEZONE"),
            Ok(vec![])
        );
    }

    #[test]
    fn what_is_not_understood_is_refused_with_its_line() {
        for (lines, line) in [
            ("DTSTART;VALUE=DATE:20260501\nRRULE:FREQ=WEEKLY", 5),
            ("DTSTART;VALUE=DATE:20260501\nRRULE:FREQ=YEARLY;COUNT=3", 5),
            ("DTSTART:20260501T080000\nDTEND:20260501T090000\nRRULE:FREQ=YEARLY", 6),
            ("DTSTART;VALUE=DATE:20260501\nEXDATE:20270501", 5),
            ("DTSTART;VALUE=DATE:20260532", 4),
            ("DTSTART;TZID=W. Europe Standard Time:20260501T080000\nDTEND:20260501T090000", 4),
            ("DTSTART:20260501T080000\nDTEND:20260501T070000", 5),
            ("DTSTART;VALUE=DATE:20260501\nDTEND:20260501T070000", 4),
            ("SUMMARY:no date", 3),
        ] {
            assert_eq!(event(lines).unwrap_err()[0].line, line, "{lines}");
        }
        assert!(events("<html>", Tz::UTC).is_err());
        assert!(events("BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART:20260501", Tz::UTC).is_err());
    }
}
