//! Commands, one file each. Exit codes: 0 done, 1 failed, 2 wrong use, 78 the configuration is refused.

mod act;
mod check;
mod demo;
mod doctor;
mod door;
mod findings;
mod kpi;
mod plan;
mod reconcile;
mod replay;
mod report;
mod schema;
mod serve;
mod signals;
mod source;
mod token;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::catalog::Problems;
use crate::runtime::telemetry::{self, LogFormat};

/// Carries approved access the last mile: from the identity platform, as a ticket, to the people who grant it by
/// hand, and the outcome back.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Arguments {
    /// Folder with lastmile.toml and the files beside it.
    #[arg(long, global = true, default_value = "config", env = "LASTMILE_CONFIG")]
    config: PathBuf,
    /// What to log, like `info` or `lastmile=debug`.
    #[arg(long, global = true, default_value = "warn,lastmile=info", env = "LASTMILE_LOG")]
    log: String,
    /// Logs as one JSON object a line.
    #[arg(long, global = true)]
    log_json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Try it: a sandbox platform, two sandbox desks with simulated admins, and the bridge between them.
    Demo(demo::Arguments),
    /// Run the bridge.
    Serve(serve::Arguments),
    /// Check the configuration without running it.
    Check {
        /// Also ask desks and platforms for the rights, groups and fields it will need.
        #[arg(long)]
        online: bool,
    },
    /// Print the very ticket each sample event would become, and why. Asks nobody, writes nothing.
    Plan(plan::Arguments),
    /// Everything an operator asks when something is wrong. Reads beside a running server.
    Doctor(doctor::Arguments),
    /// Try a source's set-up against its platform. Nothing is recorded, filed or told.
    Source(source::Arguments),
    /// List events that did not map, map them afresh, or throw them away.
    Replay(replay::Arguments),
    /// Act on what is parked or unclear, as on the operations page.
    Act(act::Arguments),
    /// Where platform, ledger and desks disagree, and mend it.
    Reconcile(reconcile::Arguments),
    /// Prove the KPIs against the journal, or make them afresh.
    Kpi(kpi::Arguments),
    /// Show a scheduled report as it would be sent, or send it now.
    Report(report::Arguments),
    /// Print the JSON Schema of every kind of configuration file.
    Schema,
    /// Make an access token; shown once, with the lines for lastmile.toml.
    Token {
        /// Name of its holder.
        name: String,
    },
}

/// Exit code of wrong use, the same that the command line's own parser gives.
const WRONG_USE: u8 = 2;
/// Exit code of a refused configuration (`EX_CONFIG` of sysexits.h).
const REFUSED: u8 = 78;

/// Runs the command line.
#[must_use]
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    telemetry::start_logs(&arguments.log, if arguments.log_json { LogFormat::Json } else { LogFormat::Text });
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.into()),
    };
    let result = runtime.block_on(async {
        match arguments.command {
            Command::Demo(arguments) => demo::run(&arguments).await,
            Command::Serve(what) => serve::run(&arguments.config, &what).await,
            Command::Check { online } => check::run(&arguments.config, online).await,
            Command::Plan(what) => plan::run(&arguments.config, &what),
            Command::Doctor(what) => doctor::run(&arguments.config, &what).await,
            Command::Source(what) => source::run(&arguments.config, &what).await,
            Command::Replay(what) => replay::run(&arguments.config, &what).await,
            Command::Act(what) => act::run(&arguments.config, &what).await,
            Command::Reconcile(what) => reconcile::run(&arguments.config, &what).await,
            Command::Kpi(what) => kpi::run(&arguments.config, &what).await,
            Command::Report(what) => report::run(&arguments.config, &what).await,
            Command::Schema => schema::run(),
            Command::Token { name } => token::run(&name),
        }
    });
    match result {
        Ok(code) => code,
        Err(error) => match error.downcast_ref::<Problems>() {
            Some(problems) => refused(problems),
            None => failed(&error),
        },
    }
}

#[expect(clippy::print_stderr, reason = "commands speak to a person")]
fn refused(problems: &Problems) -> ExitCode {
    let n = problems.0.len();
    eprintln!(
        "{problems}\n\nThe configuration is refused: {n} {}. Nothing was started.",
        if n == 1 { "problem" } else { "problems" }
    );
    ExitCode::from(REFUSED)
}

/// Says something on standard output. A reader who has seen enough (`| head`) is no failure.
fn say(text: &str) {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Words beside the answer: what takes its time.
fn say_aside(text: &str) {
    use std::io::Write as _;
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// The command was used wrongly, in a way that only the configuration shows.
#[expect(clippy::print_stderr, reason = "commands speak to a person")]
fn wrong_use(words: &str) -> ExitCode {
    eprintln!("lastmile: {words}");
    ExitCode::from(WRONG_USE)
}

/// Where a code is explained.
fn page(code: &str) -> String {
    format!("docs/errors/{code}.md")
}

#[expect(clippy::print_stderr, reason = "commands speak to a person")]
fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("lastmile: {error:#}");
    ExitCode::FAILURE
}
