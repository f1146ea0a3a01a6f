//! `calendars/NAME.toml`: when an admin group works. The arithmetic over it is `plan::business`.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{Datelike, NaiveDate, NaiveDateTime, Weekday};
use chrono_tz::Tz;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::load::digest;
use super::{ConfigFile, Problem, ics};

const DAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
const MINUTES_OF_DAY: u16 = 24 * 60;

/// A calendar, as it is written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CalendarFile {
    /// Zone of the hours and dates, by its IANA name (`Europe/Berlin`).
    pub zone: String,
    /// Days without work: dates (`"2026-05-02"`), or days of every year (`"12-25"`).
    pub holidays: Vec<String>,
    /// iCalendar files beside this one whose events are times without work (`"bavaria.ics"`).
    pub ics: Vec<String>,
    /// Working hours per weekday; left out: every hour of every day that is no holiday.
    pub hours: Option<Hours>,
}

/// Working hours per weekday, each a list like `["08:00-12:00", "13:00-17:00"]`; a day left out is closed. A shift that
/// ends no later than it begins (`"22:00-06:00"`) ends on the next day.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Hours {
    /// On Mondays.
    pub monday: Vec<String>,
    /// On Tuesdays.
    pub tuesday: Vec<String>,
    /// On Wednesdays.
    pub wednesday: Vec<String>,
    /// On Thursdays.
    pub thursday: Vec<String>,
    /// On Fridays.
    pub friday: Vec<String>,
    /// On Saturdays.
    pub saturday: Vec<String>,
    /// On Sundays.
    pub sunday: Vec<String>,
}

impl Hours {
    fn by_day(&self) -> [&Vec<String>; 7] {
        [&self.monday, &self.tuesday, &self.wednesday, &self.thursday, &self.friday, &self.saturday, &self.sunday]
    }
}

/// A checked calendar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calendar {
    /// The file's name without ending.
    pub name: String,
    /// First 12 hex characters of the digest over what it means: stamped on every figure made with it.
    pub version: String,
    /// Zone of everything below.
    pub zone: Tz,
    /// Per weekday from Monday: minutes after its midnight from and to; `to` may lie on the next day.
    shifts: [Vec<(u16, u16)>; 7],
    closed: BTreeSet<NaiveDate>,
    /// Month and day of every year.
    yearly: BTreeSet<(u32, u32)>,
    /// Closed within a day, or over several: local times from and to.
    closures: BTreeSet<(NaiveDateTime, NaiveDateTime)>,
}

/// A calendar without its name.
#[derive(Serialize, Deserialize)]
struct Meaning {
    zone: String,
    shifts: [Vec<(u16, u16)>; 7],
    closed: BTreeSet<NaiveDate>,
    yearly: BTreeSet<(u32, u32)>,
    closures: BTreeSet<(NaiveDateTime, NaiveDateTime)>,
}

impl Calendar {
    /// Shifts that begin on this weekday: minutes after its midnight, from and to.
    #[must_use]
    pub fn shifts(&self, day: Weekday) -> &[(u16, u16)] {
        &self.shifts[day.num_days_from_monday() as usize]
    }

    /// Whether nobody works on this date, from midnight to midnight.
    #[must_use]
    pub fn is_holiday(&self, date: NaiveDate) -> bool {
        self.closed.contains(&date) || self.yearly.contains(&(date.month(), date.day()))
    }

    /// Further times without work, local.
    pub fn closures(&self) -> impl Iterator<Item = (NaiveDateTime, NaiveDateTime)> {
        self.closures.iter().copied()
    }

