//! How a command changes something: through the running server's API, or with the lock in its own hands when none runs.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use crate::bridge;
use crate::flow::{Pauses, Setup, intake, reconcile};
use crate::http::client::ClientSettings;
use crate::http::{Answer, Call, HttpClient};
use crate::ledger::{Acted, Action, Ledger as _, LedgerError, Mode, Recorded, SqlLedger, is_postgres, path_of};
use crate::model::clock::SystemClock;
use crate::model::{Clock, Id};

/// Who acts where the server does not know us by a token.
const ACTOR: &str = "command line";
/// The server is near: an answer that takes longer will not come.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Where the running server is and how it knows us.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct DoorArguments {
    /// Address of the running server, where it is not the one lastmile.toml listens on.
    #[arg(long)]
    server: Option<String>,
    /// Token of an operator, where access is configured.
    #[arg(long, env = "LASTMILE_TOKEN", hide_env_values = true)]
    token: Option<SecretString>,
}

/// What is to be done.
#[derive(Debug, Clone)]
pub(super) enum Deed {
    /// In the ledger alone.
    Act(Action),
    /// A quarantined event mapped afresh.
    Replay(Id),
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Did {
    /// It was done.
    pub(super) done: bool,
    /// In words.
    pub(super) words: String,
}

impl Did {
    fn done(words: impl Into<String>) -> Self {
        Self { done: true, words: words.into() }
    }

    fn not(words: impl Into<String>) -> Self {
        Self { done: false, words: words.into() }
    }
}

/// The way to the ledger.
pub(super) enum Door {
    /// A server runs: it does it.
    Server(Server),
    /// None runs and we hold the lock; or a PostgreSQL server keeps the ledger, where many may write.
    Own(Box<SqlLedger>, Box<Setup>),
}

/// A running server's API.
pub(super) struct Server {
    client: HttpClient,
    base: String,
    token: Option<SecretString>,
}

impl Door {
    /// Opens the way that is there.
    pub(super) async fn open(folder: &Path, arguments: &DoorArguments) -> anyhow::Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let setup = bridge::load(folder, &clock)?;
        if arguments.server.is_some() {
            return Ok(Self::Server(Server::new(&setup, arguments)?));
        }
        let main = &setup.catalog.main;
        ledger_path(&setup)?;
        match SqlLedger::open(bridge::address(&setup.catalog)?, &main.instance.name, Mode::Serve).await {
            Ok(ledger) => Ok(Self::Own(Box::new(ledger), Box::new(setup))),
            Err(LedgerError::Busy(_)) => Ok(Self::Server(Server::new(&setup, arguments)?)),
            Err(error) => Err(error.into()),
        }
    }

    /// Carries it out.
    pub(super) async fn carry_out(&self, deed: Deed) -> anyhow::Result<Did> {
        match self {
            Self::Server(server) => server.carry_out(&deed).await,
            Self::Own(ledger, setup) => own(ledger, setup, deed).await,
        }
    }

    /// Gives the lock back.
    pub(super) async fn close(self) {
        if let Self::Own(ledger, _) = self {
            ledger.close().await;
        }
    }
}

/// Where the ledger's file lies, if it is there; `None` where a PostgreSQL server keeps it.
pub(super) fn ledger_path(setup: &Setup) -> anyhow::Result<Option<PathBuf>> {
    let url = &setup.catalog.main.ledger.url;
    if is_postgres(url) {
        return Ok(None);
    }
    let path = path_of(url);
    anyhow::ensure!(
        path.is_file(),
        "there is no ledger at {} ([ledger] url; a relative path starts at the working folder): `lastmile serve` makes it",
        path.display()
    );
    Ok(Some(path))
}

/// Address of the server that the configuration describes: any address of this machine is reached by loopback.
pub(super) fn server_address(setup: &Setup) -> String {
    let listen = &setup.catalog.main.server.listen;
    match listen.parse::<std::net::SocketAddr>() {
        Ok(address) if address.ip().is_unspecified() => format!("http://127.0.0.1:{}", address.port()),
        _ => format!("http://{listen}"),
    }
}

async fn acted(ledger: &SqlLedger, setup: &Setup, action: Action) -> anyhow::Result<Acted> {
    Ok(match action {
        Action::Repair { finding } => reconcile::repair(ledger, setup, finding, ACTOR, &Pauses::default(), &SystemClock).await?,
        other => ledger.act(other, ACTOR, SystemClock.now()).await?,
    })
}

async fn own(ledger: &SqlLedger, setup: &Setup, deed: Deed) -> anyhow::Result<Did> {
    let now = SystemClock.now();
    Ok(match deed {
        Deed::Act(action) => match acted(ledger, setup, action).await? {
            Acted::Done => Did::done("done; `lastmile serve` goes on from there"),
            Acted::NotFound => Did::not("there is no such thing"),
            Acted::NotNow(why) => Did::not(why),
        },
        Deed::Replay(id) => match intake::replay(ledger, setup, id, ACTOR, now).await? {
            None => Did::not("there is no such quarantined event"),
            Some(Recorded::Quarantined { .. }) => Did::not("it still does not map: mend the mapping of its source first"),
            Some(recorded) => Did::done(replayed(&serde_json::to_value(&recorded)?)),
        },
    })
}

