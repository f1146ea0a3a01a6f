//! Every kind of source between the fake of its platform and a ledger of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use lastmile::catalog::{ConfigFile, EdgeFile};
use lastmile::flow::intake::{self, PollError};
use lastmile::http::{CallError, Inbound};
use lastmile::ledger::views::{AssignmentRow, Filter};
use lastmile::ledger::{Ledger, Mode, SqlLedger, Views};
use lastmile::model::clock::FakeClock;
use lastmile::model::completion::Completion;
use lastmile::model::{Clock, Operation, Outcome, Timestamp};
use lastmile::sandbox::config::{MAPPING, files};
use lastmile::sandbox::entra::{self, SandboxEntra};
use lastmile::sandbox::midpoint::{self, SandboxMidpoint, state::membership};
use lastmile::sandbox::one_identity::{PASSWORD, SandboxOneIdentity, USER};
use lastmile::sandbox::platform::CLIENT_ID;
use lastmile::sandbox::sailpoint;
use lastmile::sandbox::{PlatformFaults, SandboxPlatform, company};
use lastmile::source::{self, Source};
use serde_json::json;

pub(super) const NOW: Timestamp = Timestamp(1_764_000_000_000);

/// Every kind of source that there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Webhook,
    Cursor,
    Snapshot,
    /// A snapshot by numbered pages, with OAuth 2 client credentials.
    Pages,
    /// CloudEvents in structured mode.
    CloudEvents,
    /// Files of rows that are put into a folder.
    Folder,
    /// Files of rows that are sent.
    Upload,
    /// One Identity, as the approval step, decided by its method.
    ByMethod,
    /// The same, decided by an event that a process answers.
    ByEvent,
    Queue,
    Assignments,
    Midpoint,
    /// We are its desk.
    SailPoint,
    /// A custom extension that waits.
    Entra,
}

pub(super) const ALL: [Kind; 14] = [
    Kind::Webhook,
    Kind::Cursor,
    Kind::Snapshot,
    Kind::Pages,
    Kind::CloudEvents,
    Kind::Folder,
    Kind::Upload,
    Kind::ByMethod,
    Kind::ByEvent,
    Kind::Queue,
    Kind::Assignments,
    Kind::Midpoint,
    Kind::SailPoint,
    Kind::Entra,
];

impl Kind {
    pub(super) fn is_one_identity(self) -> bool {
        matches!(self, Self::ByMethod | Self::ByEvent | Self::Queue | Self::Assignments)
    }

    /// Its platform has an interface of its own that is asked.
    pub(super) fn is_asked(self) -> bool {
        self.is_one_identity() || self == Self::Midpoint
    }

    /// Whether the platform sends by itself.
    pub(super) fn is_pushed(self) -> bool {
        matches!(self, Self::Webhook | Self::CloudEvents | Self::Upload | Self::Entra)
    }

    /// The word of its file.
    fn word(self) -> &'static str {
        match self {
            Self::Webhook | Self::CloudEvents => "webhook",
            Self::Folder | Self::Upload => "file",
            Self::Cursor | Self::Snapshot | Self::Pages => "poll",
            Self::Midpoint => "midpoint",
            Self::SailPoint => "sailpoint",
            Self::Entra => "entra",
            Self::ByMethod | Self::ByEvent | Self::Queue | Self::Assignments => "one_identity",
        }
    }
}

enum Platform {
    Declared(SandboxPlatform),
    OneIdentity(SandboxOneIdentity),
    Midpoint(SandboxMidpoint),
    SailPoint(super::source_asks::Asking),
    Entra(SandboxEntra),
}

/// One source in its world.
pub(super) struct Bench {
    pub(super) kind: Kind,
    pub(super) clock: Arc<FakeClock>,
    pub(super) ledger: SqlLedger,
    pub(super) source: Arc<dyn Source>,
    platform: Platform,
    placed: std::sync::Mutex<u64>,
    folder: tempfile::TempDir,
    /// Files are written only by half.
    torn: std::sync::atomic::AtomicBool,
    /// What is missing of a half-written file.
    rest: std::sync::Mutex<Option<(std::path::PathBuf, String)>>,
}

