//! TLS of our own: certificate and key, and the authorities whose clients are known.

use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use secrecy::ExposeSecret as _;
use tokio_rustls::TlsAcceptor;

use crate::catalog::TlsSettings;

/// What the listener shows and demands; may be changed while it listens.
pub struct Tls(ArcSwap<ServerConfig>);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    /// Reads certificate, key and authorities. Relative paths start at `folder`.
    ///
    /// # Errors
    /// Words for people that name the file at fault, never its content.
    pub fn load(settings: &TlsSettings, folder: &Path) -> Result<Self, String> {
        Ok(Self(ArcSwap::from(read(settings, folder)?)))
    }

    /// Reads them again; connections that stand stay as they are.
    ///
    /// # Errors
    /// As [`Tls::load`]; the old ones stay.
    pub fn reload(&self, settings: &TlsSettings, folder: &Path) -> Result<(), String> {
        self.0.store(read(settings, folder)?);
        Ok(())
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.0.load_full())
    }
}

fn read(settings: &TlsSettings, folder: &Path) -> Result<Arc<ServerConfig>, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chain = certificates(&folder.join(&settings.certificate))?;
    let key = settings.key.resolve(folder)?;
    let key =
        PrivateKeyDer::from_pem_slice(key.expose_secret().as_bytes()).map_err(|_| "`key` is no private key in PEM".to_owned())?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_safe_default_protocol_versions().map_err(|e| e.to_string())?;
    let builder = match &settings.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for authority in certificates(&folder.join(path))? {
                roots.add(authority).map_err(|_| format!("{} holds what is no authority", path.display()))?;
            }
            // Without a certificate pages and other sources still answer; a source that names some demands one.
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).allow_unauthenticated().build();
            builder.with_client_cert_verifier(verifier.map_err(|e| format!("`client_ca` cannot be used: {e}"))?)
        }
    };
    let mut config =
        builder.with_single_cert(chain, key).map_err(|e| format!("`certificate` and `key` do not fit together: {e}"))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let text = std::fs::read(path).map_err(|e| format!("{} cannot be read: {e}", path.display()))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(format!("{} holds no certificate in PEM", path.display())),
    }
}
