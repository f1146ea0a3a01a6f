//! A platform that uses us as its desk, between its fake and a source.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use lastmile::flow::{answer, intake};
use lastmile::http::{CallError, Inbound};
use lastmile::model::clock::FakeClock;
use lastmile::sandbox::SandboxSailPoint;
use lastmile::sandbox::sailpoint::Asked;
use serde_json::Value;

use super::source_bench::Bench;

pub(super) const FILE: &str =
    "kind = \"sailpoint\"\nauth = { basic = { user = \"sailpoint\", password = { file = \"secrets/sailpoint\" } } }\n";

/// The fake and its line.
pub(super) struct Asking {
    pub(super) fake: SandboxSailPoint,
    /// Nobody calls.
    pub(super) away: AtomicBool,
    /// So many answers are lost on their way.
    pub(super) forget: AtomicU64,
}

impl Asking {
    pub(super) fn new(clock: Arc<FakeClock>) -> Self {
        Self { fake: SandboxSailPoint::new(clock), away: AtomicBool::new(false), forget: AtomicU64::new(0) }
    }

    /// Every call that is due, once.
    pub(super) async fn round(&self, bench: &Bench) -> Result<(), CallError> {
        if self.away.load(Ordering::SeqCst) {
            return Err(CallError::retry("E-CONNECT", "nobody asks"));
        }
        for asked in self.fake.due() {
            let (status, body) = call(bench, &asked).await;
            let lost = self.forget.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok();
            if !lost {
                self.fake.answered(&asked, status, &body);
            }
        }
        Ok(())
    }

    /// Rounds until the platform knows how a request ended.
    pub(super) async fn ask_until_told(&self, bench: &Bench, id: &str) -> Result<(), CallError> {
        for _ in 0..4 {
            self.round(bench).await?;
            if self.fake.done(id).is_some() {
                return Ok(());
            }
        }
        Err(CallError::retry("E-TEST", "it was not told"))
    }
}

async fn call(bench: &Bench, asked: &Asked) -> (u16, Value) {
    let inbound = Inbound {
        method: asked.method.to_owned(),
        path: format!("/hooks/iga{}", asked.path),
        query: BTreeMap::new(),
        headers: asked.headers.clone(),
        body: asked.body.clone(),
        peer: None,
        client_certificate: None,
        received_at: bench.now(),
    };
    if asked.method != "GET" {
        intake::take(&bench.ledger, &*bench.source, inbound.clone(), bench.now()).await.unwrap();
    }
    let question = bench.source.question(inbound, bench.now()).unwrap().unwrap();
    let reply = answer::answer(&bench.ledger, &*bench.source, &question, bench.now()).await.unwrap();
    reply.map_or((404, Value::Null), |reply| (reply.status, reply.body))
}