impl Bench {
    pub(super) async fn new(kind: Kind) -> Self {
        let clock = Arc::new(FakeClock::at(NOW));
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("secrets")).unwrap();
        let listen = "127.0.0.1:0".parse().unwrap();
        let (platform, word, text) = if kind.is_one_identity() {
            std::fs::write(folder.path().join("secrets/oim"), PASSWORD).unwrap();
            let fake = SandboxOneIdentity::start(clock.clone(), listen).await.unwrap();
            let text = one_identity(kind, fake.url());
            (Platform::OneIdentity(fake), "one_identity", text)
        } else if kind == Kind::Midpoint {
            std::fs::write(folder.path().join("secrets/midpoint"), midpoint::PASSWORD).unwrap();
            let fake = SandboxMidpoint::start(clock.clone(), listen).await.unwrap();
            let text = midpoint_file(fake.url());
            (Platform::Midpoint(fake), "midpoint", text)
        } else if kind == Kind::SailPoint {
            std::fs::write(folder.path().join("secrets/sailpoint"), sailpoint::PASSWORD).unwrap();
            let fake = super::source_asks::Asking::new(clock.clone());
            (Platform::SailPoint(fake), "sailpoint", super::source_asks::FILE.to_owned())
        } else if kind == Kind::Entra {
            std::fs::write(folder.path().join("secrets/entra"), entra::CLIENT_SECRET).unwrap();
            std::fs::write(folder.path().join("secrets/hook"), entra::HOOK_TOKEN).unwrap();
            let fake = SandboxEntra::start(clock.clone(), listen).await.unwrap();
            let text = super::source_waits::file(fake.url(), "alarm");
            (Platform::Entra(fake), "entra", text)
        } else {
            let faults = Arc::new(PlatformFaults::default());
            let fake = SandboxPlatform::start(clock.clone(), None, listen, faults, 11).await.unwrap();
            for (path, text) in files(fake.url(), "", "", "").into_iter().filter(|(p, _)| p.starts_with("secrets/")) {
                std::fs::write(folder.path().join(path), text).unwrap();
            }
            std::fs::create_dir(folder.path().join("inbox")).unwrap();
            let text = declared(kind, fake.url());
            (Platform::Declared(fake), kind.word(), text)
        };
        let file = ConfigFile::from_text(Path::new("sources/iga.toml"), &text);
        let source = source::build("iga", &EdgeFile { kind: word.to_owned(), file }, folder.path(), clock.clone())
            .unwrap_or_else(|problems| panic!("{problems:?}"));
        let url = format!("sqlite:{}", folder.path().join("ledger.db").display());
        let ledger = SqlLedger::open(&url, "contract", Mode::Serve).await.unwrap();
        let bench = Self {
            kind,
            clock,
            ledger,
            source,
            platform,
            placed: std::sync::Mutex::default(),
            folder,
            torn: false.into(),
            rest: std::sync::Mutex::default(),
        };
        // What stands in the first round of a standing list is its beginning.
        bench.round().await.unwrap();
        bench
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The fake, where it is One Identity's.
    pub(super) fn oim(&self) -> Option<&SandboxOneIdentity> {
        match &self.platform {
            Platform::OneIdentity(fake) => Some(fake),
            _ => None,
        }
    }

    /// The fake, where it is midPoint's.
    pub(super) fn midpoint(&self) -> Option<&SandboxMidpoint> {
        match &self.platform {
            Platform::Midpoint(fake) => Some(fake),
            _ => None,
        }
    }

    /// The fake, where it is SailPoint's.
    pub(super) fn asking(&self) -> Option<&super::source_asks::Asking> {
        match &self.platform {
            Platform::SailPoint(fake) => Some(fake),
            _ => None,
        }
    }

