//! `[[reports]]`: figures sent by a schedule.

use chrono::{Datelike as _, Days, Months, NaiveDate};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::file::{nearest, nearest_zone};
use super::schedule::Schedule;
use super::secret::SecretRef;
use super::{Catalog, ConfigFile, MailSecurity, MailSettings, Problem};
use crate::model::Timestamp;

/// A report that is sent by a schedule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScheduledReport {
    /// Its name: a-z, 0-9 and `-`. Under a new name it is another report.
    pub name: String,
    /// When it is sent: cron fields on the clocks of `zone`.
    pub schedule: Schedule,
    /// Time zone of the schedule, an IANA name; left out: UTC.
    #[serde(default)]
    pub zone: Option<String>,
    /// Which days it is about, days of UTC.
    #[serde(default)]
    pub period: ReportPeriod,
    /// Only these applications, by id; left out: all.
    #[serde(default)]
    pub applications: Vec<String>,
    /// Only these admin groups; left out: all.
    #[serde(default)]
    pub admin_groups: Vec<String>,
    /// What is in it.
    #[serde(default = "contents")]
    pub contents: Vec<Content>,
    /// Who gets it by e-mail. All get it or none.
    #[serde(default)]
    pub to: Vec<String>,
    /// Where it is posted.
    #[serde(default)]
    pub webhook: Option<ReportHook>,
}

fn contents() -> Vec<Content> {
    vec![Content::Figures]
}

/// Which days a report is about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReportPeriod {
    /// The day before it is due.
    Yesterday,
    /// The last whole week, Monday to Sunday.
    LastWeek,
    /// The last whole month.
    #[default]
    LastMonth,
    /// The 30 days before the day it is due.
    Last30Days,
}

/// What a report holds. No person is in any of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// The figures, in the text and in the workbook.
    Figures,
    /// What was closed, order by order, in the workbook.
    Assignments,
    /// Evidence, order by order, in the workbook.
    Evidence,
}

/// Where a report is posted: signed after Standard Webhooks, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReportHook {
    /// Address.
    pub url: String,
    /// Secret to sign with: `whsec_…` for v1, `whsk_…` (Ed25519) for v1a.
    pub secret: SecretRef,
}

impl ReportPeriod {
    /// First day and last day, for a report that is due on this day.
    #[must_use]
    pub fn days(self, due: NaiveDate) -> (NaiveDate, NaiveDate) {
        let before = |n| due.checked_sub_days(Days::new(n)).unwrap_or(due);
        let first_of_month = due.with_day(1).unwrap_or(due);
        match self {
            Self::Yesterday => (before(1), before(1)),
            Self::Last30Days => (before(30), before(1)),
            Self::LastWeek => {
                let since_monday = u64::from(due.weekday().num_days_from_monday());
                (before(since_monday + 7), before(since_monday + 1))
            }
            Self::LastMonth => {
                let first = first_of_month.checked_sub_months(Months::new(1)).unwrap_or(first_of_month);
                (first, first_of_month.pred_opt().unwrap_or(first_of_month))
            }
        }
    }
}

impl ScheduledReport {
    /// Its zone.
    #[must_use]
    pub fn zone(&self) -> chrono_tz::Tz {
        self.zone.as_deref().and_then(|zone| zone.parse().ok()).unwrap_or(chrono_tz::Tz::UTC)
    }

    /// The schedule on the clocks of its zone.
    #[must_use]
    pub fn times(&self) -> Schedule {
        self.schedule.clone().in_zone(self.zone())
    }

    /// First and last day it is about, for one that is due then.
    #[must_use]
    pub fn days(&self, due: Timestamp) -> (NaiveDate, NaiveDate) {
        self.period.days(due.to_utc().with_timezone(&self.zone()).date_naive())
    }
}

/// Every problem of `[mail]` and `[[reports]]`.
pub(super) fn check(catalog: &Catalog, file: &ConfigFile, problems: &mut Vec<Problem>) {
    let mut check = Check { catalog, file, problems };
    if let Some(mail) = &catalog.main.mail {
        check.mail(mail);
    }
    let mut names: Vec<&str> = Vec::new();
    for (n, report) in catalog.main.reports.iter().enumerate() {
        check.report(&n.to_string(), report, &names);
        names.push(&report.name);
    }
}

struct Check<'a> {
    catalog: &'a Catalog,
    file: &'a ConfigFile,
    problems: &'a mut Vec<Problem>,
}

