//! The router in this process: access, scope, forms, API, problem documents, metrics, hooks.

mod access;
mod api;
mod bed;
mod codes;
mod forms;
mod hooks;
mod kpi;
mod mutual_tls;
mod openapi;
mod pages;
mod scope;