    /// The fake, where it is Entra's.
    pub(super) fn entra(&self) -> Option<&SandboxEntra> {
        match &self.platform {
            Platform::Entra(fake) => Some(fake),
            _ => None,
        }
    }

    fn platform(&self) -> &SandboxPlatform {
        match &self.platform {
            Platform::Declared(fake) => fake,
            _ => panic!("no declared platform"),
        }
    }

    /// One round of intake: a poll, or every message that waits.
    pub(super) async fn round(&self) -> Result<(), CallError> {
        self.clock.advance_ms(60_000);
        if let Some(asking) = self.asking() {
            return asking.round(self).await;
        }
        if let Some(fake) = self.entra() {
            return super::source_waits::round(self, fake).await;
        }
        if self.kind == Kind::Folder {
            return self.round_of_files().await;
        }
        if !self.kind.is_pushed() {
            return match intake::poll(&self.ledger, &*self.source, &*self.clock).await {
                Ok(_) => Ok(()),
                Err(PollError::Call(error)) => Err(error),
                Err(error) => panic!("{error}"),
            };
        }
        if self.platform().faults().gone.load(Ordering::SeqCst) {
            return Err(CallError::retry("E-CONNECT", "nobody sends"));
        }
        for ((headers, body), message) in self.platform().messages().into_iter().zip(self.platform().state().waiting()) {
            let inbound = Inbound {
                method: "POST".to_owned(),
                path: "/hooks/iga".to_owned(),
                query: BTreeMap::new(),
                headers: self.headers(headers),
                body: self.body(&message.id, body),
                peer: None,
                client_certificate: None,
                received_at: self.now(),
            };
            if self.kind == Kind::Upload {
                let answers = intake::take_rows(&self.ledger, &*self.source, inbound, self.now()).await.unwrap();
                assert!(!answers.is_empty() && answers.iter().all(|a| a.result != "quarantined"), "{answers:?}");
            } else {
                intake::take(&self.ledger, &*self.source, inbound, self.now()).await.unwrap();
            }
            self.platform().state().delivered(&message.id);
        }
        Ok(())
    }

    fn headers(&self, signed: BTreeMap<String, String>) -> BTreeMap<String, String> {
        let named = |pairs: [(&str, &str); 2]| pairs.map(|(n, v)| (n.to_owned(), v.to_owned())).into();
        match self.kind {
            Kind::CloudEvents => {
                named([("authorization", "bearer sandbox-list-token"), ("content-type", "application/cloudevents+json")])
            }
            Kind::Upload => named([("authorization", "Bearer sandbox-list-token"), ("content-type", "application/x-ndjson")]),
            _ => signed,
        }
    }

    fn body(&self, id: &str, body: Vec<u8>) -> Vec<u8> {
        match self.kind {
            Kind::CloudEvents => {
                let data: serde_json::Value = serde_json::from_slice(&body).unwrap();
                let data = data["data"].as_array().map_or(data["data"].clone(), |listed| listed[0].clone());
                json!({"specversion": "1.0", "id": id, "source": "/sandbox", "type": "order", "data": data})
                    .to_string()
                    .into_bytes()
            }
            Kind::Upload => lines(&body).into_bytes(),
            _ => body,
        }
    }

