//! Every kind of source between the fake of its platform and a ledger of its own.

mod files;
mod place;
mod rounds;
mod told;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use lastmile::catalog::{ConfigFile, EdgeFile};
use lastmile::ledger::views::{AssignmentRow, Filter};
use lastmile::ledger::{Mode, SqlLedger, Views};
use lastmile::model::clock::FakeClock;
use lastmile::model::{Clock, Timestamp};
use lastmile::sandbox::config::files;
use lastmile::sandbox::entra::{self, SandboxEntra};
use lastmile::sandbox::midpoint::{self, SandboxMidpoint};
use lastmile::sandbox::one_identity::{PASSWORD, SandboxOneIdentity};
use lastmile::sandbox::sailpoint;
use lastmile::sandbox::{PlatformFaults, SandboxPlatform};
use lastmile::source::{self, Source};

use self::files::{declared, midpoint_file, one_identity};

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
}