impl Check<'_> {
    fn say(&mut self, keys: &[&str], message: impl Into<String>, help: impl Into<String>) {
        self.problems.push(self.file.problem(keys, message, Some(help.into())));
    }

    fn mail(&mut self, mail: &MailSettings) {
        if mail.server.trim().is_empty()
            || mail.server.contains(['/', '@', ' '])
            || (mail.server.contains(':') && mail.server.parse::<std::net::IpAddr>().is_err())
        {
            self.say(
                &["mail", "server"],
                format!("`{}` is not the name of a server", mail.server),
                "as in \"smtp.example.org\"; the port has a key of its own",
            );
        }
        if mail.security == MailSecurity::None && !mail.is_local() {
            let help = "security = \"starttls\" or \"tls\"; \"none\" is only for a server on this machine";
            self.say(&["mail", "security"], "reports and the password would cross the network in the clear", help);
        }
        if mail.user.is_some() != mail.password.is_some() {
            let help = "give both, as in user = \"lastmile\", password = { file = \"secrets/mail\" }, or neither";
            self.say(&["mail"], "an account needs a user and a password", help);
        }
        if mail.timeout.ms() < 1000 {
            self.say(&["mail", "timeout"], "no server answers so fast", "at least \"1s\"");
        }
        if !is_mailbox(&mail.from) {
            let help = "as in \"lastmile <lastmile@example.org>\"";
            self.say(&["mail", "from"], format!("`{}` is not the address of a sender", mail.from), help);
        }
    }

    fn report(&mut self, n: &str, report: &ScheduledReport, before: &[&str]) {
        let at = |key| ["reports", n, key];
        let name = &report.name;
        let fits = !name.is_empty() && name.len() <= 40;
        if !fits || !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
            self.say(
                &at("name"),
                format!("`{name}` cannot be the name of a report"),
                "up to 40 of the characters a-z, 0-9 and `-`",
            );
        }
        if before.contains(&name.as_str()) {
            self.say(
                &at("name"),
                format!("a second report is named `{name}`"),
                "each is sent once under its name: name each once",
            );
        }
        if let Some(zone) = &report.zone
            && zone.parse::<chrono_tz::Tz>().is_err()
        {
            let help = nearest_zone(zone)
                .map_or_else(|| "an IANA name, as in \"Europe/Berlin\"".to_owned(), |best| format!("did you mean `{best}`?"));
            self.say(&at("zone"), format!("`{zone}` is not a time zone"), help);
        }
        self.receivers(n, report);
        for group in &report.admin_groups {
            let known = &self.catalog.admin_groups;
            // Groups by convention need no description: only what looks like a slip is refused.
            if let (false, Some(best)) = (known.contains_key(group), nearest(group, known.keys().map(String::as_str))) {
                let help = format!("did you mean `{best}`? else describe it in admin-groups.toml");
                self.say(&at("admin_groups"), format!("there is no admin group `{group}` in admin-groups.toml"), help);
            }
        }
        if report.contents.is_empty() {
            self.say(&at("contents"), format!("report `{name}` would hold nothing"), "contents = [\"figures\"]");
        }
    }

    fn receivers(&mut self, n: &str, report: &ScheduledReport) {
        let at = |key| ["reports", n, key];
        if report.to.is_empty() && report.webhook.is_none() {
            let help = "to = [\"managers@example.org\"], or webhook = { url = \"…\", secret = { file = \"…\" } }";
            self.say(&["reports", n], format!("nobody gets report `{}`", report.name), help);
        }
        for address in report.to.iter().filter(|address| !is_mailbox(address)) {
            self.say(&at("to"), format!("`{address}` is not an e-mail address"), "as in \"Managers <managers@example.org>\"");
        }
        if !report.to.is_empty() && self.catalog.main.mail.is_none() {
            let help = "add [mail] with server and from";
            self.say(&at("to"), "there is no mail server to send it through", help);
        }
        let Some(hook) = &report.webhook else { return };
        let url = url::Url::parse(&hook.url).ok();
        let local = url.as_ref().and_then(url::Url::host_str).is_some_and(|h| matches!(h, "127.0.0.1" | "localhost" | "[::1]"));
        match url.as_ref().map(url::Url::scheme) {
            Some("https") => {}
            Some("http") if local => {}
            _ => {
                let message = format!("`{}` is not an address to post a report to", hook.url);
                self.say(&["reports", n, "webhook", "url"], message, "write it like \"https://hooks.example.org/lastmile\"");
            }
        }
    }
}

/// `a@b`, or a name before `<a@b>`; what exactly a server takes, it says itself.
fn is_mailbox(text: &str) -> bool {
    let text = text.trim();
    let address = match text.split_once('<') {
        Some((_, rest)) => match rest.strip_suffix('>') {
            Some(address) => address,
            None => return false,
        },
        None => text,
    };
    let plain =
        |part: &str| !part.is_empty() && part.chars().all(|c| !c.is_whitespace() && !c.is_control() && !"<>,;@\"".contains(c));
    !text.contains(['\r', '\n']) && address.split_once('@').is_some_and(|(user, host)| plain(user) && plain(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_are_whole() {
        let days = |period: ReportPeriod, y, m, d| {
            let (first, last) = period.days(NaiveDate::from_ymd_opt(y, m, d).unwrap());
            format!("{first} {last}")
        };
        assert_eq!(days(ReportPeriod::Yesterday, 2026, 3, 1), "2026-02-28 2026-02-28");
        assert_eq!(days(ReportPeriod::LastMonth, 2026, 3, 31), "2026-02-01 2026-02-28");
        assert_eq!(days(ReportPeriod::LastMonth, 2026, 1, 1), "2025-12-01 2025-12-31");
        // 2026-11-25 is a Wednesday
        assert_eq!(days(ReportPeriod::LastWeek, 2026, 11, 25), "2026-11-16 2026-11-22");
        assert_eq!(days(ReportPeriod::LastWeek, 2026, 11, 23), "2026-11-16 2026-11-22");
        assert_eq!(days(ReportPeriod::Last30Days, 2026, 11, 25), "2026-10-26 2026-11-24");
    }

    #[test]
    fn a_mailbox_is_an_address_with_or_without_a_name() {
        for good in ["a@b.example", "Some Body <a@b.example>", "a+b@localhost"] {
            assert!(is_mailbox(good), "{good}");
        }
        for bad in ["", "a", "a@", "@b", "a b@c", "X <a@b", "a@b, c@d", "a@b\nBcc: c@d", "a@b@c"] {
            assert!(!is_mailbox(bad), "{bad}");
        }
    }
}
