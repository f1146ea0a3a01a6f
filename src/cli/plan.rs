//! `lastmile plan FILE`: the very ticket each sample event would become, and why. No network, no ledger.

use std::fmt::Write as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use serde_json::Value;

use super::{page, say, wrong_use};
use crate::bridge;
use crate::desk::{Desk, Preview};
use crate::flow::Setup;
use crate::model::clock::SystemClock;
use crate::model::{Assignment, Clock, Timestamp};
use crate::plan::markup::{SHORTENED, parse, to_plain};
use crate::plan::{Moment, Planned, PlannedTicket};
use crate::source::{EventContent, Source};

/// What is to be planned.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// One event as JSON, a JSON array of them, or one a line; `-` reads standard input.
    file: PathBuf,
    /// The source they come from; needed where several are configured.
    #[arg(long)]
    source: Option<String>,
}

/// Plans every event of the file; 1 when one of them would need a person.
pub(super) fn run(folder: &Path, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let setup = bridge::load(folder, &clock)?;
    let source = match choose(&setup, arguments.source.as_deref()) {
        Ok(source) => source,
        Err(words) => return Ok(wrong_use(&words)),
    };
    let documents = documents(&read(&arguments.file)?).with_context(|| format!("{}", arguments.file.display()))?;
    let plan = Plan { setup: &setup, now: clock.now() };
    let (mut out, mut wrong) = (String::new(), 0);
    for (n, document) in documents.iter().enumerate() {
        let contents = source.sample(document);
        let _ = writeln!(out, "event {} of {}", n + 1, documents.len());
        if contents.is_empty() {
            out.push_str("  not for us: the mapping's `only` leaves it out\n");
        }
        for content in &contents {
            wrong += usize::from(!plan.show(content, &mut out));
        }
        out.push('\n');
    }
    let _ = match wrong {
        0 => writeln!(out, "Every event is understood."),
        n => writeln!(out, "{n} of them would need a person: see WRONG above."),
    };
    say(&out);
    Ok(if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

pub(super) fn choose<'a>(setup: &'a Setup, wanted: Option<&str>) -> Result<&'a dyn Source, String> {
    let names = || setup.sources.keys().cloned().collect::<Vec<_>>().join(", ");
    match wanted {
        _ if setup.sources.is_empty() => Err("no source is configured: describe one in sources/NAME.toml".to_owned()),
        Some(name) => match setup.sources.get(name) {
            Some(source) => Ok(&**source),
            None => Err(format!("there is no source `{name}`; configured are: {}", names())),
        },
        None if setup.sources.len() > 1 => Err(format!("say which source with --source; configured are: {}", names())),
        None => setup.sources.values().next().map(|source| &**source).ok_or_else(String::new),
    }
}

fn read(file: &Path) -> anyhow::Result<String> {
    if file.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("standard input")?;
        return Ok(text);
    }
    std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}

/// One document, an array of them, or one a line.
fn documents(text: &str) -> anyhow::Result<Vec<Value>> {
    let whole = match serde_json::from_str::<Value>(text) {
        Ok(Value::Array(items)) => return Ok(items),
        Ok(one) => return Ok(vec![one]),
        Err(error) => error,
    };
    let lines: Vec<(usize, &str)> = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).collect();
    // Several lines of which the first is whole: one event a line. Otherwise the place in the whole text helps more.
    let by_line = lines.len() > 1 && lines.first().is_some_and(|(_, line)| serde_json::from_str::<Value>(line).is_ok());
    anyhow::ensure!(by_line, "it is not JSON: line {}, column {}", whole.line(), whole.column());
    lines
        .into_iter()
        .map(|(n, line)| {
            serde_json::from_str(line).map_err(|e| anyhow::anyhow!("line {} is not JSON: column {}", n + 1, e.column()))
        })
        .collect()
}

/// What events become, as words.
pub(super) struct Plan<'a> {
    pub(super) setup: &'a Setup,
    pub(super) now: Timestamp,
}