    /// The platform writes what it has to say as a file, and the folder is looked at until it is worked through.
    async fn round_of_files(&self) -> Result<(), CallError> {
        let inbox = self.folder.path().join("inbox");
        if let Some((path, rest)) = self.rest.lock().unwrap().take() {
            let text = std::fs::read_to_string(&path).unwrap();
            std::fs::write(&path, text + &rest).unwrap();
        }
        let torn = self.torn.load(Ordering::SeqCst);
        if inbox.exists() {
            let waiting = self.platform().state().waiting();
            let text: String = waiting.iter().map(|message| lines(message.body.as_bytes())).collect();
            waiting.iter().for_each(|message| self.platform().state().delivered(&message.id));
            if !text.is_empty() {
                let path = inbox.join(format!("{}.jsonl", self.now().0));
                let half = if torn { text.len() / 2 } else { text.len() };
                std::fs::write(&path, &text[..half]).unwrap();
                *self.rest.lock().unwrap() = torn.then(|| (path, text[half..].to_owned()));
            }
        }
        for _ in 0..if torn { 1 } else { 3 } {
            match intake::poll(&self.ledger, &*self.source, &*self.clock).await {
                Ok(polled) => assert_eq!(polled.broken, None),
                Err(PollError::Call(error)) => return Err(error),
                Err(error) => panic!("{error}"),
            }
            self.clock.advance_ms(10_000);
        }
        Ok(())
    }

    /// Places so many orders of different objects; gives their external ids.
    pub(super) fn place(&self, n: u64) -> Vec<String> {
        let first = {
            let mut placed = self.placed.lock().unwrap();
            let first = *placed;
            *placed += n;
            first
        };
        (first..first + n).map(|n| self.place_one(n)).collect()
    }

    fn place_one(&self, n: u64) -> String {
        if let Some(fake) = self.midpoint() {
            return fake.state().grant(n + 1, n % 3);
        }
        if let Some(asking) = self.asking() {
            return asking.fake.request(n + 1, "Add", &format!("R{n}"));
        }
        if let Some(fake) = self.entra() {
            return fake.state().ask(n + 1, &format!("Package {n}"), "assignmentRequestApproved");
        }
        let Some(fake) = self.oim() else {
            let mut document = company::order(11, n + 1, self.now());
            document["operation"] = json!("add");
            document["entitlement"] = json!({"id": format!("R{n}"), "name": format!("Role {n}")});
            return self.platform().state().place(document, self.now());
        };
        let (one, other) = (n % 30 + 1, n / 30 % 3 + 1);
        match self.kind {
            Kind::Queue => {
                let key = format!("<Key><T>UNSAccountB</T><P>object-{n}</P></Key>");
                let (change, steps) = fake.state().pend(&key, ("root-1", "Mainframe"), &[("Insert", "a")]);
                format!("{change}/{}", steps[0])
            }
            Kind::Assignments => {
                fake.state().assign(one, other);
                format!("account-{one}+group-{other}")
            }
            _ => fake.state().order_approved(one, other, None),
        }
    }

