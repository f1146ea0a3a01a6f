//! What a desk's words mean: ordered rules, the first that fits.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::desk::common::OutcomeOrAsk;
use crate::model::Outcome;
use crate::model::ticket::Category;

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StatusRule {
    /// Values that fit, by name: `status`, `resolution`, or a name of `ticket.more`. All names must fit; `"*"` is any
    /// value, `""` is none.
    pub when: BTreeMap<String, Vec<String>>,
    /// Where the ticket stands then.
    pub category: Category,
    /// With `closed`: how it ended, or `"ask"` (the default): a person says.
    #[serde(default = "ask")]
    pub outcome: OutcomeOrAsk,
}

fn ask() -> OutcomeOrAsk {
    OutcomeOrAsk(None)
}

/// Category and outcome of the first rule that fits; *unknown* without one, never done.
#[must_use]
pub fn meaning(rules: &[StatusRule], values: &BTreeMap<String, String>) -> (Category, Option<Outcome>) {
    let fits = |rule: &&StatusRule| {
        rule.when.iter().all(|(name, wanted)| match values.get(name) {
            Some(value) => wanted.iter().any(|w| w == "*" || w == value),
            None => wanted.iter().any(String::is_empty),
        })
    };
    match rules.iter().find(fits) {
        Some(rule) if rule.category == Category::Closed => (Category::Closed, rule.outcome.0),
        Some(rule) => (rule.category, None),
        None => (Category::Unknown, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(when: &[(&str, &str)], category: Category, outcome: Option<Outcome>) -> StatusRule {
        let when = when.iter().map(|(n, v)| ((*n).to_owned(), vec![(*v).to_owned()])).collect();
        StatusRule { when, category, outcome: OutcomeOrAsk(outcome) }
    }

    fn of(rules: &[StatusRule], values: &[(&str, &str)]) -> (Category, Option<Outcome>) {
        meaning(rules, &values.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect())
    }

    #[test]
    fn the_first_fit_wins_and_nothing_unknown_is_ever_done() {
        let rules = [
            rule(&[("status", "closed"), ("resolution", "wontfix")], Category::Closed, Some(Outcome::Rejected)),
            rule(&[("status", "closed"), ("resolution", "")], Category::Closed, None),
            rule(&[("status", "closed"), ("resolution", "*")], Category::Closed, Some(Outcome::Fulfilled)),
            rule(&[("status", "new")], Category::Open, None),
        ];
        assert_eq!(of(&rules, &[("status", "closed"), ("resolution", "wontfix")]), (Category::Closed, Some(Outcome::Rejected)));
        assert_eq!(of(&rules, &[("status", "closed"), ("resolution", "x")]), (Category::Closed, Some(Outcome::Fulfilled)));
        assert_eq!(of(&rules, &[("status", "closed")]), (Category::Closed, None));
        assert_eq!(of(&rules, &[("status", "done")]), (Category::Unknown, None));
        assert_eq!(of(&rules, &[]), (Category::Unknown, None));
    }
}