    /// From its file and the iCalendar files beside it, by their names.
    ///
    /// # Errors
    /// Every problem, each with file and line.
    pub fn of(file: &ConfigFile, written: &CalendarFile, beside: &BTreeMap<String, ConfigFile>) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let zone = written.zone.parse::<Tz>().unwrap_or_else(|_| {
            let message = if written.zone.is_empty() {
                "this calendar has no time zone".to_owned()
            } else {
                format!("`{}` is no time zone", written.zone)
            };
            let help = "give its IANA name, as in zone = \"Europe/Berlin\"";
            problems.push(file.problem(&["zone"], message, Some(help.to_owned())));
            Tz::UTC
        });
        let mut calendar = Self {
            name: file.stem(),
            version: String::new(),
            zone,
            shifts: std::array::from_fn(|_| vec![(0, MINUTES_OF_DAY)]),
            closed: BTreeSet::new(),
            yearly: BTreeSet::new(),
            closures: BTreeSet::new(),
        };
        if let Some(hours) = &written.hours {
            calendar.take_hours(file, hours, &mut problems);
        }
        calendar.take_holidays(file, &written.holidays, &mut problems);
        for (n, name) in written.ics.iter().enumerate() {
            match beside.get(name) {
                Some(ics) => calendar.take_events(ics, &mut problems),
                None => {
                    let help = format!("put it beside this file as calendars/{name}");
                    let message = format!("there is no file `{name}`");
                    problems.push(file.problem(&["ics", &n.to_string()], message, Some(help)));
                }
            }
        }
        calendar.version = calendar.digest();
        if problems.is_empty() { Ok(calendar) } else { Err(problems) }
    }

    fn take_hours(&mut self, file: &ConfigFile, hours: &Hours, problems: &mut Vec<Problem>) {
        for (n, texts) in hours.by_day().into_iter().enumerate() {
            self.shifts[n].clear();
            for (i, text) in texts.iter().enumerate() {
                match shift(text) {
                    Some(shift) => self.shifts[n].push(shift),
                    None => {
                        let help = "write it like \"08:00-17:00\", with two digits; 24:00 is the end of the day".to_owned();
                        let message = format!("`{text}` is no working time");
                        problems.push(file.problem(&["hours", DAYS[n], &i.to_string()], message, Some(help)));
                    }
                }
            }
            self.shifts[n].sort_unstable();
            if let Some(both) = self.shifts[n].windows(2).find(|both| both[1].0 < both[0].1) {
                let told = |(from, _): (u16, u16)| format!("{:02}:{:02}", from / 60, from % 60);
                let message = format!("on {} the shifts from {} and {} overlap", DAYS[n], told(both[0]), told(both[1]));
                let help = "an hour is worked once: let one end where the next begins".to_owned();
                problems.push(file.problem(&["hours", DAYS[n]], message, Some(help)));
            }
        }
        if hours.by_day().iter().all(|day| day.is_empty()) {
            let help = "name the hours of at least one day, or leave [hours] out: then every hour counts".to_owned();
            problems.push(file.problem(&["hours"], "nobody ever works by this calendar", Some(help)));
        }
    }

    fn take_holidays(&mut self, file: &ConfigFile, holidays: &[String], problems: &mut Vec<Problem>) {
        for (n, text) in holidays.iter().enumerate() {
            // A leap year, so that 02-29 is a day.
            let yearly = NaiveDate::parse_from_str(&format!("2000-{text}"), "%Y-%m-%d").ok().filter(|_| text.len() == 5);
            let once = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().filter(|_| text.len() == 10);
            match (yearly, once) {
                (Some(day), _) => drop(self.yearly.insert((day.month(), day.day()))),
                (_, Some(date)) => drop(self.closed.insert(date)),
                _ => {
                    let help = "a date like \"2026-05-02\", or a day of every year like \"12-25\"".to_owned();
                    let message = format!("`{text}` is no date");
                    problems.push(file.problem(&["holidays", &n.to_string()], message, Some(help)));
                }
            }
        }
    }

    fn take_events(&mut self, file: &ConfigFile, problems: &mut Vec<Problem>) {
        match ics::events(file.text(), self.zone) {
            Ok(events) => {
                for event in events {
                    match event {
                        ics::Event::Day(day) => drop(self.closed.insert(day)),
                        ics::Event::EveryYear(month, day) => drop(self.yearly.insert((month, day))),
                        ics::Event::Time(from, to) => drop(self.closures.insert((from, to))),
                    }
                }
            }
            Err(wrong) => problems.extend(wrong.into_iter().map(|wrong| Problem {
                file: file.path().to_owned(),
                line: wrong.line,
                message: wrong.message,
                help: Some(wrong.help.to_owned()),
            })),
        }
    }

    /// What it means, as JSON: kept with the figures that it counted for.
    #[must_use]
    pub fn content(&self) -> String {
        let meaning = Meaning {
            zone: self.zone.name().to_owned(),
            shifts: self.shifts.clone(),
            closed: self.closed.clone(),
            yearly: self.yearly.clone(),
            closures: self.closures.clone(),
        };
        // dates and numbers cannot fail to be written
        serde_json::to_string(&meaning).unwrap_or_default()
    }

    /// From a kept [`Self::content`]; `None` when that is none.
    #[must_use]
    pub fn from_content(name: &str, version: &str, content: &str) -> Option<Self> {
        let Meaning { zone, shifts, closed, yearly, closures } = serde_json::from_str(content).ok()?;
        let zone = zone.parse().ok()?;
        Some(Self { name: name.to_owned(), version: version.to_owned(), zone, shifts, closed, yearly, closures })
    }

    /// Over the meaning, not the text: a comment changes no figure.
    fn digest(&self) -> String {
        let hours = format!("{:?}", self.shifts);
        let days = format!("{:?} {:?} {:?}", self.closed, self.yearly, self.closures);
        digest(&[self.zone.name(), &hours, &days])
    }
}