    /// Three orders of one object, in this order; gives operation and external id of each.
    pub(super) async fn place_three_of_one(&self) -> Vec<(Operation, String)> {
        use Operation::{CreateAccount, Grant, Modify, Revoke};
        if let Some(fake) = self.midpoint() {
            fake.state().link("shadow-1", 1);
            let mut ids = Vec::new();
            for (operation, how) in [(Grant, "add"), (Revoke, "delete"), (Grant, "add")] {
                self.clock.advance_ms(1_000);
                ids.push((operation, fake.state().open("resource-1", "shadow-1", membership(how, 1))));
            }
            return ids;
        }
        if let Some(asking) = self.asking() {
            let mut ids = Vec::new();
            for (operation, word) in [(Grant, "Add"), (Revoke, "Remove"), (Grant, "Add")] {
                self.clock.advance_ms(1_000);
                ids.push((operation, asking.fake.request(1, word, "R")));
            }
            return ids;
        }
        if let Some(fake) = self.entra() {
            let mut ids = Vec::new();
            for (operation, stage) in [(Grant, "Approved"), (Revoke, "Removed"), (Grant, "Granted")] {
                self.clock.advance_ms(1_000);
                ids.push((operation, fake.state().ask(1, "Package", &format!("assignmentRequest{stage}"))));
            }
            return ids;
        }
        let Some(fake) = self.oim() else {
            let mut ids = Vec::new();
            for n in 900..903 {
                self.clock.advance_ms(1_000);
                let mut document = company::order(11, n, self.now());
                document["operation"] = json!("change");
                document["application"] = json!({"id": "sap-erp", "name": "SAP"});
                document["entitlement"] = json!({"id": "R", "name": "R"});
                document["beneficiary"] = json!({"id": "P", "name": "P"});
                ids.push((Modify, self.platform().state().place(document, self.now())));
            }
            return ids;
        };
        match self.kind {
            Kind::Queue => {
                let steps = [("Insert", "a"), ("Update", "b"), ("Update", "c")];
                let key = "<Key><T>UNSAccountB</T><P>one</P></Key>";
                let (change, ids) = fake.state().pend(key, ("root-1", "Mainframe"), &steps);
                let id = |step: &String| format!("{change}/{step}");
                vec![(CreateAccount, id(&ids[0])), (Modify, id(&ids[1])), (Modify, id(&ids[2]))]
            }
            Kind::Assignments => {
                let id = "account-1+group-1".to_owned();
                for _ in 0..2 {
                    let key = fake.state().assign(1, 1);
                    self.round().await.unwrap();
                    // Each is carried out before the next: what nobody saw would only be dropped.
                    self.carry_out(&id).await;
                    fake.state().unassign(&key);
                    self.round().await.unwrap();
                    self.carry_out(&id).await;
                }
                vec![(Grant, id.clone()), (Revoke, id.clone()), (Grant, id.clone()), (Revoke, id)]
            }
            _ => {
                let mut ids = Vec::new();
                for _ in 0..3 {
                    self.clock.advance_ms(1_000);
                    ids.push((Grant, fake.state().order_approved(1, 1, None)));
                }
                ids
            }
        }
    }

    /// Gives every unfinished order of an object an outcome by hand.
    async fn carry_out(&self, id: &str) {
        self.end(id, Outcome::Fulfilled).await;
    }

    async fn end(&self, id: &str, outcome: Outcome) {
        for row in self.rows().await.into_iter().filter(|r| r.external_id == id && r.outcome.is_none()) {
            let decide = lastmile::ledger::Action::Decide { assignment: row.id, outcome, reason: "done by hand".to_owned() };
            self.park(row.id).await;
            let acted = self.ledger.act(decide, "operator", self.now()).await.unwrap();
            assert_eq!(acted, lastmile::ledger::Acted::Done, "{id}");
        }
    }

    async fn park(&self, id: lastmile::model::Id) {
        let waiting = self.ledger.to_plan(self.now(), 1_000).await.unwrap();
        let Some(order) = waiting.into_iter().find(|o| o.id == id) else { return };
        let decision = lastmile::ledger::Decision {
            id,
            revision: order.revision,
            eligible_at: self.now(),
            action: lastmile::ledger::PlanAction::Park { code: "E-TEST", reason: "parked by the test".to_owned() },
            catalog_version: "test".to_owned(),
            persons: Vec::new(),
        };
        self.ledger.plan(vec![decision], self.now()).await.unwrap();
    }

    /// The platform takes an order back.
    pub(super) fn take_back(&self, id: &str) {
        if let Some(fake) = self.midpoint() {
            return fake.state().close(id, None);
        }
        if let Some(asking) = self.asking() {
            return asking.fake.cancel(id);
        }
        if let Some(fake) = self.entra() {
            return fake.state().cancel(id);
        }
        let Some(fake) = self.oim() else {
            assert!(self.platform().state().withdraw(id, self.now()));
            return;
        };
        match self.kind {
            Kind::Queue => fake.state().settle(id.split('/').next().unwrap()),
            Kind::Assignments => {
                let (account, group) = id.split_once('+').unwrap();
                let key = format!("<Key><T>ADSAccountInADSGroup</T><P>{account}</P><P>{group}</P></Key>");
                assert!(fake.state().unassign(&key));
            }
            _ => fake.state().abort(id),
        }
    }

