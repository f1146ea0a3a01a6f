//! The bridge between the fake of a platform and a fake desk, stepped by hand.

use std::path::PathBuf;
use std::sync::Arc;

use lastmile::bridge::{self, Bridge};
use lastmile::catalog::Catalog;
use lastmile::flow::{Breakers, Worker, complete, dispatch, intake, plan, sync};
use lastmile::http::Inbound;
use lastmile::ledger::views::{AssignmentRow, Filter};
use lastmile::model::clock::FakeClock;
use lastmile::model::{Clock, Outcome, Timestamp};
use lastmile::sandbox::server::USER as DESK_USER;
use lastmile::sandbox::{DeskKind, Faults, SandboxDesk, admins};

use crate::program::keep_strangers_out;

const MAIN: &str = r#"
[instance]
name = "journey"
[defaults]
desk = "jira"
lead_time = "3days"
fallback_admin_group = "access-desk"
"#;

/// When every journey begins.
pub fn clock() -> Arc<FakeClock> {
    Arc::new(FakeClock::at(Timestamp(1_795_000_000_000)))
}

pub struct PlatformBed {
    pub folder: tempfile::TempDir,
    pub clock: Arc<FakeClock>,
    pub jira: SandboxDesk,
    pub bridge: Bridge,
    source: String,
    ledger: String,
    pub worker: Worker,
    breakers: Breakers,
}

impl PlatformBed {
    /// With one source of that name and the secrets that its file names.
    pub async fn new(clock: Arc<FakeClock>, name: &str, source: &str, secrets: &[(&str, &str)]) -> Self {
        Self::on(None, clock, name, source, secrets).await
    }

    /// On a ledger elsewhere.
    pub async fn on(ledger: Option<&str>, clock: Arc<FakeClock>, name: &str, source: &str, secrets: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = || format!("sqlite:{}", folder.path().join("ledger.db").display());
        let ledger = ledger.map_or_else(file, str::to_owned);
        let time: Arc<dyn Clock> = clock.clone();
        let listen = "127.0.0.1:0".parse().unwrap();
        let jira =
            SandboxDesk::start(DeskKind::JiraCloud, time.clone(), Arc::new(Faults::seeded(1)), None, listen).await.unwrap();
        let desk = format!(
            "kind = \"jira\"\nurl = \"{}\"\nproject = \"IAM\"\nauth = {{ basic = {{ user = \"bridge\", password = {{ file = \"secrets/desk\" }} }} }}\n",
            jira.url()
        );
        let file = format!("sources/{name}.toml");
        let own = [
            ("lastmile.toml", MAIN),
            (file.as_str(), source),
            ("desks/jira.toml", desk.as_str()),
            ("admin-groups.toml", "[access-desk]\nname = \"Access Desk\"\n"),
        ];
        for (path, text) in own.iter().chain(secrets) {
            let place: PathBuf = folder.path().join(path);
            std::fs::create_dir_all(place.parent().unwrap()).unwrap();
            std::fs::write(place, text).unwrap();
        }
        keep_strangers_out(folder.path(), &[&jira]);
        let bridge = open(&folder, &ledger, &time).await;
        let (worker, breakers) = (Worker::new(), Breakers::default());
        Self { folder, clock, jira, bridge, source: name.to_owned(), ledger, worker, breakers }
    }

    /// The process ends and another one begins.
    pub async fn restart(mut self) -> Self {
        self.bridge.close().await;
        let time: Arc<dyn Clock> = self.clock.clone();
        self.bridge = open(&self.folder, &self.ledger, &time).await;
        self.worker = Worker::new();
        self
    }

    /// One round of polling, where the source polls.
    pub async fn poll(&self) -> intake::Polled {
        let setup = self.bridge.setup.load_full();
        let source = &*setup.sources[&self.source];
        if !source.info().capabilities.polls {
            return intake::Polled::default();
        }
        let polled = intake::poll(&*self.bridge.ledger, source, &self.worker.pauses, &*self.clock).await.unwrap();
        self.clock.advance_ms(1_000);
        polled
    }

    /// Every stage, some times.
    pub async fn rounds(&self, n: usize) {
        for _ in 0..n {
            let (setup, ledger, clock) = (self.bridge.setup.load_full(), &*self.bridge.ledger, &*self.clock);
            self.poll().await;
            plan::step(ledger, &setup, clock).await.unwrap();
            let desk = &*setup.desks["jira"];
            dispatch::step(ledger, &setup, desk, &self.worker, &self.breakers, clock).await.unwrap();
            // As the loop does.
            if self.worker.pauses.left_ms("desk/jira", clock).is_none() {
                sync::changes(ledger, desk, &self.worker.pauses, clock).await.unwrap();
                sync::full_pass(ledger, desk, clock.now().plus_secs(-3600), &self.worker.pauses, clock).await.unwrap();
            }
            complete::step(ledger, &setup, &*setup.sources[&self.source], &self.worker, clock).await.unwrap();
            self.clock.advance_ms(30_000);
        }
    }

    pub fn tickets(&self) -> u64 {
        self.jira.state().created_by(DESK_USER)
    }

    pub fn close_all(&self, outcome: Outcome, words: &str) {
        for ticket in self.jira.state().all() {
            self.jira.state().change(&ticket.number, |t, now| admins::close(t, "alice", now, outcome, words));
        }
    }

    pub async fn rows(&self) -> Vec<AssignmentRow> {
        let mut rows = self.bridge.ledger.assignments(&Filter::default(), true, 100).await.unwrap();
        rows.sort_by_key(|r| r.id);
        rows
    }

    pub async fn states(&self) -> Vec<(String, String)> {
        self.rows().await.into_iter().map(|r| (r.operation, r.state)).collect()
    }

    /// A message of the platform with this token, as it arrives.
    pub fn message(&self, token: &str) -> Inbound {
        Inbound {
            method: "POST".to_owned(),
            path: format!("/hooks/{}", self.source),
            query: std::collections::BTreeMap::new(),
            headers: [("x-lastmile".to_owned(), token.to_owned())].into(),
            body: b"anything".to_vec(),
            peer: None,
            client_certificate: None,
            received_at: self.clock.now(),
        }
    }

    /// A message of the platform is verified, says nothing by itself, and makes us look.
    pub async fn is_hinted(&self) {
        let setup = self.bridge.setup.load_full();
        let source = &setup.sources[&self.source];
        let (ledger, now) = (&*self.bridge.ledger, self.clock.now());
        assert!(intake::take(ledger, &**source, self.message("wrong"), now).await.is_err());
        assert!(!source.take_hint());
        assert!(intake::take(ledger, &**source, self.message("hook-token"), now).await.unwrap().is_empty());
        assert!(source.take_hint() && !source.take_hint());
    }

    /// `source try`, as an operator gives it.
    pub async fn try_source(&self) -> std::process::Output {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_lastmile"));
        command.args(["source", "try", &self.source, "--config"]).arg(self.folder.path());
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }

    pub async fn end(&self) {
        assert_eq!(self.bridge.ledger.verify_chains().await.unwrap(), []);
        assert_eq!(self.bridge.ledger.verify_ends().await.unwrap(), []);
        self.bridge.close().await;
    }
}

async fn open(folder: &tempfile::TempDir, ledger: &str, time: &Arc<dyn Clock>) -> Bridge {
    let mut catalog = Catalog::load(folder.path()).unwrap();
    catalog.main.ledger.url = ledger.to_owned();
    let setup = bridge::setup(catalog, time).unwrap();
    Bridge::open(setup, time.clone(), false).await.unwrap()
}
