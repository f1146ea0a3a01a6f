//! Composition root: the only file that knows every concrete type.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::catalog::file::nearest;
use crate::catalog::{Catalog, Problem, Problems};
use crate::flow::Setup;
use crate::ledger::{Address, Ledger, LedgerError, Mode, SqlLedger};
use crate::model::{Clock, Timestamp};
use crate::plan::Planner;
use crate::runtime::{Runtime, SwapError, Wake, moved, objections, orphans, remember};
use crate::web::{Gate, Limits, WebState, Woken};

/// Makes everything a checked catalog describes; nothing is called yet.
///
/// # Errors
/// Every problem of templates, desks and sources, with file and line.
pub fn setup(catalog: Catalog, clock: &Arc<dyn Clock>) -> Result<Setup, Problems> {
    make(catalog, Vec::new(), clock)
}

/// Goes through everything whatever was found before, so that all problems are told at once.
fn make(catalog: Catalog, mut problems: Vec<Problem>, clock: &Arc<dyn Clock>) -> Result<Setup, Problems> {
    let catalog = Arc::new(catalog);
    let (planner, more) = Planner::gather(&catalog);
    problems.extend(more);
    let (mut desks, mut sources) = (BTreeMap::new(), BTreeMap::new());
    if let (Some(tls), Some(file)) = (&catalog.main.server.tls, &catalog.main_file)
        && let Err(words) = crate::web::Tls::load(tls, &catalog.folder)
    {
        problems.push(file.problem(&["server", "tls"], words, None));
    }
    problems.extend(crate::mailing::check(&catalog));
    for (name, edge) in &catalog.desks {
        match crate::desk::build(name, edge, &catalog.folder) {
            Ok(desk) => drop(desks.insert(name.clone(), desk)),
            Err(more) => problems.extend(more),
        }
    }
    for (name, edge) in &catalog.sources {
        match crate::source::build(name, edge, &catalog.folder, Arc::clone(clock)) {
            Ok(source) => drop(sources.insert(name.clone(), source)),
            Err(more) => problems.extend(more),
        }
    }
    for (name, source) in &sources {
        let unknown = source.orders_of().into_iter().filter(|(_, other)| !catalog.sources.contains_key(*other));
        let problem = |(key, other): (&str, &str)| {
            let known = catalog.sources.keys().map(String::as_str);
            let help = nearest(other, known).map(|best| format!("did you mean `{best}`?"));
            let file = &catalog.sources.get(name)?.file;
            Some(file.problem(&[key, "seen", "orders_of"], format!("there is no source `{other}`"), help))
        };
        problems.extend(unknown.filter_map(problem));
    }
    if problems.is_empty() {
        return Ok(Setup { catalog, planner: Arc::new(planner), sources, desks });
    }
    problems.sort();
    problems.dedup();
    Err(Problems(problems))
}

/// Loads and makes a configuration folder.
///
/// # Errors
/// Every problem found, of files, templates and edges alike, in one sorted list.
pub fn load(folder: &Path, clock: &Arc<dyn Clock>) -> Result<Setup, Problems> {
    let (catalog, problems) = Catalog::gather(folder);
    make(catalog, problems, clock)
}

/// Where the catalog's ledger is, with its password.
///
/// # Errors
/// The password cannot be read.
pub fn address(catalog: &Catalog) -> Result<Address, LedgerError> {
    let ledger = &catalog.main.ledger;
    let password = ledger.password.as_ref().map(|p| p.resolve(&catalog.folder)).transpose();
    Ok(Address::new(&ledger.url, password.map_err(|e| LedgerError::Unfit(format!("[ledger] password: {e}")))?))
}

async fn clear_up(ledger: &dyn Ledger, setup: &Setup, clock: &dyn Clock) -> Result<(), LedgerError> {
    let recovered = ledger.recover(clock.now(), setup).await?;
    if recovered > 0 {
        tracing::info!(calls = recovered, "calls under way when another process stopped: their witnesses are asked first");
    }
    Ok(())
}

/// A bridge: ledger, setup and loops, ready to serve.
#[derive(Debug)]
pub struct Bridge {
    /// The durable record.
    pub ledger: Arc<dyn Ledger>,
    /// What the current catalog makes.
    pub setup: Arc<ArcSwap<Setup>>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Wakes the loops.
    pub wake: Wake,
    /// The loops.
    pub runtime: Runtime,
    started: Timestamp,
}

impl Bridge {
    /// Opens the ledger and, where no other process can serve it, clears up what a dead one left behind.
    ///
    /// # Errors
    /// See [`LedgerError`].
    pub async fn open(setup: Setup, clock: Arc<dyn Clock>, singly: bool) -> Result<Self, LedgerError> {
        let mode = if singly { Mode::ServeSingly } else { Mode::Serve };
        Self::open_at(address(&setup.catalog)?, setup, clock, mode).await
    }

