//! The sandbox around the bridge, and the configuration that fits it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;

use super::SEED;
use crate::catalog::Catalog;
use crate::model::Clock;
use crate::sandbox::fault_words::{AskedFault, What};
use crate::sandbox::{DeskKind, Faults, PlatformFaults, SandboxDesk, SandboxPlatform, company, config};

/// Room between a desk's search lag and what the bridge is told of it, seconds.
const LAG_ROOM_SECS: i64 = 5;

/// The sandbox around the bridge.
pub(super) struct Stage {
    pub(super) platform: SandboxPlatform,
    pub(super) jira: SandboxDesk,
    pub(super) servicenow: SandboxDesk,
}

/// Starts platform and desks on the ports after the bridge's own, with the faults that were asked for.
pub(super) async fn set(folder: &Path, port: u16, faults: &[AskedFault], clock: &Arc<dyn Clock>) -> anyhow::Result<Stage> {
    let at = |n: u16| SocketAddr::from(([127, 0, 0, 1], if port == 0 { 0 } else { port + n }));
    let file = |name: &str| Some(folder.join(name));
    let taken = || {
        let (first, last) = (u32::from(port) + 1, u32::from(port) + 3);
        format!("one of the ports {first} to {last} of the sandbox is taken: choose four free ones in a row with --port")
    };
    let desk = async |kind: DeskKind, name: &str, n: u16| {
        let jira = kind == DeskKind::JiraCloud;
        let own = Arc::new(Faults::seeded(SEED));
        faults.iter().filter(|fault| fault.is_on_desk(jira)).for_each(|fault| fault.put_on_desk(&own));
        let desk = SandboxDesk::start(kind, Arc::clone(clock), own, file(name), at(n)).await?;
        desk.state().set_groups(Some(groups(jira)));
        std::io::Result::Ok(desk)
    };
    let of_platform = PlatformFaults::default();
    faults.iter().for_each(|fault| fault.put_on_platform(&of_platform));
    let state = file("sandbox-platform.json");
    let platform = SandboxPlatform::start(Arc::clone(clock), state, at(1), Arc::new(of_platform), SEED).await;
    Ok(Stage {
        platform: platform.with_context(taken)?,
        jira: desk(DeskKind::JiraCloud, "sandbox-jira.json", 2).await.with_context(taken)?,
        servicenow: desk(DeskKind::ServiceNow, "sandbox-servicenow.json", 3).await.with_context(taken)?,
    })
}

/// Every group that orders can go to on this desk.
fn groups(jira: bool) -> BTreeSet<String> {
    let by_convention = company::APPS.iter().filter(|a| a.on_servicenow != jira).map(|a| format!("{}-admins", a.id));
    let named: &[&str] =
        if jira { &["Access Desk", "Plant IT", "Plant IT Pune"] } else { &["Access Desk", "SAP Basis", "SAP Security"] };
    by_convention.chain(named.iter().map(|name| (*name).to_owned())).collect()
}

/// Writes the configuration as files, so that a curious person can read it and try the other commands on it, and
/// loads it as any other.
pub(super) fn configuration(folder: &Path, stage: &Stage, address: SocketAddr, faults: &[AskedFault]) -> anyhow::Result<Catalog> {
    for (path, mut text) in config::files(stage.platform.url(), stage.jira.url(), stage.servicenow.url(), &address.to_string()) {
        match path.as_str() {
            "lastmile.toml" => {
                let ledger = folder.join("ledger.db");
                text.push_str(&format!("\n[ledger]\nurl = {}\n", toml::Value::String(format!("sqlite:{}", ledger.display()))));
            }
            "desks/jira.toml" => text = with_lag(&text, lag_secs(faults, true)),
            "desks/servicenow.toml" => text = with_lag(&text, lag_secs(faults, false)),
            _ => {}
        }
        config::write(&folder.join("config"), &path, &text)?;
    }
    Ok(Catalog::load(&folder.join("config"))?)
}

fn lag_secs(faults: &[AskedFault], jira: bool) -> Option<i64> {
    let lags = faults.iter().filter(|f| f.is_on_desk(jira)).filter_map(|f| match f.what {
        What::SearchLag(ms) => Some(ms / 1000),
        _ => None,
    });
    lags.max()
}

/// A search that lags longer than its desk is said to could double a ticket: the demo says what is true.
fn with_lag(text: &str, lag_secs: Option<i64>) -> String {
    let Some(lag) = lag_secs else { return text.to_owned() };
    let line = format!("index_lag = \"{}s\"\n", lag + LAG_ROOM_SECS);
    let others: String = text.lines().filter(|l| !l.starts_with("index_lag")).map(|l| format!("{l}\n")).collect();
    others + &line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bridge_is_told_of_a_lag_that_was_asked_for() {
        let faults = ["jira:search-lag=30s".parse().unwrap(), "slow".parse().unwrap()];
        assert_eq!((lag_secs(&faults, true), lag_secs(&faults, false)), (Some(30), None));
        assert_eq!(with_lag("url = \"x\"\nindex_lag = \"5s\"\n", Some(30)), "url = \"x\"\nindex_lag = \"35s\"\n");
    }
}
