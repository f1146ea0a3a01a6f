//! The edge: one outbound client, verified inbound requests, the verdict of a call.

pub mod certificate;
pub mod client;
pub mod gate;
pub mod inbound;
pub mod oauth;
pub mod signature;
pub mod verdict;

pub use certificate::ClientCertificate;
pub use client::{Answer, Call, HttpClient};
pub use inbound::{Inbound, Verified};
pub use verdict::CallError;