    /// As [`Bridge::open`], at this address.
    ///
    /// # Errors
    /// See [`LedgerError`].
    pub async fn open_at(address: Address, setup: Setup, clock: Arc<dyn Clock>, mode: Mode) -> Result<Self, LedgerError> {
        let instance = &setup.catalog.main.instance.name;
        let ledger: Arc<dyn Ledger> = Arc::new(SqlLedger::open(address, instance, mode).await?);
        // Before the first ticket is filed: its platform may want to know of it.
        ledger.tell_progress(setup.told_progress());
        if !ledger.is_shared() {
            clear_up(&*ledger, &setup, &*clock).await?;
        }
        let setup = Arc::new(ArcSwap::from_pointee(setup));
        let wake = Wake::default();
        let runtime = Runtime::new(Arc::clone(&ledger), Arc::clone(&setup), Arc::clone(&clock), wake.clone());
        let started = clock.now();
        Ok(Self { ledger, setup, clock, wake, runtime, started })
    }

    /// Of several processes on one ledger, says that this one is there, learns the ledger's clock, and by it clears up what dead
    /// ones left behind. Alone on it, nothing.
    ///
    /// # Errors
    /// See [`LedgerError`].
    pub async fn arrive(&self) -> Result<(), LedgerError> {
        if !self.ledger.is_shared() {
            return Ok(());
        }
        self.runtime.say_that_we_are_here().await?;
        clear_up(&*self.ledger, &self.setup.load(), &*self.clock).await
    }

    /// After a restore from a backup: nothing is sent to a desk before its witnesses say that it was not sent already.
    ///
    /// # Errors
    /// See [`LedgerError`].
    pub async fn distrust(&self) -> Result<usize, LedgerError> {
        let (setup, now) = (self.setup.load(), self.clock.now());
        let quiet = setup.desks.values().map(|d| (format!("desk/{}", d.info().name), now.plus_ms(d.info().quiet_ms())));
        self.ledger.distrust(quiet.collect(), now).await
    }

    /// What the web needs.
    #[must_use]
    pub fn web(&self, metrics: metrics_exporter_prometheus::PrometheusHandle, loopback: bool, note: Option<String>) -> WebState {
        let wake = self.wake.clone();
        WebState {
            ledger: Arc::clone(&self.ledger),
            setup: Arc::clone(&self.setup),
            clock: Arc::clone(&self.clock),
            metrics,
            started: self.started,
            loopback,
            note,
            wake: Arc::new(move |what| match what {
                Woken::Orders => wake.orders(),
                Woken::Errands => wake.errands(),
                Woken::All => wake.all(),
            }),
            gate: Arc::new(Gate::new(Limits::default())),
            breakers: self.runtime.breakers(),
            pauses: self.runtime.pauses(),
            foresight: self.runtime.foresight(),
        }
    }

    /// Swaps in another checked configuration, whole or not at all. Loops of new edges start, those of removed ones
    /// end; what was planned before keeps the versions it was made with.
    ///
    /// # Errors
    /// Something under way would lose its edge, or the change needs a restart; the old configuration goes on.
    pub async fn swap(&self, setup: Setup) -> Result<(), SwapError> {
        // Until the new one is in force nothing is planned: a ticket could be filed on a desk that is about to go.
        let between = self.runtime.between_plans().await;
        let owed = self.ledger.owed(self.clock.now()).await?;
        let refused = objections(&self.setup.load(), &setup, &owed);
        if !refused.is_empty() {
            return Err(SwapError::Refused(refused));
        }
        let old = self.setup.swap(Arc::new(setup));
        if let Err(refused) = self.stays(&old).await {
            self.setup.store(old);
            return Err(refused);
        }
        self.ledger.tell_progress(self.setup.load().told_progress());
        drop(between);
        self.runtime.follow();
        self.wake.all();
        for source in old.sources.values() {
            source.close().await;
        }
        Ok(())
    }

    /// Whether a setup that has just taken the place of `old` stays: the ledger was asked, and knows which desks these are.
    async fn stays(&self, old: &Setup) -> Result<(), SwapError> {
        let (setup, now) = (self.setup.load_full(), self.clock.now());
        // An order that arrived meanwhile may be of a source that goes.
        let owed = self.ledger.owed(now).await?;
        let refused = objections(old, &setup, &owed);
        if !refused.is_empty() {
            return Err(SwapError::Refused(refused));
        }
        Ok(remember(&*self.ledger, &setup, &owed, now).await?)
    }

    /// What the ledger still needs although the configuration has no edge for it any more, or another desk in its place.
    ///
    /// # Errors
    /// See [`LedgerError`].
    pub async fn orphans(&self) -> Result<Vec<String>, LedgerError> {
        let (setup, now) = (self.setup.load_full(), self.clock.now());
        let owed = self.ledger.owed(now).await?;
        let mut strands = orphans(&setup, &owed);
        strands.extend(moved(&*self.ledger, &setup, &owed).await?);
        remember(&*self.ledger, &setup, &owed, now).await?;
        Ok(strands)
    }

    /// Stops the loops, then the ledger.
    pub async fn close(&self) {
        if !self.runtime.stop().await {
            tracing::warn!("calls were still under way after 25 s; their witnesses are asked at the next start");
        }
        for source in self.setup.load().sources.values() {
            source.close().await;
        }
        self.ledger.close().await;
    }
}
