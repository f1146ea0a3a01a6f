//! `lastmile act`: what the operations page offers, on the command line.

use std::path::Path;
use std::process::ExitCode;

use super::door::{Deed, Door, DoorArguments};
use super::say;
use crate::ledger::Action;
use crate::model::{Id, Outcome};

/// What is to be done.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    door: DoorArguments,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Try a parked call again.
    Retry {
        /// The errand, as the operations page shows it.
        errand: Id,
    },
    /// Lift the mark of a parked assignment: it is planned again, or looked at again.
    Unpark {
        /// The assignment.
        assignment: Id,
    },
    /// An unclear create did make this ticket.
    TicketIs {
        /// The errand.
        errand: Id,
        /// The desk's own id of the ticket.
        id: String,
        /// The number people see, where that is another.
        number: Option<String>,
    },
    /// An unclear create certainly made no ticket: it is sent again. A wrong word here doubles the ticket.
    NoTicket {
        /// The errand.
        errand: Id,
    },
    /// A parked comment, closing or report is not sent any more; its order stays as it is.
    Drop {
        /// The errand.
        errand: Id,
    },
    /// Give an assignment an outcome by hand; the platform hears it.
    Decide {
        /// The assignment.
        assignment: Id,
        /// fulfilled, partly_fulfilled, already_in_place, not_possible, rejected or cancelled.
        #[arg(value_parser = outcome)]
        outcome: Outcome,
        /// Why; the platform hears it, and it is erased with the names.
        reason: String,
    },
}

fn outcome(word: &str) -> Result<Outcome, String> {
    Outcome::parse(word).ok_or_else(|| format!("there is no outcome `{word}`"))
}

impl What {
    fn action(&self) -> Action {
        match self {
            Self::Retry { errand } => Action::RetryErrand { errand: *errand },
            Self::Unpark { assignment } => Action::Unpark { assignment: *assignment },
            Self::TicketIs { errand, id, number } => {
                Action::TicketIs { errand: *errand, ref_id: id.clone(), ref_number: number.clone().unwrap_or_else(|| id.clone()) }
            }
            Self::NoTicket { errand } => Action::NoTicket { errand: *errand },
            Self::Drop { errand } => Action::Drop { errand: *errand },
            Self::Decide { assignment, outcome, reason } => {
                Action::Decide { assignment: *assignment, outcome: *outcome, reason: reason.clone() }
            }
        }
    }
}

/// Carries it out; 1 when it could not be done now.
pub(super) async fn run(folder: &Path, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let door = Door::open(folder, &arguments.door).await?;
    let did = door.carry_out(Deed::Act(arguments.what.action())).await;
    door.close().await;
    let did = did?;
    say(&format!("{}{}\n", if did.done { "" } else { "NOT DONE: " }, did.words));
    Ok(if did.done { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
