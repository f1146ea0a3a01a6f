//! Client certificates: what one says of its holder, and which ones a source names.
//!
//! The chain was verified by the listener before anything is read here.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// A verified client certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// Its subject as RFC 4514 writes it (`CN=idm,O=Example`).
    subject: String,
    /// Its alternative names: host names in lower case.
    dns: Vec<String>,
    uris: Vec<String>,
    /// SHA-256 of the whole certificate, hex.
    sha256: String,
}

/// A client certificate that is accepted: what is given must all fit.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    /// The whole subject, as `openssl x509 -noout -subject -nameopt RFC2253` writes it (`CN=idm,O=Example`).
    #[serde(default)]
    pub subject: Option<String>,
    /// A host name among its alternative names; a wildcard is no name.
    #[serde(default)]
    pub dns: Option<String>,
    /// An address among its alternative names (`spiffe://example/idm`).
    #[serde(default)]
    pub uri: Option<String>,
    /// SHA-256 of the certificate in hex, with or without colons; another one after every renewal.
    #[serde(default)]
    pub sha256: Option<String>,
}

impl ClientCertificate {
    /// Reads a certificate; `None` when it is none.
    #[must_use]
    pub fn read(der: &[u8]) -> Option<Self> {
        let certificate = x509_cert::Certificate::from_der(der).ok()?;
        let about = certificate.tbs_certificate();
        let names = about.get_extension::<SubjectAltName>().ok()?.map(|(_, names)| names.0).unwrap_or_default();
        let (mut dns, mut uris) = (Vec::new(), Vec::new());
        for name in &names {
            match name {
                GeneralName::DnsName(name) => dns.push(name.to_string().to_lowercase()),
                GeneralName::UniformResourceIdentifier(uri) => uris.push(uri.to_string()),
                _ => {}
            }
        }
        Some(Self { subject: about.subject().to_string(), dns, uris, sha256: hex::encode(Sha256::digest(der)) })
    }
}

impl Pin {
    /// Whether a certificate is the one that is meant. A pin that says nothing fits none.
    #[must_use]
    pub fn fits(&self, certificate: &ClientCertificate) -> bool {
        let says = [
            self.subject.as_ref().map(|subject| *subject == certificate.subject),
            self.dns.as_ref().map(|dns| certificate.dns.contains(&dns.to_lowercase())),
            self.uri.as_ref().map(|uri| certificate.uris.contains(uri)),
            self.sha256.as_ref().map(|digest| plain_hex(digest) == certificate.sha256),
        ];
        says.iter().any(Option::is_some) && says.iter().all(|fits| fits.unwrap_or(true))
    }

    /// What is wrong with it, in words for people.
    ///
    /// # Errors
    /// It says nothing, or its fingerprint is none.
    pub fn check(&self) -> Result<(), String> {
        if self == &Self::default() {
            return Err("a certificate is named by `subject`, `dns`, `uri` or `sha256`".to_owned());
        }
        match &self.sha256 {
            Some(digest) if hex::decode(plain_hex(digest)).is_ok_and(|bytes| bytes.len() == 32) => Ok(()),
            Some(_) => Err("`sha256` is the SHA-256 of the certificate: 64 hex digits".to_owned()),
            None => Ok(()),
        }
    }
}

fn plain_hex(digest: &str) -> String {
    digest.replace(':', "").to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate() -> ClientCertificate {
        let mut parameters = rcgen::CertificateParams::new(vec!["Idm.Example.com".to_owned()]).unwrap();
        parameters.subject_alt_names.push(rcgen::SanType::URI("spiffe://example/idm".try_into().unwrap()));
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        parameters.distinguished_name.push(rcgen::DnType::OrganizationName, "Example, Inc.");
        parameters.distinguished_name.push(rcgen::DnType::CommonName, "idm");
        let key = rcgen::KeyPair::generate().unwrap();
        ClientCertificate::read(parameters.self_signed(&key).unwrap().der()).unwrap()
    }

    #[test]
    fn what_a_pin_says_must_all_fit() {
        let certificate = certificate();
        let fits = |text: &str| toml::from_str::<Pin>(text).unwrap().fits(&certificate);
        assert!(fits(r"subject = 'CN=idm,O=Example\, Inc.'"), "{}", certificate.subject);
        assert!(fits("dns = 'idm.example.com'\nuri = 'spiffe://example/idm'"));
        let colons: Vec<String> =
            certificate.sha256.to_uppercase().as_bytes().chunks(2).map(|c| String::from_utf8_lossy(c).into()).collect();
        assert!(fits(&format!("sha256 = '{}'", colons.join(":"))));
        for wrong in ["subject = 'CN=idm'", "dns = 'example.com'", "dns = 'idm.example.com'\nuri = 'spiffe://example/other'", ""]
        {
            assert!(!fits(wrong), "{wrong}");
        }
        assert!(ClientCertificate::read(b"no certificate").is_none());
    }

    #[test]
    fn a_pin_that_says_nothing_is_refused() {
        let check = |text: &str| toml::from_str::<Pin>(text).unwrap().check();
        assert!(check("").unwrap_err().contains("`subject`"));
        assert!(check("sha256 = 'abc'").unwrap_err().contains("64 hex"));
        assert!(check("subject = 'CN=idm'").is_ok());
    }
}
