//! A request from outside, raw and then verified.

use std::collections::BTreeMap;

use super::certificate::ClientCertificate;
use crate::model::Timestamp;

/// What arrived, before anybody believed a word of it.
#[derive(Clone)]
pub struct Inbound {
    /// `POST` …
    pub method: String,
    /// Path without query.
    pub path: String,
    /// Decoded query parameters.
    pub query: BTreeMap<String, String>,
    /// Header names in lower case.
    pub headers: BTreeMap<String, String>,
    /// Raw bytes: signatures are over these.
    pub body: Vec<u8>,
    /// Address of the peer.
    pub peer: Option<std::net::IpAddr>,
    /// The client's certificate, verified by our own listener.
    pub client_certificate: Option<ClientCertificate>,
    /// When the last byte arrived.
    pub received_at: Timestamp,
}

impl std::fmt::Debug for Inbound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Inbound({} {}, {} bytes)", self.method, self.path, self.body.len())
    }
}

impl Inbound {
    /// A header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// An inbound request whose sender was verified; only `http/signature.rs` makes one.
#[derive(Debug, Clone)]
pub struct Verified {
    inbound: Inbound,
    delivery_id: Option<String>,
    body_only: bool,
}

impl Verified {
    pub(super) fn new(inbound: Inbound, delivery_id: Option<String>, body_only: bool) -> Self {
        Self { inbound, delivery_id, body_only }
    }

    /// A signature over the body was verified, which says nothing of the headers beside it.
    #[must_use]
    pub fn body_only(&self) -> bool {
        self.body_only
    }

    /// The request.
    #[must_use]
    pub fn inbound(&self) -> &Inbound {
        &self.inbound
    }

    /// The sender's id of this delivery, where the scheme has one: signed with the body under Standard Webhooks and
    /// where a declared construction names it, else a bare header.
    #[must_use]
    pub fn delivery_id(&self) -> Option<&str> {
        self.delivery_id.as_deref()
    }
}
