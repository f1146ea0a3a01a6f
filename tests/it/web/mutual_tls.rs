//! Mutual TLS over a real listener: who shows the certificate that a source names is believed, and nobody else; and the
//! other ways into a hook that only the router knows.

use std::path::Path;
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, StatusCode};
use lastmile::bridge::{self, Bridge};
use lastmile::catalog::{Catalog, SecretRef, TlsSettings};
use lastmile::model::clock::FakeClock;
use lastmile::model::{Clock, Timestamp};
use lastmile::web::{self, Tls};
use metrics_exporter_prometheus::PrometheusBuilder;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tower::ServiceExt as _;

const NOW: Timestamp = Timestamp(1_795_000_000_000);
const MAPPING: &str = "[mapping]\nexternal_id = \"/id\"\noperation = { value = \"grant\" }\napplication = { id = \"/app\" }\nbeneficiary = { id = \"/who\" }\n";

/// An authority and what it signs.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut about = CertificateParams::new(Vec::<String>::new()).unwrap();
        about.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = about.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(about, key) }
    }

    /// Certificate and key, PEM.
    fn signs(&self, name: &str) -> (String, String) {
        let mut about = CertificateParams::new(vec![name.to_owned()]).unwrap();
        about.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        (about.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}

fn put(folder: &Path, path: &str, text: &str) {
    let place = folder.join(path);
    std::fs::create_dir_all(place.parent().unwrap()).unwrap();
    std::fs::write(place, text).unwrap();
}

async fn bridge(folder: &Path) -> Bridge {
    put(folder, "lastmile.toml", "");
    put(
        folder,
        "desks/jira.toml",
        "kind = \"jira\"\nurl = \"http://127.0.0.1:9\"\nproject = \"IAM\"\nauth = { bearer = { file = \"token\" } }\n",
    );
    put(folder, "token", "open-sesame");
    let pinned = "verify = { scheme = \"client-certificate\", certificates = [{ dns = \"idm.example.com\" }] }";
    put(folder, "sources/idm.toml", &format!("kind = \"webhook\"\n[webhook]\n{pinned}\n{MAPPING}"));
    let bearer = "verify = { scheme = \"bearer\", secrets = [{ file = \"token\" }] }";
    let granted = "cloud_events = { origins = [\"events.example.com\"], rate = 60 }";
    put(folder, "sources/events.toml", &format!("kind = \"webhook\"\n[webhook]\n{bearer}\n{granted}\n{MAPPING}"));
    put(
        folder,
        "sources/rows.toml",
        &format!("kind = \"file\"\n[file]\nformat = \"json_lines\"\n[webhook]\n{bearer}\n{MAPPING}"),
    );
    let clock: Arc<dyn Clock> = Arc::new(FakeClock::at(NOW));
    let mut catalog = Catalog::load(folder).unwrap();
    catalog.main.ledger.url = format!("sqlite:{}", folder.join("ledger.db").display());
    Bridge::open(bridge::setup(catalog, &clock).unwrap(), clock, false).await.unwrap()
}

fn router(bridge: &Bridge) -> axum::Router {
    web::router(bridge.web(PrometheusBuilder::new().build_recorder().handle(), true, None))
}

/// Posts an order over TLS; `None` when the handshake or the connection fails.
async fn post(address: std::net::SocketAddr, server_ca: &str, shown: Option<&(String, String)>) -> Option<String> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(server_ca.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let builder = builder.with_root_certificates(roots);
    let config = match shown {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
            builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap()).unwrap()
        }
    };
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("lastmile.example.com").unwrap();
    let mut stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await.ok()?;
    let body = json!({"id": "1", "app": "sap", "who": "p-1"}).to_string();
    let head = format!("POST /hooks/idm HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all(format!("{head}{body}").as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8(answer).unwrap();
    answer.lines().next().map(str::to_owned)
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_named_certificate_of_a_known_authority_opens_the_source() {
    let folder = tempfile::tempdir().unwrap();
    let bridge = bridge(folder.path()).await;
    let (ours, clients, strangers) = (Authority::new(), Authority::new(), Authority::new());
    let (certificate, key) = ours.signs("lastmile.example.com");
    put(folder.path(), "tls/server.pem", &certificate);
    put(folder.path(), "tls/server.key", &key);
    put(folder.path(), "tls/clients.pem", &clients.pem);
    let settings = TlsSettings {
        listen: "127.0.0.1:0".to_owned(),
        certificate: "tls/server.pem".into(),
        key: SecretRef::File("tls/server.key".into()),
        client_ca: Some("tls/clients.pem".into()),
    };
    let tls = Arc::new(Tls::load(&settings, folder.path()).unwrap());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let served = web::serve_tls(listener, Arc::clone(&tls), router(&bridge), async { drop(stopped.await) });
    let server = tokio::spawn(served);
    // One that never says a word holds nobody up.
    let silent = tokio::net::TcpStream::connect(address).await.unwrap();

    let answer = |shown: Option<(String, String)>| {
        let ca = ours.pem.clone();
        async move { post(address, &ca, shown.as_ref()).await.unwrap_or_else(|| "no connection".to_owned()) }
    };
    assert!(answer(Some(clients.signs("idm.example.com"))).await.contains("202"));
    assert!(answer(Some(clients.signs("other.example.com"))).await.contains("401"), "known, but not named");
    assert!(answer(None).await.contains("401"));
    let strange = answer(Some(strangers.signs("idm.example.com"))).await;
    assert!(!strange.contains("202") && !strange.contains("401"), "it never gets to ask: {strange}");

    // A renewed certificate is shown from then on; a broken one changes nothing.
    let renewed = Authority::new();
    let (certificate, key) = renewed.signs("lastmile.example.com");
    put(folder.path(), "tls/server.pem", &certificate);
    assert!(tls.reload(&settings, folder.path()).unwrap_err().contains("fit together"));
    assert!(answer(Some(clients.signs("idm.example.com"))).await.contains("202"));
    put(folder.path(), "tls/server.key", &key);
    tls.reload(&settings, folder.path()).unwrap();
    assert!(post(address, &ours.pem, None).await.is_none());
    assert!(post(address, &renewed.pem, None).await.is_some_and(|line| line.contains("401")));
    stop.send(()).unwrap();
    drop(silent);
    server.await.unwrap();
    bridge.close().await;
}

#[test]
fn files_that_make_no_tls_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = Authority::new().signs("lastmile.example.com");
    put(folder.path(), "server.pem", &certificate);
    put(folder.path(), "server.key", &key);
    put(folder.path(), "empty.pem", "nothing\n");
    let said = |certificate: &str, key: &str, ca: Option<&str>| {
        let settings = TlsSettings {
            listen: String::new(),
            certificate: certificate.into(),
            key: SecretRef::File(key.into()),
            client_ca: ca.map(Into::into),
        };
        Tls::load(&settings, folder.path()).map(drop)
    };
    assert!(said("server.pem", "server.key", None).is_ok());
    assert!(said("none.pem", "server.key", None).unwrap_err().contains("none.pem"));
    assert!(said("empty.pem", "server.key", None).unwrap_err().contains("no certificate"));
    assert!(said("server.pem", "empty.pem", None).unwrap_err().contains("no private key"));
    assert!(said("server.pem", "server.key", Some("empty.pem")).unwrap_err().contains("empty.pem"));
}

