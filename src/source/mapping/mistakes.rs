//! Mistakes of a mapping that show without any document.

use chrono_tz::Tz;

use super::{Mapping, operation_of, priority_of};
use crate::catalog::file::{nearest, nearest_zone};
use crate::model::Operation;
use crate::source::field::{Field, as_text};

/// A mistake in a mapping: the key's path below the mapping, what is wrong, what to do.
pub type Mistake = (Vec<String>, String, Option<String>);

impl Mapping {
    /// Mistakes that show without any document: zones, operation and priority words.
    #[must_use]
    pub fn mistakes(&self) -> Vec<Mistake> {
        let mut mistakes = Vec::new();
        let dates = [
            ("requested_at", &self.requested_at),
            ("approved_at", &self.approved_at),
            ("valid_from", &self.valid_from),
            ("valid_until", &self.valid_until),
        ];
        let own = dates.iter().filter_map(|(name, date)| Some((*name, date.as_ref()?.zone()?)));
        let own = own.chain(self.seen.iter().filter_map(|seen| Some(("seen", seen.at.as_ref()?.zone()?))));
        for (key, zone) in [("zone", self.zone.as_str())].into_iter().chain(own) {
            if zone.parse::<Tz>().is_err() {
                let help = nearest_zone(zone).map(|best| format!("did you mean `{best}`?"));
                mistakes.push((vec![key.to_owned()], format!("there is no time zone `{zone}`"), help));
            }
        }
        for value in self.operation.declared_values().filter(|v| operation_of(v).is_none()) {
            let word = as_text(value).unwrap_or_default();
            let help = nearest(&word, Operation::ALL.iter().map(|o| o.as_str())).map(|best| format!("did you mean `{best}`?"));
            mistakes.push((vec!["operation".to_owned()], format!("there is no operation `{word}`"), help));
        }
        for value in self.priority.iter().flat_map(Field::declared_values).filter(|v| priority_of(v).is_none()) {
            let word = as_text(value).unwrap_or_default();
            let help = Some("priorities are 0 … 3 or low, normal, high, urgent".to_owned());
            mistakes.push((vec!["priority".to_owned()], format!("there is no priority `{word}`"), help));
        }
        mistakes
    }
}
