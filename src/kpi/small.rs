//! Small admin groups appear in figures only together with others, so that nobody's own speed can be read off them.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::Catalog;
use crate::ledger::LedgerResult;
use crate::ledger::exports::{Exports, Fulfiller};
use crate::ledger::rollups::{CellFilter, Rollups};
use crate::model::Timestamp;

/// Which groups are too small to be shown by themselves, over one period.
#[derive(Debug, Clone, Default)]
pub struct Small {
    least: usize,
    people: BTreeMap<String, BTreeSet<String>>,
    /// Groups whose desk does not say who closed a ticket: what their file says.
    declared: BTreeMap<String, usize>,
    /// Groups that are shown only together, whatever a reader filters by.
    hidden: BTreeSet<String>,
}

impl Small {
    /// From who closed tickets in the period, among all groups that ever had figures: what is hidden must not depend on
    /// who looks.
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn over<L: Rollups + Exports + ?Sized>(
        ledger: &L,
        catalog: &Catalog,
        from: Timestamp,
        to: Timestamp,
    ) -> LedgerResult<Self> {
        let least = usize::try_from(catalog.main.kpi.smallest_group).unwrap_or(1);
        if least <= 1 {
            return Ok(Self::default());
        }
        let groups = ledger.dims(&CellFilter::default()).await?.into_iter().map(|dim| dim.admin_group);
        let declared = catalog.admin_groups.iter();
        let declared = declared.filter_map(|(name, g)| Some((name.clone(), usize::try_from(g.people?).ok()?))).collect();
        Ok(Self::from_people(least, ledger.fulfillers(from, to).await?, declared, groups))
    }

    fn from_people(
        least: usize,
        found: Vec<Fulfiller>,
        declared: BTreeMap<String, usize>,
        groups: impl IntoIterator<Item = String>,
    ) -> Self {
        let mut small = Self { least, declared, ..Self::default() };
        for one in found {
            small.people.entry(one.admin_group).or_default().insert(one.person);
        }
        let groups: BTreeSet<String> = groups.into_iter().collect();
        let keyed = groups.iter().map(|g| (g.as_str(), BTreeSet::from([g.as_str()]))).collect();
        small.hidden = small.to_fold(&keyed).into_iter().map(str::to_owned).collect();
        small
    }