/// `08:00-17:00` as minutes of the day; over midnight, the end counts on.
fn shift(text: &str) -> Option<(u16, u16)> {
    let minutes = |text: &str| {
        let (hour, minute) = text.trim().split_once(':')?;
        let number = |t: &str| t.parse::<u16>().ok().filter(|_| t.len() == 2 && t.bytes().all(|b| b.is_ascii_digit()));
        let (hour, minute) = (number(hour)?, number(minute)?);
        (minute < 60 && hour * 60 + minute <= MINUTES_OF_DAY).then_some(hour * 60 + minute)
    };
    let (from, to) = text.split_once('-')?;
    let (from, to) = (minutes(from)?, minutes(to)?);
    (from < MINUTES_OF_DAY).then_some(if to <= from { (from, to + MINUTES_OF_DAY) } else { (from, to) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn read(text: &str) -> Result<Calendar, Vec<String>> {
        let file = ConfigFile::from_text(Path::new("calendars/x.toml"), text);
        let told = |problems: Vec<Problem>| problems.iter().map(ToString::to_string).collect::<Vec<_>>();
        let written = file.parse_all::<CalendarFile>().map_err(told)?;
        Calendar::of(&file, &written, &BTreeMap::new()).map_err(told)
    }

    #[test]
    fn every_mistake_names_its_line_and_the_mend() {
        let wrong = read(
            "zone = \"Europe/Berlni\"\nholidays = [\n  \"12-25\",\n  \"25.12.2026\",\n]\nics = [\"none.ics\"]\n\n[hours]\nmonday = [\"8-17\"]\ntuesday = [\"08:00-12:00\", \"11:00-13:00\"]\n",
        );
        insta::assert_snapshot!("mistakes", wrong.unwrap_err().join("\n"));
        assert!(read("zone = \"UTC\"\n[hours]\nmonday = []\n").unwrap_err()[0].contains("nobody ever works"));
        assert!(read("zone = \"UTC\"\nhours = { munday = [] }\n").unwrap_err()[0].contains("did you mean `monday`"));
        assert!(read("").unwrap_err()[0].contains("no time zone"));
    }

    #[test]
    fn the_version_is_that_of_the_meaning() {
        let plain = read("zone = \"UTC\"\nholidays = [\"12-25\", \"01-01\"]\n").unwrap();
        assert_eq!(plain.version, read("# a word\nholidays = [\"01-01\", \"12-25\"]\nzone = \"UTC\"\n").unwrap().version);
        assert_ne!(plain.version, read("zone = \"UTC\"\nholidays = [\"01-01\"]\n").unwrap().version);
        assert_ne!(plain.version, read("zone = \"Asia/Kolkata\"\nholidays = [\"01-01\"]\n").unwrap().version);
        let kept = Calendar::from_content(&plain.name, &plain.version, &plain.content()).unwrap();
        assert_eq!((kept.digest(), &kept), (plain.version.clone(), &plain), "it means what it meant");
        assert!(Calendar::from_content("x", "v", "{}").is_none());
        assert_eq!(shift("22:00-06:00"), Some((1320, 1800)));
        assert_eq!(shift("00:00-24:00"), Some((0, 1440)));
        assert_eq!((shift("24:00-01:00"), shift("08:60-09:00"), shift("+8:00-09:00")), (None, None, None));
    }
}