impl Plan<'_> {
    /// Adds what becomes of one event; false when a person would be needed.
    pub(super) fn show(&self, content: &EventContent, out: &mut String) -> bool {
        match content {
            EventContent::Unmappable { problem, .. } => {
                let _ = writeln!(out, "  WRONG mapping: {problem}");
                let _ = writeln!(out, "  It would be kept in quarantine. Mend the [mapping] of the source, then try again.");
                false
            }
            EventContent::Withdrawn { external_id, operation, .. } => {
                let what = operation.map_or("everything", crate::model::Operation::as_str);
                let _ = writeln!(out, "  takes back {what} of order {external_id}: no ticket of its own");
                let _ = writeln!(out, "  What was not filed yet is dropped; an open ticket is told.");
                true
            }
            EventContent::Left { .. } => {
                let _ = writeln!(out, "  says that a person left: no ticket of its own");
                let _ =
                    writeln!(out, "  Their open orders are taken back; what is to be taken from them goes ahead of everything.");
                true
            }
            EventContent::Seen { of, external_id, operation, .. } => {
                let what = operation.map_or("everything", crate::model::Operation::as_str);
                let _ = writeln!(
                    out,
                    "  says that the application itself shows {what} of order {external_id} of {of}: no ticket of its own"
                );
                let _ = writeln!(out, "  What was closed as carried out and reported is proven by it.");
                true
            }
            EventContent::Order(order) => self.order(order, out),
        }
    }

    fn order(&self, order: &Assignment, out: &mut String) -> bool {
        let _ = writeln!(
            out,
            "  order       {} of source {}: {} {} on {} ({})",
            order.external_id,
            order.source,
            order.operation.human().to_lowercase(),
            order.subject(),
            order.application.name,
            order.application.id
        );
        let mut at = Moment { now: self.now, received_at: self.now, lane_ticket: None, cycle: 1, leaver: false };
        let due = self.setup.planner.due_words(order, &at);
        let when = due.until.map_or_else(|| "at once".to_owned(), |until| format!("on {}", until.human()));
        let _ = writeln!(out, "  filed       {when}: {}", due.why);
        if order.operation.is_revocation() {
            out.push_str("  goes first  it takes access away\n");
        }
        // What waits is shown as it will be when its time comes.
        at.now = due.until.unwrap_or(at.now);
        match self.setup.planner.decide(order, &at) {
            Planned::File { ticket, eligible_at } => {
                let _ = writeln!(out, "  clock       the admin group's time runs from {}", eligible_at.human());
                self.ticket(&ticket, out)
            }
            Planned::Park { code, reason, .. } => {
                let _ = writeln!(out, "  WRONG {code}: {reason}\n  It would wait for a person; see {}", page(code));
                false
            }
            Planned::Wait { until, .. } => {
                let _ = writeln!(out, "  waits until {}", until.human());
                true
            }
        }
    }

    fn ticket(&self, ticket: &PlannedTicket, out: &mut String) -> bool {
        let draft = &ticket.draft;
        let _ = writeln!(out, "  goes to     {}", ticket.route);
        let _ = writeln!(out, "  key         {}", draft.key);
        let _ = writeln!(out, "  priority    {} of 0 (can wait) to 3 (urgent)", draft.priority);
        if let Some(due) = draft.due_at {
            let _ = writeln!(out, "  wanted by   {}", due.human());
        }
        let _ = writeln!(out, "  template    {} (version {})", ticket.template, ticket.template_version);
        if !draft.fields.is_empty() {
            let names: Vec<&str> = draft.fields.keys().map(String::as_str).collect();
            let _ = writeln!(out, "  fields      {} (from the catalog)", names.join(", "));
        }
        let Some(desk) = self.setup.desks.get(&ticket.desk) else {
            let _ = writeln!(out, "  WRONG E-ROUTE: desk `{}` is not configured; see {}", ticket.desk, page("E-ROUTE"));
            return false;
        };
        match desk.preview(draft) {
            Ok(preview) => {
                let _ = writeln!(out, "  shortened   {}", shortened(&**desk, ticket, &preview));
                let _ = writeln!(out, "\n  as people read it\n{}\n", indented(&draft.summary));
                let _ = writeln!(out, "{}", indented(&to_plain(&parse(&draft.body), usize::MAX)));
                let _ = writeln!(out, "\n  as it is sent ({}): {}\n{}", preview.language, preview.call, indented(&preview.body));
                true
            }
            Err(error) => {
                let _ = writeln!(out, "  WRONG {error}\n  See {}", page(error.code()));
                false
            }
        }
    }
}

/// What does not fit the desk, with its lengths.
fn shortened(desk: &dyn Desk, ticket: &PlannedTicket, preview: &Preview) -> String {
    let info = desk.info();
    let mut cut = Vec::new();
    let summary = ticket.draft.summary.chars().count();
    if summary > info.max_summary {
        cut.push(format!("the summary has {summary} characters, the desk takes {}", info.max_summary));
    }
    if preview.body.contains(SHORTENED) {
        cut.push(format!("the text is longer than the {} characters the desk takes", info.max_body));
    }
    if cut.is_empty() { "nothing".to_owned() } else { cut.join("; ") }
}

fn indented(text: &str) -> String {
    text.trim_end().lines().map(|line| format!("    {line}").trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}