    /// Whether anything is ever hidden.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.least > 1
    }

    /// Fewest people that a figure may be of.
    #[must_use]
    pub fn least(&self) -> usize {
        self.least.max(1)
    }

    /// How many people these groups are together: one who works in two of them is one.
    fn size<'a>(&self, groups: impl IntoIterator<Item = &'a &'a str>) -> usize {
        let (mut known, mut declared) = (BTreeSet::new(), 0);
        for group in groups {
            match self.people.get(*group) {
                Some(people) => known.extend(people.iter()),
                None => declared += self.declared.get(*group).copied().unwrap_or(0),
            }
        }
        known.len() + declared
    }

    /// Which lines are told only together: each that is too small, and as many of the next larger ones as make the sum
    /// large enough; else the sum of all less the lines shown would tell the small one after all.
    #[must_use]
    pub fn to_fold<'a>(&self, lines: &BTreeMap<&'a str, BTreeSet<&'a str>>) -> BTreeSet<&'a str> {
        let mut fold: BTreeSet<&str> = BTreeSet::new();
        if !self.is_on() {
            return fold;
        }
        let mut by_size: Vec<(usize, &str)> = lines.iter().map(|(id, groups)| (self.size(groups), *id)).collect();
        by_size.sort_unstable();
        let mut together: BTreeSet<&str> = BTreeSet::new();
        for (size, id) in by_size {
            let enough = fold.is_empty() || (fold.len() > 1 && self.size(&together) >= self.least);
            let small = size < self.least || lines[id].iter().all(|group| self.hidden.contains(*group));
            if enough && !small {
                continue;
            }
            fold.insert(id);
            together.extend(&lines[id]);
        }
        fold
    }

    /// Whether nothing may be told of these groups as a whole: they are too few people, or a part of those that are told
    /// only together.
    #[must_use]
    pub fn withholds(&self, groups: &BTreeSet<&str>) -> bool {
        if !self.is_on() || groups.is_empty() {
            return false;
        }
        let some_hidden = groups.iter().all(|group| self.hidden.contains(*group)) && groups.len() < self.hidden.len();
        self.size(groups) < self.least || some_hidden
    }

    /// Whether single orders of a group may be listed with their times.
    #[must_use]
    pub fn lists(&self, admin_group: &str) -> bool {
        !self.is_on() || !(self.hidden.contains(admin_group) || self.size(&[admin_group]) < self.least)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn small(least: usize, groups: &[(&str, &[u32])]) -> Small {
        let people = groups.iter().flat_map(|(group, people)| {
            people.iter().map(|p| Fulfiller { admin_group: (*group).to_owned(), person: p.to_string() })
        });
        Small::from_people(least, people.collect(), BTreeMap::new(), groups.iter().map(|(g, _)| (*g).to_owned()))
    }

    fn lines<'a>(groups: &[(&'a str, &[u32])]) -> BTreeMap<&'a str, BTreeSet<&'a str>> {
        groups.iter().map(|(g, _)| (*g, BTreeSet::from([*g]))).collect()
    }

    #[test]
    fn a_small_group_takes_another_with_it() {
        let groups: [(&str, &[u32]); 4] =
            [("one", &[1]), ("six", &[1, 2, 3, 4, 5, 6]), ("seven", &[11, 12, 13, 14, 15, 16, 17]), ("two", &[8, 9])];
        let found = small(5, &groups);
        // one and two are three people: all less the others would tell them, so six goes with them
        assert_eq!(found.to_fold(&lines(&groups)), BTreeSet::from(["one", "two", "six"]));
        assert!(found.withholds(&BTreeSet::from(["one"])) && found.withholds(&BTreeSet::from(["six"])), "a part of the sum");
        assert!(!found.withholds(&BTreeSet::from(["seven"])) && !found.withholds(&BTreeSet::from(["one", "two", "six"])));
        assert!(found.lists("seven") && !found.lists("six") && !found.lists("one") && !found.lists("unknown"));
    }

    #[test]
    fn people_count_once_and_nothing_is_hidden_unless_asked_for() {
        let groups: [(&str, &[u32]); 2] = [("a", &[1, 2, 3]), ("b", &[3, 2, 1])];
        assert_eq!(small(4, &groups).to_fold(&lines(&groups)).len(), 2, "three people, whatever they are called");
        assert!(small(4, &groups).withholds(&BTreeSet::from(["a", "b"])));
        assert!(small(1, &groups).to_fold(&lines(&groups)).is_empty());
        assert!(!small(1, &groups).withholds(&BTreeSet::from(["nobody"])) && small(1, &[]).lists("nobody"));
        let declared = BTreeMap::from([("c".to_owned(), 7), ("a".to_owned(), 70)]);
        let people = vec![Fulfiller { admin_group: "a".to_owned(), person: "1".to_owned() }];
        let found = Small::from_people(5, people, declared, ["a".to_owned(), "c".to_owned()]);
        assert!(!found.withholds(&BTreeSet::from(["a", "c"])));
        assert!(!found.lists("a"), "who is known counts, whatever is declared");
    }

    proptest! {
        #[test]
        fn what_is_folded_is_none_or_large_enough_or_all(
            least in 2usize..8,
            sizes in proptest::collection::vec(proptest::collection::btree_set(0u32..20, 0..9), 1..8),
        ) {
            let names: Vec<String> = (0..sizes.len()).map(|n| format!("g{n}")).collect();
            let people: Vec<Vec<u32>> = sizes.into_iter().map(|set| set.into_iter().collect()).collect();
            let groups: Vec<(&str, &[u32])> = names.iter().zip(&people).map(|(n, p)| (n.as_str(), p.as_slice())).collect();
            let found = small(least, &groups);
            let (all, fold) = (lines(&groups), found.to_fold(&lines(&groups)));
            let together: BTreeSet<&str> = fold.iter().copied().collect();
            prop_assert!(fold.is_empty() || fold.len() == all.len() || (fold.len() > 1 && found.size(&together) >= least));
            for (group, people) in &groups {
                prop_assert!(fold.contains(group) || people.len() >= least, "no small group stands alone");
            }
        }
    }
}
