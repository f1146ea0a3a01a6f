//! One test binary: journeys through the bridge, contracts, real components, and what people read.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall fail where it stands")]

mod adding_a_desk;
mod architecture;
mod catalog;
mod commands;
mod contract;
mod demo;
mod desk_reference;
mod docs;
mod engines;
mod generated;
mod hooks;
mod intake;
#[expect(clippy::duplicate_mod, reason = "one contract, two engines")]
#[path = "intake.rs"]
mod intake_on_postgres;
mod journey;
mod journey_entra;
#[expect(clippy::duplicate_mod, reason = "one contract, two engines")]
#[path = "journey.rs"]
mod journey_on_postgres;
mod journey_one_identity;
mod journey_platforms;
mod journey_tried;
mod kpi;
mod kpi_commands;
#[expect(clippy::duplicate_mod, reason = "one contract, two engines")]
#[path = "kpi.rs"]
mod kpi_on_postgres;
mod ledger;
mod ledger_bed;
mod ledger_on_postgres;
mod licences;
mod mailing;
mod migrations;
mod model;
mod monitoring;
mod orders;
mod plan;
mod platform_bed;
mod program;
mod real;
mod replicas;
mod trials;
mod web;