/// The same words for the server's answer and the ledger's own.
fn replayed(answer: &Value) -> String {
    let id = answer.get("assignment").or_else(|| answer.get("id")).and_then(Value::as_str);
    let order = id.map(|id| format!(" (assignment {id})")).unwrap_or_default();
    match answer.get("result").and_then(Value::as_str).unwrap_or_default() {
        "new" => format!("it is an order now{order}"),
        "changed" => format!("it changed an order{order}"),
        "unchanged" | "repeat" => format!("the order was there already{order}"),
        "withdrawn" => "it took an order back".to_owned(),
        _ => "it takes back an order that never came: nothing to do".to_owned(),
    }
}

impl Server {
    fn new(setup: &Setup, arguments: &DoorArguments) -> anyhow::Result<Self> {
        let base = arguments.server.clone().unwrap_or_else(|| server_address(setup));
        let settings = ClientSettings { timeout: TIMEOUT, ..ClientSettings::for_edge("the running lastmile") };
        let client = HttpClient::new(settings).map_err(anyhow::Error::msg)?;
        Ok(Self { client, base: base.trim_end_matches('/').to_owned(), token: arguments.token.clone() })
    }

    /// What the API says at an address.
    pub(super) async fn ask(&self, path: &str) -> anyhow::Result<Value> {
        let answer = self.send(Call::new("GET", format!("{}{path}", self.base))).await?;
        anyhow::ensure!(answer.is_success(), "the server at {} answered {}", self.base, answer.status);
        answer.json().context("the server's answer is not JSON")
    }

    /// Does what needs no words.
    pub(super) async fn begin(&self, path: &str) -> anyhow::Result<()> {
        let answer = self.send(Call::new("POST", format!("{}{path}", self.base)).json(json!({}))).await?;
        let said = answer.json().unwrap_or(Value::Null);
        let detail = said.get("detail").and_then(Value::as_str).unwrap_or("no reason given");
        anyhow::ensure!(answer.is_success(), "the server at {} answered {}: {detail}", self.base, answer.status);
        Ok(())
    }

    async fn send(&self, mut call: Call) -> anyhow::Result<Answer> {
        if let Some(token) = &self.token {
            call.headers.push(("authorization".to_owned(), format!("Bearer {}", token.expose_secret())));
        }
        self.client.send(call).await.with_context(|| {
            format!("a lastmile holds the ledger, but nothing answers at {}: say where it is with --server", self.base)
        })
    }

    async fn carry_out(&self, deed: &Deed) -> anyhow::Result<Did> {
        let (path, body) = request(deed);
        let answer = self.send(Call::new("POST", format!("{}{path}", self.base)).json(body)).await?;
        let said = answer.json().unwrap_or(Value::Null);
        let detail = said.get("detail").and_then(Value::as_str);
        match answer.status {
            200..=299 if matches!(deed, Deed::Replay(_)) => Ok(Did::done(replayed(&said))),
            200..=299 => Ok(Did::done("done")),
            401 | 403 => anyhow::bail!(
                "the server at {} does not let us ({}): give an operator's token with --token or LASTMILE_TOKEN",
                self.base,
                detail.unwrap_or("no reason given")
            ),
            404 | 409 | 422 => Ok(Did::not(detail.unwrap_or("there is no such thing"))),
            status => anyhow::bail!("the server at {} answered {status}: {}", self.base, detail.unwrap_or("no reason given")),
        }
    }
}

fn request(deed: &Deed) -> (String, Value) {
    let none = json!({});
    match deed {
        Deed::Replay(id) => (format!("/api/v1/quarantine/{id}/replay"), none),
        Deed::Act(Action::Repair { finding }) => (format!("/api/v1/findings/{finding}/repair"), none),
        Deed::Act(Action::Dismiss { finding }) => (format!("/api/v1/findings/{finding}/dismiss"), none),
        Deed::Act(Action::Discard { quarantined }) => (format!("/api/v1/quarantine/{quarantined}/discard"), none),
        Deed::Act(Action::RetryErrand { errand }) => (format!("/api/v1/errands/{errand}/retry"), none),
        Deed::Act(Action::NoTicket { errand }) => (format!("/api/v1/errands/{errand}/no-ticket"), none),
        Deed::Act(Action::Drop { errand }) => (format!("/api/v1/errands/{errand}/drop"), none),
        Deed::Act(Action::TicketIs { errand, ref_id, ref_number }) => {
            (format!("/api/v1/errands/{errand}/ticket"), json!({"id": ref_id, "number": ref_number}))
        }
        Deed::Act(Action::Unpark { assignment }) => (format!("/api/v1/assignments/{assignment}/unpark"), none),
        Deed::Act(Action::Decide { assignment, outcome, reason }) => {
            (format!("/api/v1/assignments/{assignment}/decide"), json!({"outcome": outcome, "reason": reason}))
        }
    }
}
