//! Desks and platforms: what may be promised, and (`--online`) whether they are there and agree about the time.

use std::time::Duration;

use crate::catalog::EdgeFile;
use crate::cli::findings::finding;
use crate::cli::page;
use crate::desk::{Desk, Level};
use crate::flow::Setup;
use crate::http::client::ClientSettings;
use crate::http::{Call, CallError, HttpClient};
use crate::model::finding::{Finding, Grade};
use crate::model::{Clock, Timestamp};
use crate::source::Source;

/// For the call that only reads a clock.
const TIMEOUT: Duration = Duration::from_secs(10);
/// A `Date` has whole seconds and travels: less than this is no difference.
const CLOSE_MS: i64 = 3_000;
/// Signatures are refused beyond this.
const FAR_MS: i64 = 300_000;

/// Per edge.
pub(super) async fn findings(setup: &Setup, online: bool, clock: &dyn Clock) -> Vec<(String, Vec<Finding>)> {
    let mut all = Vec::new();
    for (name, desk) in &setup.desks {
        let mut findings = vec![level(&**desk)];
        if online {
            findings.push(reached(desk.probe().await));
            findings.extend(clock_of(setup.catalog.desks.get(name), clock).await);
        }
        all.push((format!("desk {name}"), findings));
    }
    for (name, source) in &setup.sources {
        let mut findings: Vec<Finding> = told(&**source).into_iter().collect();
        if online {
            findings.push(reached(source.probe().await));
            findings.extend(clock_of(setup.catalog.sources.get(name), clock).await);
            source.close().await;
        }
        if !findings.is_empty() {
            all.push((format!("source {name}"), findings));
        }
    }
    all
}

/// What its platform cannot carry, or is not told: shown on our pages only.
fn told(source: &dyn Source) -> Option<Finding> {
    let parts = source.info().capabilities.shown_here_only();
    (!parts.is_empty()).then(|| finding(Grade::Good, "shown here only", parts.join(", ")))
}

fn level(desk: &dyn Desk) -> Finding {
    let info = desk.info();
    let grade = if info.level == Level::D0 { Grade::Warning } else { Grade::Good };
    let quiet = match info.level {
        Level::D3 => String::new(),
        _ => format!(" (quiet period {} s)", info.quiet_ms() / 1000),
    };
    finding(grade, &format!("level {:?}", info.level), format!("{}{quiet}", info.level.words()))
}

fn reached(probe: Result<(), CallError>) -> Finding {
    match probe {
        Ok(()) => finding(Grade::Good, "connection", "it answers and lets us in"),
        Err(error) => finding(Grade::Bad, "connection", format!("{error}; see {}", page(error.code()))),
    }
}

/// Reads the clock of the server behind the edge's address, without credentials.
async fn clock_of(edge: Option<&EdgeFile>, clock: &dyn Clock) -> Option<Finding> {
    let address = address_of(&edge?.file.parse::<toml::Table>().ok()?)?;
    let settings = ClientSettings { timeout: TIMEOUT, ..ClientSettings::for_edge("its clock") };
    let client = HttpClient::new(settings).ok()?;
    let before = clock.now();
    let answer = client.send(Call::new("HEAD", address)).await;
    let middle = before.plus_ms(clock.now().ms_since(before) / 2);
    let said = answer.ok().and_then(|a| chrono::DateTime::parse_from_rfc2822(a.header("date")?).ok());
    Some(match said {
        None => finding(Grade::Warning, "clock", "it does not tell its time"),
        Some(theirs) => skew(Timestamp::from(theirs.to_utc()).ms_since(middle)),
    })
}

fn skew(ms: i64) -> Finding {
    // Whole seconds are cut off, so that an exact clock seems half a second late.
    let ms = ms + 500;
    let seconds = ms.abs() / 1000;
    let side = if ms > 0 { "ahead of" } else { "behind" };
    match ms.abs() {
        0..=CLOSE_MS => finding(Grade::Good, "clock", "agrees with ours"),
        n if n < FAR_MS => finding(
            Grade::Warning,
            "clock",
            format!("{seconds} s {side} ours: times in reports are off by that; keep both on NTP"),
        ),
        _ => finding(
            Grade::Bad,
            "clock",
            format!("{seconds} s {side} ours: signatures are refused beyond 300 s; set the clocks (NTP)"),
        ),
    }
}

/// A desk's `url`; of a source the address of its list or of its reports.
fn address_of(file: &toml::Table) -> Option<String> {
    let text = |table: &toml::Table| table.get("url").and_then(|v| v.as_str()).map(str::to_owned);
    let below = |name: &str| file.get(name).and_then(|v| v.as_table()).and_then(text);
    let address = text(file).or_else(|| below("poll")).or_else(|| below("report"))?;
    // Only where it lives: the path might have an effect, a query might hold a secret.
    url::Url::parse(&address).ok().map(|url| url.origin().ascii_serialization())
}
