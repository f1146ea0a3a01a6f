//! Which ledger a part is run on.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use crate::postgres::server::Server;

/// A file, or databases of a server.
#[derive(Clone, Copy)]
pub enum Engine<'a> {
    /// A file in a folder.
    Sqlite,
    /// A database of this server.
    Postgres(&'a Server),
}

/// A place for one ledger.
pub struct Store<'a> {
    /// What keeps it.
    pub engine: Engine<'a>,
    /// Its address.
    pub url: String,
    /// Name of its database.
    pub name: String,
}

impl<'a> Engine<'a> {
    /// An empty place: a file in this folder, or a database of this name, in place of what it was.
    pub async fn fresh(self, folder: &Path, name: &str) -> anyhow::Result<Store<'a>> {
        let url = match self {
            Self::Sqlite => format!("sqlite:{}", folder.join("ledger.db").display()),
            Self::Postgres(server) => {
                server.copy("template1", name).await?;
                server.url(name)
            }
        };
        Ok(Store { engine: self, url, name: name.to_owned() })
    }

    /// Waits until what was written is cleared up after: a server does that beside the next work, of however much there was.
    pub async fn come_to_rest(self) -> anyhow::Result<()> {
        match self {
            Self::Sqlite => Ok(()),
            Self::Postgres(server) => server.come_to_rest().await,
        }
    }

    /// Processor time of this process and of what keeps the ledger so far, seconds.
    pub fn processor_s(self) -> anyhow::Result<f64> {
        let t = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        let own = Duration::new(t.tv_sec.unsigned_abs(), u32::try_from(t.tv_nsec)?).as_secs_f64();
        match self {
            Self::Sqlite => Ok(own),
            Self::Postgres(server) => Ok(own + server.processor_s()?),
        }
    }
}

impl fmt::Display for Engine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if matches!(self, Self::Sqlite) { "SQLite" } else { "PostgreSQL" })
    }
}