#[tokio::test(flavor = "multi_thread")]
async fn handshakes_and_uploads_are_answered_by_the_hook() {
    let folder = tempfile::tempdir().unwrap();
    let bridge = bridge(folder.path()).await;
    let router = router(&bridge);
    let send = async |request: Request<Body>| {
        let response = router.clone().oneshot(request).await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, headers, serde_json::from_slice::<Value>(&body).unwrap_or(Value::Null))
    };
    let ask = |source: &str, origin: Option<&str>| {
        let request = Request::builder().method(Method::OPTIONS).uri(format!("/hooks/{source}")).header("host", "127.0.0.1");
        let request = origin.map_or_else(
            || Request::builder().method(Method::OPTIONS).uri(format!("/hooks/{source}")),
            |o| request.header("webhook-request-origin", o),
        );
        request.body(Body::empty()).unwrap()
    };
    let (status, headers, _) = send(ask("events", Some("events.example.com"))).await;
    assert_eq!(status, StatusCode::OK);
    let named = ["webhook-allowed-origin", "webhook-allowed-rate", "allow"].map(|name| headers[name].to_str().unwrap());
    assert_eq!(named, ["events.example.com", "60", "POST"]);
    for (source, origin, expected) in [
        ("events", Some("evil.example"), StatusCode::FORBIDDEN),
        ("events", None, StatusCode::BAD_REQUEST),
        ("idm", Some("events.example.com"), StatusCode::NOT_FOUND),
        ("none", Some("events.example.com"), StatusCode::NOT_FOUND),
    ] {
        let (status, headers, _) = send(ask(source, origin)).await;
        assert_eq!(status, expected, "{source} {origin:?}");
        assert!(!headers.contains_key("webhook-allowed-origin"));
    }

    let upload = |token: &str, body: &str| {
        let request = Request::post("/hooks/rows").header("host", "127.0.0.1").header("authorization", format!("Bearer {token}"));
        request.body(Body::from(body.to_owned())).unwrap()
    };
    let rows = "{\"id\":\"1\",\"app\":\"sap\",\"who\":\"p\"}\n{\"id\":\n{\"id\":\"1\",\"app\":\"sap\",\"who\":\"p\"}\n";
    let (status, _, said) = send(upload("open-sesame", rows)).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    let words: Vec<&str> = said["rows"].as_array().unwrap().iter().map(|row| row["result"].as_str().unwrap()).collect();
    assert_eq!(words, ["accepted", "quarantined", "unchanged"]);
    assert_eq!(said["rows"][0]["id"].as_str().unwrap().len(), 13);
    let (status, _, said) = send(upload("wrong", rows)).await;
    assert_eq!((status, said["type"].as_str().is_some_and(|t| t.contains("not-authentic"))), (StatusCode::UNAUTHORIZED, true));
    let (status, _, said) = send(upload("open-sesame", "\n")).await;
    assert_eq!((status, said["detail"].as_str()), (StatusCode::BAD_REQUEST, Some("the upload cannot be read: it is empty")));
    bridge.close().await;
}
