//! What a report is asked for: a period, what it narrows to, and which of the lists behind its figures.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::catalog::ClockKind;
use crate::kpi::case::{Case, Trouble, Verdict, sign};
use crate::kpi::days::{DAY_MS, day};
use crate::kpi::words::day_words;
use crate::ledger::rollups::CellFilter;
use crate::ledger::views::Scope;
use crate::model::{Outcome, Timestamp};

/// Which report.
#[derive(Debug, Default, Clone, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Asked {
    /// Closed in the last days, today included (days of UTC): 1 to 366, else 30.
    #[param(minimum = 1, maximum = 366)]
    pub days: Option<i64>,
    /// Instead of the last days: from this day of UTC on, like `2026-11-01`.
    #[serde(default, deserialize_with = "a_day")]
    #[param(value_type = Option<String>)]
    pub from: Option<NaiveDate>,
    /// Up to and with this day of UTC; left out with `from` given: today. At most 366 days.
    #[serde(default, deserialize_with = "a_day")]
    #[param(value_type = Option<String>)]
    pub to: Option<NaiveDate>,
    /// Only of this application, by id.
    pub application: Option<String>,
    /// Only of this admin group.
    pub admin_group: Option<String>,
    /// Only of these admin groups: scheduled reports name several.
    #[serde(skip)]
    #[param(ignore)]
    pub admin_groups: Vec<String>,
    /// Only of this operation, like `grant`.
    pub operation: Option<String>,
    /// Only of this desk.
    pub desk: Option<String>,
    /// The clock that a page shows, `elapsed` or `business`; answers as data hold both.
    #[param(value_type = Option<String>)]
    pub clock: Option<ClockKind>,
    /// Which of the assignments behind the figures, where those are asked for; all closed ones unless said.
    #[param(inline)]
    pub which: Option<Which>,
}

/// A period of whole days in words.
#[must_use]
pub fn period_words(from: Timestamp, to: Timestamp) -> String {
    let days = to.ms_since(from) / DAY_MS;
    format!("{} to {}, {days} {}", day_words(from), day_words(to.plus_ms(-1)), if days == 1 { "day" } else { "days" })
}

/// A day like `2026-11-01`; an empty field of a form is none.
///
/// # Errors
/// Words that say how a day is written.
pub fn a_day<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<NaiveDate>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?.unwrap_or_default();
    if text.trim().is_empty() {
        return Ok(None);
    }
    text.trim().parse().map(Some).map_err(|_| serde::de::Error::custom("a day is written like 2026-11-01"))
}

impl Asked {
    /// The period, days, where it is one of the last days.
    #[must_use]
    pub fn days(&self) -> i64 {
        self.days.unwrap_or(30).clamp(1, 366)
    }

    /// The period: from the start of its first day up to the end of today.
    #[must_use]
    pub fn period(&self, now: Timestamp) -> (Timestamp, Timestamp) {
        let tomorrow = day(now) + DAY_MS;
        let start = |date: NaiveDate| date.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_millis();
        let end = self.to.map_or(tomorrow, |last| (start(last) + DAY_MS).min(tomorrow));
        let from = self.from.map_or(end - self.days() * DAY_MS, start);
        (Timestamp(from.clamp(end - 366 * DAY_MS, end - DAY_MS)), Timestamp(end))
    }

    /// The period in words.
    #[must_use]
    pub fn words(&self, now: Timestamp) -> String {
        let (from, to) = self.period(now);
        period_words(from, to)
    }

    /// What it narrows to, within the reader's scope.
    #[must_use]
    pub fn filter(&self, scope: &Scope) -> CellFilter {
        let given = |v: &Option<String>| v.clone().filter(|t| !t.trim().is_empty());
        CellFilter {
            scope: scope.clone(),
            application: given(&self.application),
            admin_group: given(&self.admin_group),
            operation: given(&self.operation),
            desk: given(&self.desk),
            dim: None,
        }
    }
}