    /// The platform is away, or back.
    pub(super) fn set_away(&self, away: bool) {
        match &self.platform {
            Platform::OneIdentity(fake) => fake.faults().away.store(away, Ordering::SeqCst),
            Platform::Midpoint(fake) => fake.faults().away.store(away, Ordering::SeqCst),
            Platform::SailPoint(asking) => asking.away.store(away, Ordering::SeqCst),
            Platform::Entra(fake) => fake.faults().away.store(away, Ordering::SeqCst),
            Platform::Declared(fake) => {
                let (here, there) = (self.folder.path().join("inbox"), self.folder.path().join("unmounted"));
                let (from, to) = if away { (here, there) } else { (there, here) };
                if self.kind == Kind::Folder && from.exists() {
                    std::fs::rename(from, to).unwrap();
                }
                fake.faults().gone.store(away, Ordering::SeqCst);
                fake.faults().cut_page.store(u64::from(away), Ordering::SeqCst);
            }
        }
    }

    /// From now on this list page (from 1) is half written; 0: none.
    pub(super) fn cut(&self, page: u64) {
        match &self.platform {
            Platform::OneIdentity(fake) => fake.faults().cut(page),
            Platform::Midpoint(fake) => fake.faults().cut(page),
            Platform::SailPoint(_) | Platform::Entra(_) => panic!("it has no list"),
            Platform::Declared(fake) => {
                self.torn.store(page > 0, Ordering::SeqCst);
                fake.faults().cut_page.store(page, Ordering::SeqCst);
            }
        }
    }

    /// The next report is refused, without effect; false where a platform of this kind cannot.
    pub(super) fn refuse_once(&self) {
        match &self.platform {
            Platform::OneIdentity(fake) => fake.faults().refuse.store(1, Ordering::SeqCst),
            Platform::Midpoint(fake) => fake.faults().refuse.store(1, Ordering::SeqCst),
            Platform::SailPoint(_) => panic!("it asks, and refuses nothing"),
            Platform::Entra(fake) => fake.faults().refuse.store(1, Ordering::SeqCst),
            Platform::Declared(fake) => fake.faults().gone.store(true, Ordering::SeqCst),
        }
    }

    /// The next report is taken and its answer is lost.
    pub(super) fn forget_once(&self) {
        match &self.platform {
            Platform::OneIdentity(fake) => fake.faults().forget_answers.store(1, Ordering::SeqCst),
            Platform::Midpoint(fake) => fake.faults().forget_answers.store(1, Ordering::SeqCst),
            Platform::SailPoint(asking) => asking.forget.store(1, Ordering::SeqCst),
            Platform::Entra(fake) => fake.faults().forget_answers.store(1, Ordering::SeqCst),
            Platform::Declared(fake) => fake.faults().forget_answers.store(1, Ordering::SeqCst),
        }
    }

    /// Everything that the ledger has.
    pub(super) async fn rows(&self) -> Vec<AssignmentRow> {
        let filter = Filter::default();
        let mut rows = self.ledger.assignments(&filter, true, 1_000).await.unwrap();
        rows.sort_by_key(|row| row.id);
        if let Some(asking) = self.asking() {
            // Ours is the number; the tests go by the platform's own id.
            rows.iter_mut().for_each(|row| row.external_id = asking.fake.request_of(&row.external_id).unwrap_or_default());
        }
        rows
    }

    /// External ids of the orders that are neither taken back nor settled.
    pub(super) async fn live(&self) -> BTreeSet<String> {
        self.rows().await.into_iter().filter(|r| r.withdrawn_at.is_none()).map(|r| r.external_id).collect()
    }

