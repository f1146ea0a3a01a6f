//! May a changed configuration take the running one's place? Nothing that is under way may lose its edge.

use crate::catalog::MainFile;
use crate::desk::Desk;
use crate::flow::Setup;
use crate::ledger::views::Owed;
use crate::ledger::{Ledger, LedgerError, LedgerResult};
use crate::model::Timestamp;

/// Why a changed configuration was not swapped in; the old one goes on.
#[derive(Debug, thiserror::Error)]
pub enum SwapError {
    /// Each objection names what is under way and what to do.
    #[error("{}", .0.join("; "))]
    Refused(Vec<String>),
    /// What is under way could not be asked, or which desks these are could not be kept.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// Everything that speaks against the swap; empty: none.
pub(crate) fn objections(old: &Setup, new: &Setup, owed: &[Owed]) -> Vec<String> {
    let mut objections = needs_restart(old, new);
    objections.extend(orphans(new, owed));
    for (name, desk) in &new.desks {
        let Some(owed) = owed.iter().find(|o| o.edge == format!("desk/{name}")) else { continue };
        let was = old.desks.get(name).map(|desk| home(&**desk)).unwrap_or_default();
        objections.extend(another(name, &was, &home(&**desk)).map(|change| kept(name, &change, owed)));
    }
    objections
}

/// What makes a desk the one it is: its kind, where its tickets lie, and where their keys stand.
fn home(desk: &dyn Desk) -> Vec<(String, String)> {
    let info = desk.info();
    let settings = info.home.iter().map(|(setting, value)| ((*setting).to_owned(), value.clone()));
    std::iter::once(("kind".to_owned(), info.kind.to_owned())).chain(settings).collect()
}

/// In words, why a desk is another one than it was.
fn another(name: &str, was: &[(String, String)], is: &[(String, String)]) -> Option<String> {
    let value = |of: &[(String, String)], setting: &str| of.iter().find(|(s, _)| s == setting).map(|(_, value)| value.clone());
    if value(was, "kind") != value(is, "kind") {
        let (was, is) = (value(was, "kind")?, value(is, "kind")?);
        return Some(format!("desk `{name}` was of kind {was} and is now {is}"));
    }
    was.iter().find_map(|(setting, was)| {
        let is = value(is, setting)?;
        (*was != is).then(|| format!("`{setting}` of desk `{name}` was `{was}` and is now `{is}`, which is another desk"))
    })
}

fn kept(name: &str, change: &str, owed: &Owed) -> String {
    format!(
        "{change}, but {}: give the new desk a name of its own, and keep desks/{name}.toml as it was until they are closed",
        words(owed)
    )
}

fn remembered(name: &str) -> String {
    format!("home/{name}")
}

/// Desks that became another one while nobody served, although the ledger still needs the one they were.
pub(crate) async fn moved(ledger: &dyn Ledger, setup: &Setup, owed: &[Owed]) -> LedgerResult<Vec<String>> {
    let mut moved = Vec::new();
    for (name, desk) in &setup.desks {
        let Some(owed) = owed.iter().find(|o| o.edge == format!("desk/{name}")) else { continue };
        let Some(was) = ledger.cursor(&remembered(name)).await? else { continue };
        let was: Vec<(String, String)> = serde_json::from_str(&was).unwrap_or_default();
        moved.extend(another(name, &was, &home(&**desk)).map(|change| kept(name, &change, owed)));
    }
    Ok(moved)
}

/// Keeps which desks these are, all or none. One that became another while the old one is still needed is told at every start.
pub(crate) async fn remember(ledger: &dyn Ledger, setup: &Setup, owed: &[Owed], now: Timestamp) -> LedgerResult<()> {
    let mut moves = Vec::new();
    for (name, desk) in &setup.desks {
        let was = ledger.cursor(&remembered(name)).await?;
        let is = serde_json::to_string(&home(&**desk)).map_err(|e| LedgerError::Corrupt(e.to_string()))?;
        let needed = owed.iter().any(|o| o.edge == format!("desk/{name}"));
        if was.as_ref() != Some(&is) && (was.is_none() || !needed) {
            moves.push((remembered(name), was, is));
        }
    }
    if moves.is_empty() { Ok(()) } else { ledger.move_cursors(moves, now).await }
}

/// Edges that the configuration no longer has although the ledger still needs them.
pub(crate) fn orphans(setup: &Setup, owed: &[Owed]) -> Vec<String> {
    let mut orphans = Vec::new();
    for owed in owed {
        match owed.edge.split_once('/') {
            Some(("desk", name)) if !setup.desks.contains_key(name) => orphans.push(format!(
                "desk `{name}` is no longer described, but {}: put desks/{name}.toml back until they are done, and send new \
                 orders elsewhere meanwhile ([defaults] desk, or the applications' routes)",
                words(owed)
            )),
            Some(("source", name)) => {
                let source = setup.sources.get(name);
                if source.is_none() {
                    orphans.push(format!(
                        "source `{name}` is no longer described, but {}: put sources/{name}.toml back until their outcomes \
                         are reported",
                        words(owed)
                    ));
                } else if owed.errands > 0 && source.is_some_and(|s| !s.info().capabilities.report) {
                    orphans.push(format!(
                        "source `{name}` has no [report] any more, but {} outcomes are not told yet: put it back until they are",
                        owed.errands
                    ));
                }
            }
            _ => {}
        }
    }
    orphans
}

fn words(owed: &Owed) -> String {
    let is_desk = owed.edge.starts_with("desk/");
    let (open, errands) = if is_desk { ("open tickets", "calls to make") } else { ("orders under way", "outcomes to tell") };
    format!("it has {} {open} and {} {errands}", owed.open, owed.errands)
}

/// What is read only when the process starts.
fn needs_restart(old: &Setup, new: &Setup) -> Vec<String> {
    let (old, new) = (&old.catalog.main, &new.catalog.main);
    let secure = |main: &MainFile| main.server.tls.as_ref().map_or_else(|| "none".to_owned(), |tls| tls.listen.clone());
    let (was, is) = (secure(old), secure(new));
    let fixed = [
        ("[server.tls] listen", &was, &is),
        ("[instance] name", &old.instance.name, &new.instance.name),
        ("[server] listen", &old.server.listen, &new.server.listen),
        ("[ledger] url", &old.ledger.url, &new.ledger.url),
    ];
    let changed = fixed.into_iter().filter(|(_, was, is)| was != is);
    changed.map(|(key, ..)| format!("{key} was changed: that takes effect only with a restart")).collect()
}
