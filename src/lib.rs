//! *lastmile* carries approved access the last mile: from the identity platform, as a ticket, to the
//! people who grant it by hand, and the outcome back.
//!
//! ```text
//! identity platform                                                        service desk
//!       │  webhook or poll                                                      ▲  │
//!       ▼                                                                create │  │ status, webhook
//!    source ──► flow/intake ──► LEDGER ──► flow/dispatch ──► plan (pure) ──► desk  │
//!       ▲                        ▲   │                                             │
//!       │                        │   └──────────── flow/sync ◄─────────────────────┘
//!       └── flow/complete ◄──────┘
//!                                └──► kpi ──► web (pages, API, metrics)
//! ```
//!
//! From the ground up, each module uses those before it and never those after it (a test reads every `crate::` path):
//!
//! `model` · `sheet` · `http` · `catalog` · `plan` · `ledger` · `source` · `desk` · `flow` · `kpi` · `mailing` · `sandbox`
//! `web` · `runtime` · `bridge` · `cli`

/// Composition root: the only file that knows every concrete type.
pub mod bridge;
/// Configuration: applications, admin groups, desks, sources, secrets; loaded and cross-checked.
pub mod catalog;
/// Commands, one file each.
pub mod cli;
/// Service desks: Jira, ServiceNow, and desks declared in TOML.
pub mod desk;
/// The stages: intake, dispatch, sync, complete. They meet only in the ledger.
pub mod flow;
/// The only HTTP client, verified inbound requests, and the verdict of a call.
pub mod http;
/// Measures of approval and provisioning time, kept apart; evidence of single orders.
pub mod kpi;
/// The durable record: whole transactions in the domain's words.
pub mod ledger;
/// Reports sent by a schedule, by e-mail or to a webhook.
pub mod mailing;
/// Pure words and rules: assignment, ticket, errand, outcome, life cycle, key, retry, clock.
pub mod model;
/// Assignment × catalog → draft: routing, due time, templates, markup, lint. No I/O.
pub mod plan;
/// Worker loops, cron ticks, reload, graceful stop, telemetry.
pub mod runtime;
/// Stateful fakes of a platform and of desks, with faults: demo, tests and load runs share them.
pub mod sandbox;
/// Documents of tables, written as CSV, workbook, page and plain text.
pub mod sheet;
/// Identity platforms: webhook and polled REST list, both declared by a mapping; One Identity Manager.
pub mod source;
/// Hooks, pages, JSON API, access, health, metrics.
pub mod web;
