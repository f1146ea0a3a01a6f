//! A text with bound rows is another text for each room it has for them. The driver keeps so many statements, and preparing one
//! costs as much as carrying it out: commits of all sizes and mixtures must find theirs.

use std::collections::HashSet;

use super::super::sqlite::STATEMENTS;
use super::{planning, record, settle};
use crate::ledger::engine::room_for;

/// Numbers as a seed gives them.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % n
    }

    fn often(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

/// A text, and how many rows each of its values holds.
type Said = (&'static str, Vec<(usize, usize)>);

fn placed(text: &'static str, rows: &[usize]) -> Said {
    (text, (1..).zip(rows.iter().copied()).collect())
}

/// New orders and repeats; some are planned and leased as they come, unless the commit also changes orders.
fn intake(orders: usize, dice: &mut Dice) -> Said {
    let (mut new, mut planned, mut leased, mut persons) = (0, 0, 0, 0);
    let plain = dice.often(5);
    for _ in 0..orders {
        if dice.often(3) {
            continue;
        }
        new += 1;
        if !plain && dice.often(80) {
            planned += 1;
            persons += 1 + dice.below(3);
            leased += usize::from(dice.often(80));
        }
    }
    placed(record::INSERT, &[new, new + planned + leased, orders, persons, planned, planned, planned, planned, leased])
}

/// Creates, reports (some of orders that were seen to be proven), comments, refusals, calls that broke off.
fn settled(ends: usize, dice: &mut Dice) -> Said {
    let (mut filed, mut lines, mut moved) = (0, 0, 0);
    for _ in 0..ends {
        let (what, twice) = (dice.below(100), dice.often(10));
        filed += usize::from(what < 55);
        if what < 97 {
            (lines, moved) = (lines + 1 + usize::from(twice), moved + 1);
        }
    }
    let (text, rows) = placed(settle::WRITE, &[ends, ends, filed, 0, lines, moved]);
    (text, rows.into_iter().filter(|(place, _)| *place != 4).collect())
}

/// Tickets, some leased as they are made; waits and what cannot be planned.
fn planned(orders: usize, dice: &mut Dice) -> Said {
    let (mut tickets, mut leased, mut persons) = (0, 0, 0);
    for _ in 0..orders {
        if dice.often(85) {
            tickets += 1;
            persons += 1 + dice.below(3);
            leased += usize::from(dice.often(70));
        }
    }
    let (text, rows) = placed(planning::WRITE, &[orders + leased, 0, persons, tickets, tickets, tickets, tickets, leased]);
    (text, rows.into_iter().filter(|(place, _)| *place != 2).collect())
}

#[test]
fn commits_of_all_sizes_and_mixtures_are_few_texts() {
    let (mut dice, mut texts) = (Dice(7), HashSet::new());
    for _ in 0..40_000 {
        let orders = 1 + dice.below(60);
        let (text, rows) = match dice.below(3) {
            0 => intake(orders, &mut dice),
            1 => settled(orders, &mut dice),
            _ => planned(orders, &mut dice),
        };
        // With a commit behind it or another write.
        texts.insert((text, dice.often(50), room_for(text, &rows)));
    }
    let of = |text: &str| texts.iter().filter(|(of, ..)| *of == text).count();
    let counts = [of(record::INSERT), of(settle::WRITE), of(planning::WRITE)];
    assert!(texts.len() + 100 <= STATEMENTS, "{counts:?}");
}

/// The usual way: an order that comes alone in its lane is filed at once, and then settled.
#[test]
fn what_is_usual_is_filled_with_little() {
    let (mut wanted, mut room, mut texts) = (0, 0, HashSet::new());
    for n in 1..=60 {
        for (text, rows) in [
            placed(record::INSERT, &[n, 3 * n, n, 3 * n, n, n, n, n, n]),
            (settle::WRITE, vec![(1, n), (2, n), (3, n), (5, n), (6, n)]),
        ] {
            let rooms = room_for(text, &rows);
            wanted += rows.iter().map(|(_, rows)| rows).sum::<usize>();
            room += rooms.iter().sum::<usize>();
            texts.insert((text, rooms));
        }
    }
    assert!(texts.len() <= 18 && room * 4 <= wanted * 5, "{} texts, room for {room}, {wanted} wanted", texts.len());
}
