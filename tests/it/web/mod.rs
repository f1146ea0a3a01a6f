//! The router in this process: access, scope, forms, API, problem documents, metrics, hooks.

mod access;
mod api;
pub mod bed;
mod codes;
mod exports;
mod forms;
mod hooks;
mod kpi;
mod mutual_tls;
mod openapi;
mod pages;
mod scope;
