//! `lastmile demo --once`: one assignment from order to completion.

use std::process::ExitCode;
use std::time::Duration;

use super::SEED;
use super::stage::Stage;
use crate::cli::say;
use crate::model::Clock;
use crate::sandbox::{Admins, Pace, company};

/// How long it waits for the completion.
const WITHIN: Duration = Duration::from_secs(60);

/// Carries one order through and says what happened.
pub(super) async fn once(stage: &Stage, clock: &dyn Clock) -> ExitCode {
    let quick = Pace { take_ms: 200, work_ms: 300, waits: 0, not_fulfilled: 0 };
    let mut admins = [(Admins::new(SEED, quick), stage.jira.state()), (Admins::new(SEED + 1, quick), stage.servicenow.state())];
    let Some(order) = place_one(stage, clock) else {
        say("the sandbox placed no order\n");
        return ExitCode::FAILURE;
    };
    say(&format!("1. the platform approved order {order}\n"));
    let mut ticket_shown = false;
    let deadline = clock.boot_ms() + i64::try_from(WITHIN.as_millis()).unwrap_or(i64::MAX);
    while clock.boot_ms() < deadline {
        for (admins, state) in &mut admins {
            admins.step(state, clock.now());
            if let (false, Some(ticket)) = (ticket_shown, state.all().first()) {
                say(&format!("2. ticket {} was filed: {}\n", ticket.number, ticket.summary));
                ticket_shown = true;
            }
        }
        if let Some(completion) = stage.platform.state().completions_of(&order).first() {
            let outcome = completion["outcome"].as_str().unwrap_or("?");
            say(&format!("3. its admin closed it, and the platform heard: {outcome}\n"));
            return ExitCode::SUCCESS;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    say(&format!("no completion within {} s\n", WITHIN.as_secs()));
    ExitCode::FAILURE
}

/// An order that is due now: nothing about the future.
fn place_one(stage: &Stage, clock: &dyn Clock) -> Option<String> {
    let mut document = company::order(SEED, 1, clock.now());
    let fields = document.as_object_mut()?;
    for field in ["validFrom", "validUntil"] {
        fields.remove(field);
    }
    Some(stage.platform.state().place(document, clock.now()))
}