    /// The completion of an order that the ledger has.
    pub(super) async fn completion(&self, id: &str, outcome: Outcome) -> Completion {
        let row = self.rows().await.into_iter().rfind(|r| r.external_id == id).unwrap();
        let operation = Operation::parse(&row.operation).unwrap();
        let order = self.ledger.to_plan(self.now().plus_secs(900 * 86_400), 1_000).await.unwrap();
        let generation = order.iter().find(|o| o.id == row.id).map_or(1, |o| o.assignment.generation);
        Completion {
            id: format!("lmr-{}", lastmile::model::key::stable_id(&[id, outcome.as_str()])),
            external_id: id.to_owned(),
            natural_key: lastmile::model::assignment::natural_key("iga", id, operation, generation),
            operation,
            application: row.application_id,
            outcome,
            success: outcome.is_success(),
            reason: None,
            words: Some("It is \"done\".\nReally.".to_owned()),
            closed_by: None,
            ticket: Some("IAM-1".to_owned()),
            ticket_url: Some("https://desk.example/IAM-1".to_owned()),
            desk: Some("jira".to_owned()),
            closed_at: Some(self.now()),
            seen_at: self.now(),
            closed_at_iso: Some(self.now().iso()),
            seen_at_iso: self.now().iso(),
        }
    }

    /// Tells an outcome as the completion stage does: unclear reports are asked about before they are repeated.
    pub(super) async fn tell(&self, completion: &Completion) -> Result<(), CallError> {
        if let Some(asking) = self.asking() {
            self.end(&completion.external_id, completion.outcome).await;
            return asking.ask_until_told(self, &completion.external_id).await;
        }
        let mut asking = false;
        for _ in 0..6 {
            let result = if asking {
                self.source.confirm(completion).await.map(|held| held.then_some(()))
            } else {
                self.source.report(completion).await.map(Some)
            };
            match result {
                Ok(Some(())) => return Ok(()),
                Ok(None) => {}
                Err(CallError::Unclear { .. }) => asking = self.source.info().confirm_quiet_ms.is_some(),
                Err(CallError::Retry { .. }) => {}
                Err(error) => return Err(error),
            }
            if let Some(fake) = self.oim() {
                fake.state().run_processes();
            }
        }
        Err(CallError::retry("E-TEST", "it was not taken"))
    }

    /// How often the platform took an outcome of this order, and with what.
    pub(super) fn held(&self, id: &str) -> Vec<bool> {
        if let Some(asking) = self.asking() {
            return asking.fake.done(id).into_iter().collect();
        }
        if let Some(fake) = self.midpoint() {
            let of_it = fake.state().completions().into_iter().filter(|(case, ..)| case == id);
            return of_it.map(|(_, output, _)| output["outcome"] == json!("success")).collect();
        }
        if let Some(fake) = self.entra() {
            return fake.state().answers(id).into_iter().map(|(denied, _)| !denied).collect();
        }
        let Some(fake) = self.oim() else {
            let told = self.platform().state().completions_of(id);
            return told.iter().map(|c| c["success"] == json!(true)).collect();
        };
        match self.kind {
            Kind::Queue => {
                let step = id.split_once('/').unwrap().1;
                fake.state().answers().into_iter().filter(|(s, _)| s == step).map(|(_, success)| success).collect()
            }
            Kind::Assignments => {
                let raised = fake.state().raised().into_iter().filter(|r| r.parameters["Assignment"] == json!(id));
                let by_id: BTreeMap<String, bool> =
                    raised.map(|r| (r.parameters["ReportId"].to_string(), r.parameters["Success"] == json!("true"))).collect();
                by_id.into_values().collect()
            }
            _ => fake.state().decisions().into_iter().filter(|d| d.request == id).map(|d| d.granted).collect(),
        }
    }
}