/// Assignments behind a figure.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Which {
    /// Closed in the period.
    #[default]
    Closed,
    /// Closed in the period, later than their target.
    Late,
    /// Open now, past their target.
    Overdue,
    /// Open now.
    Open,
    /// Came in the period.
    Arrived,
    /// Closed in the period, opened again before.
    Reopened,
    /// Closed in the period as cancelled.
    Cancelled,
    /// Closed in the period, taken back by the platform.
    Withdrawn,
    /// Closed in the period, given to another group on the way.
    Rerouted,
    /// Closed in the period, not right the first time.
    NotRight,
    /// Closed in the period, before the day it was ordered for.
    Premature,
    /// Closed in the period, after the day it was ordered for.
    DateMissed,
    /// Open now, past the day it was ordered for.
    DateOverdue,
    /// Closed in the period, worked on before the last approval.
    Unapproved,
    /// Closed in the period, paused on the way.
    Paused,
    /// Closed in the period, with trouble between the systems.
    Troubled,
    /// Not closed now, with trouble between the systems.
    TroubledOpen,
    /// Closed in the period, and the application itself shows it.
    Proven,
    /// Open now, although the access was to end.
    Expired,
    /// The order that was last when a person left in the period.
    Leavers,
}

impl Which {
    /// Every list.
    pub const ALL: [Self; 20] = [
        Self::Closed,
        Self::Late,
        Self::Overdue,
        Self::Open,
        Self::Arrived,
        Self::Reopened,
        Self::Cancelled,
        Self::Withdrawn,
        Self::Rerouted,
        Self::NotRight,
        Self::Premature,
        Self::DateMissed,
        Self::DateOverdue,
        Self::Unapproved,
        Self::Paused,
        Self::Troubled,
        Self::TroubledOpen,
        Self::Proven,
        Self::Expired,
        Self::Leavers,
    ];

    /// The word in an address.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Late => "late",
            Self::Overdue => "overdue",
            Self::Open => "open",
            Self::Arrived => "arrived",
            Self::Reopened => "reopened",
            Self::Cancelled => "cancelled",
            Self::Withdrawn => "withdrawn",
            Self::Rerouted => "rerouted",
            Self::NotRight => "not_right",
            Self::Premature => "premature",
            Self::DateMissed => "date_missed",
            Self::DateOverdue => "date_overdue",
            Self::Unapproved => "unapproved",
            Self::Paused => "paused",
            Self::Troubled => "troubled",
            Self::TroubledOpen => "troubled_open",
            Self::Proven => "proven",
            Self::Expired => "expired",
            Self::Leavers => "leavers",
        }
    }

    /// For people.
    #[must_use]
    pub fn human(self) -> &'static str {
        match self {
            Self::Closed => "Closed in the period",
            Self::Late => "Closed too late",
            Self::Overdue => "Open and overdue",
            Self::Open => "Open now",
            Self::Arrived => "Came in the period",
            Self::Reopened => "Opened again",
            Self::Cancelled => "Cancelled",
            Self::Withdrawn => "Taken back",
            Self::Rerouted => "Given to another group",
            Self::NotRight => "Not right the first time",
            Self::Premature => "Done before their day",
            Self::DateMissed => "Done after their day",
            Self::DateOverdue => "Open past their day",
            Self::Unapproved => "Worked on before approval",
            Self::Paused => "Paused on the way",
            Self::Troubled => "Closed with trouble between the systems",
            Self::TroubledOpen => "Open with trouble between the systems",
            Self::Proven => "Proven by the application",
            Self::Expired => "Open although access was to end",
            Self::Leavers => "Last order of persons who left",
        }
    }

    /// Whether it lists what is open, longest waiting first.
    #[must_use]
    pub fn is_open(self) -> bool {
        matches!(self, Self::Overdue | Self::Open | Self::TroubledOpen | Self::DateOverdue | Self::Expired)
    }

    pub(super) fn takes(self, case: &Case, now: Timestamp) -> bool {
        match self {
            Self::Closed
            | Self::Open
            | Self::Arrived
            | Self::Leavers
            | Self::TroubledOpen
            | Self::DateOverdue
            | Self::Expired => true,
            Self::Late => case.verdict(now) == Some(Verdict::Late),
            Self::Overdue => case.verdict(now) == Some(Verdict::Overdue),
            Self::Reopened => case.is(sign::REOPENED),
            Self::Cancelled => case.outcome == Some(Outcome::Cancelled),
            Self::Withdrawn => case.is(sign::WITHDRAWN),
            Self::Rerouted => case.is(sign::REROUTED),
            Self::NotRight => case.is(sign::MEANT) && !case.is(sign::RIGHT),
            Self::Premature => case.is(sign::PREMATURE),
            Self::DateMissed => case.is(sign::DATED) && case.is(sign::MEANT) && !case.is(sign::DATE_KEPT),
            Self::Unapproved => case.is(sign::UNAPPROVED),
            Self::Paused => case.is(sign::PAUSED),
            Self::Proven => case.proven.is_some(),
            Self::Troubled => case.trouble != Trouble::default(),
        }
    }
}
