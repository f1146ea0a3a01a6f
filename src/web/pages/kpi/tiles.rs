//! The numbers at the top of a page of figures.

use super::Page;
use super::view::View;
use super::wording::{elapsed_or_few, share};
use crate::kpi::measure::{Line, MIN_FOR_PERCENTILE};
use crate::kpi::report::Which;

/// A number at the top of a page.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub(super) struct Tile {
    pub(super) number: String,
    pub(super) words: String,
    pub(super) more: String,
    pub(super) link: String,
    pub(super) main: bool,
    pub(super) alarm: bool,
}

impl View<'_> {
    pub(super) fn tiles(&self, line: &Line) -> Vec<Tile> {
        let (provisioning, approval) = (self.provisioning(line), self.approval(line));
        let behind = |which| self.links.behind(which);
        let mut tiles = vec![Tile {
            number: self.or_few(provisioning.p50_ms),
            words: "provisioning: half within".to_owned(),
            more: format!("nine of ten within {}; n = {}", self.or_few(provisioning.p90_ms), provisioning.n),
            link: behind(Which::Closed),
            main: true,
            alarm: false,
        }];
        let (kept, judged) = (line.target, line.target.judged());
        if judged > 0 {
            tiles.push(Tile {
                number: share(kept.percent, kept.in_target, judged),
                words: "in target".to_owned(),
                more: format!("{} too late; n = {judged}", kept.late),
                link: behind(Which::Late),
                main: true,
                alarm: false,
            });
            tiles.push(Tile {
                number: kept.overdue_open.to_string(),
                words: "open and overdue now".to_owned(),
                more: format!("of {} open", line.flow.open),
                link: behind(Which::Overdue),
                main: true,
                alarm: kept.overdue_open > 0,
            });
        }
        tiles.push(Tile {
            number: self.or_few(approval.p50_ms),
            words: "approval: half within".to_owned(),
            more: format!("nine of ten within {}; n = {}", self.or_few(approval.p90_ms), approval.n),
            link: self.links.page(Page::Approval.path()),
            ..Tile::default()
        });
        let left = &line.leavers;
        if left.n > 0 || left.overdue_open > 0 {
            let judged = left.judged();
            tiles.push(Tile {
                number: share(left.percent_24h, left.within_24h, judged),
                words: "of leavers without access within 24 h".to_owned(),
                more: format!("{} still open after that; n = {judged}", left.overdue_open),
                link: self.links.page(Page::Leavers.path()),
                main: false,
                alarm: left.overdue_open > 0,
            });
        }
        let right = line.quality;
        if right.meant > 0 {
            tiles.push(Tile {
                number: share(right.right_percent, right.right, right.meant),
                words: "right the first time".to_owned(),
                more: format!("n = {}", right.meant),
                link: behind(Which::NotRight),
                ..Tile::default()
            });
        }
        if right.proven > 0 {
            tiles.push(Tile {
                number: share(right.proven_percent, right.proven, right.closed),
                words: "proven: the application itself shows it".to_owned(),
                more: format!(
                    "half within {} of the closing; n = {}",
                    elapsed_or_few(line.verification.elapsed.p50_ms),
                    right.closed
                ),
                link: behind(Which::Proven),
                ..Tile::default()
            });
        }
        let said = line.forecast;
        if said.n >= MIN_FOR_PERCENTILE {
            tiles.push(Tile {
                number: format!("{} %", said.nine * 100 / said.n),
                words: "closed by the later “expected by”, which is to hold for 90 %".to_owned(),
                more: format!("by the earlier {} %, which is to hold for 50 %; n = {}", said.half * 100 / said.n, said.n),
                link: behind(Which::Closed),
                ..Tile::default()
            });
        }
        tiles
    }
}