fn declared(kind: Kind, url: &str) -> String {
    let tables = match kind {
        Kind::Webhook => {
            "[webhook]\nverify = { scheme = \"standard-webhooks\", secrets = [{ file = \"secrets/platform-hook\" }] }\nevents = \"/data\""
                .to_owned()
        }
        Kind::Cursor => format!(
            "[poll]\nurl = \"{url}/orders?limit=7\"\nschedule = \"1m\"\nauth = {{ bearer = {{ file = \"secrets/platform-list\" }} }}\n\
             list = \"cursor\"\nitems = \"/items\"\npaging = {{ by = \"next_pointer\", pointer = \"/next\" }}\n\
             cursor = {{ field = \"/updatedAt\", parameter = \"since\", overlap = \"10m\", ascending = true }}"
        ),
        Kind::CloudEvents => format!("[webhook]\nverify = {BEARER}\ncloud_events = {{ origins = [\"iga.example.com\"] }}"),
        Kind::Folder => "[file]\nformat = \"json_lines\"\nfolder = \"inbox\"".to_owned(),
        Kind::Upload => format!("[file]\nformat = \"json_lines\"\n[webhook]\nverify = {BEARER}"),
        Kind::Pages => format!(
            "[poll]\nurl = \"{url}/pending\"\nschedule = \"1m\"\nlist = \"snapshot\"\nitems = \"/items\"\n\
             auth = {{ client_credentials = {{ token_url = \"{url}/token\", client_id = \"{CLIENT_ID}\", \
             client_secret = {{ file = \"secrets/platform-list\" }} }} }}\n\
             paging = {{ by = \"page\", size_parameter = \"limit\", size = 7, total = \"/total\" }}"
        ),
        _ => format!(
            "[poll]\nurl = \"{url}/pending\"\nschedule = \"1m\"\nauth = {{ bearer = {{ file = \"secrets/platform-list\" }} }}\n\
             list = \"snapshot\"\nitems = \"/items\"\npaging = {{ by = \"offset\", limit = 7, total = \"/total\" }}"
        ),
    };
    let word = kind.word();
    let mapping = if kind == Kind::CloudEvents {
        MAPPING.replace("\"/", "\"/data/").replace("/data/approver", "/approver").replace("/data/decidedAt", "/decidedAt")
    } else {
        MAPPING.to_owned()
    };
    format!(
        "kind = \"{word}\"\n{tables}\n[report]\nurl = \"{url}/completions\"\nsigning = {{ file = \"secrets/platform-report\" }}\n{mapping}"
    )
}

const BEARER: &str = "{ scheme = \"bearer\", secrets = [{ file = \"secrets/platform-list\" }] }";

/// The orders of a message, one a line.
fn lines(body: &[u8]) -> String {
    let message: serde_json::Value = serde_json::from_slice(body).unwrap();
    let one = [message["data"].clone()];
    message["data"].as_array().map_or(&one[..], Vec::as_slice).iter().map(|order| format!("{order}\n")).collect()
}

fn one_identity(kind: Kind, url: &str) -> String {
    let server = |table: &str, path: &str| {
        format!("[{table}]\nurl = \"{url}/{path}\"\nuser = \"{USER}\"\npassword = {{ file = \"secrets/oim\" }}\n")
    };
    let way = match kind {
        Kind::ByMethod => "[approval]\npage = 7\n",
        Kind::ByEvent => "[approval]\npage = 7\ndecide = { by = \"event\" }\n",
        Kind::Queue => "[queue]\npage = 7\n",
        _ => {
            "[assignments]\ntable = \"ADSAccountInADSGroup\"\npage = 7\nreport = { event = \"LASTMILE_DONE\", table = \"ADSAccount\" }\n"
        }
    };
    let server = if kind == Kind::Queue { server("api_server", "ApiServer") } else { server("application_server", "AppServer") };
    format!("kind = \"one_identity\"\n{server}{way}")
}

fn midpoint_file(url: &str) -> String {
    format!(
        "kind = \"midpoint\"\nurl = \"{url}\"\nauth = {{ basic = {{ user = \"{}\", password = {{ file = \"secrets/midpoint\" }} }} }}\n\
         [cases]\npage = 7\n",
        midpoint::USER
    )
}
