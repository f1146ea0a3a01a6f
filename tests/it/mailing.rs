//! Reports sent by a schedule: once for each time of it, whatever fails or stops; to a stateful mail server and a webhook.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use lastmile::bridge::{self, Bridge};
use lastmile::catalog::Catalog;
use lastmile::http::signature::sign_standard;
use lastmile::ledger::exports::{DeliveryClaim, DeliveryEnd};
use lastmile::mailing::{self, Step, Way};
use lastmile::model::clock::FakeClock;
use lastmile::model::{Clock, Timestamp};
use lastmile::sandbox::{Mail, MailFault, MailServer, SandboxMail};
use metrics_exporter_prometheus::PrometheusBuilder;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use secrecy::SecretString;
use serde_json::Value;
use sqlx::Connection as _;

/// Wednesday 2026-11-18, 11:06:40 UTC.
const NOW: Timestamp = Timestamp(1_795_000_000_000);
const HOUR: i64 = 3_600_000;
const SECRET: &str = "whsec_cmVwb3J0cy1vZi1sYXN0bWlsZS1zaWduZWQtMDAwMDQ=";

/// A mail server with TLS and an account, whose authority's certificate lies in the folder.
async fn mail_server(folder: &Path, wrapped: bool) -> SandboxMail {
    let mut about = CertificateParams::new(Vec::<String>::new()).unwrap();
    about.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    std::fs::write(folder.join("ca.pem"), about.self_signed(&key).unwrap().pem()).unwrap();
    let issuer = Issuer::new(about, key);
    let own = KeyPair::generate().unwrap();
    let signed = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&own, &issuer).unwrap();
    let chain = vec![CertificateDer::from_pem_slice(signed.pem().as_bytes()).unwrap()];
    let own = PrivateKeyDer::from_pem_slice(own.serialize_pem().as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let tls = Some(Arc::new(tls.with_no_client_auth().with_single_cert(chain, own).unwrap()));
    let account = Some(("bridge".to_owned(), "open-sesame".to_owned()));
    SandboxMail::start(MailServer { tls, wrapped, account }).await.unwrap()
}

struct World {
    folder: tempfile::TempDir,
    clock: Arc<FakeClock>,
    bridge: Bridge,
}

impl World {
    /// With this `[mail]` and `[[reports]]`.
    async fn new(folder: tempfile::TempDir, more: &str) -> Self {
        let desk =
            "kind = \"jira\"\nurl = \"http://127.0.0.1:9\"\nproject = \"IAM\"\nauth = { bearer = { file = \"password\" } }\n";
        std::fs::create_dir_all(folder.path().join("desks")).unwrap();
        std::fs::write(folder.path().join("desks/jira.toml"), desk).unwrap();
        std::fs::write(folder.path().join("password"), "open-sesame").unwrap();
        std::fs::write(folder.path().join("hook"), SECRET).unwrap();
        std::fs::write(folder.path().join("lastmile.toml"), more).unwrap();
        let clock = Arc::new(FakeClock::at(NOW));
        let bridge = Self::open(folder.path(), &clock).await;
        Self { folder, clock, bridge }
    }

    async fn open(folder: &Path, clock: &Arc<FakeClock>) -> Bridge {
        let time: Arc<dyn Clock> = clock.clone();
        let mut catalog = Catalog::load(folder).unwrap();
        catalog.main.ledger.url = format!("sqlite:{}", folder.join("ledger.db").display());
        Bridge::open(bridge::setup(catalog, &time).unwrap(), time, false).await.unwrap()
    }

    /// By e-mail at seven every morning in Berlin.
    async fn mailed(security: &str) -> (Self, SandboxMail) {
        let folder = tempfile::tempdir().unwrap();
        let server = mail_server(folder.path(), security == "tls").await;
        let mail = format!(
            "[mail]\nserver = \"localhost\"\nport = {}\nsecurity = \"{security}\"\nca = \"ca.pem\"\nuser = \"bridge\"\n\
             password = {{ file = \"password\" }}\nfrom = \"lastmile <lastmile@company.example>\"\ntimeout = \"5s\"\n",
            server.port()
        );
        let report = "[[reports]]\nname = \"daily\"\nschedule = \"0 7 * * *\"\nzone = \"Europe/Berlin\"\nperiod = \"yesterday\"\n\
                      contents = [\"figures\", \"assignments\", \"evidence\"]\n\
                      to = [\"Mia <mia@company.example>\", \"max@company.example\"]\n";
        (Self::new(folder, &format!("{mail}\n{report}")).await, server)
    }

    async fn step(&self, way: Way) -> Step {
        let catalog = Arc::clone(&self.bridge.setup.load().catalog);
        mailing::step(&*self.bridge.ledger, &catalog, &catalog.main.reports[0], way, &*self.clock).await.unwrap()
    }

    /// Noted, and then its time has come: 06:00 UTC of the next day.
    async fn due(&self) {
        assert_eq!(self.step(Way::Mail).await, Step::Nothing);
        self.clock.advance_ms(19 * HOUR);
    }
}

fn header<'a>(mail: &'a Mail, name: &str) -> &'a str {
    let start = format!("{name}: ");
    mail.text.lines().find_map(|line| line.strip_prefix(&start)).unwrap_or_else(|| panic!("no {name}: {}", mail.text))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_is_sent_once_for_each_time_of_its_schedule() {
    for security in ["starttls", "tls"] {
        let (world, server) = World::mailed(security).await;
        world.due().await;
        assert_eq!(world.step(Way::Mail).await, Step::Sent);
        let (one, two) = tokio::join!(world.step(Way::Mail), world.step(Way::Mail));
        assert_eq!((one, two), (Step::Nothing, Step::Nothing));
        let mails = server.mails();
        assert_eq!(mails.len(), 1);
        let mail = &mails[0];
        assert_eq!(mail.to, ["mia@company.example", "max@company.example"]);
        assert_eq!((mail.from.as_str(), mail.secure, mail.user.as_deref()), ("lastmile@company.example", true, Some("bridge")));
        assert_eq!(header(mail, "Subject"), "lastmile daily: 2026-11-18 to 2026-11-18");
        for part in
            ["multipart/mixed", "text/plain", "text/html", "spreadsheetml.sheet", "lastmile-daily-2026-11-18-2026-11-18.xlsx"]
        {
            assert!(mail.text.contains(part), "{part} in {}", mail.text);
        }
        // A restart in between changes nothing; the next morning there is one more.
        world.bridge.close().await;
        let world = World { bridge: World::open(world.folder.path(), &world.clock).await, ..world };
        assert_eq!(world.step(Way::Mail).await, Step::Nothing);
        world.clock.advance_ms(24 * HOUR);
        let (one, two) = tokio::join!(world.step(Way::Mail), world.step(Way::Mail));
        assert!([&one, &two].contains(&&Step::Sent) && [&one, &two].contains(&&Step::Nothing), "{one:?} {two:?}");
        let mails = server.mails();
        assert_eq!((mails.len(), header(&mails[1], "Subject")), (2, "lastmile daily: 2026-11-19 to 2026-11-19"));
        assert_ne!(header(&mails[0], "Message-ID"), header(&mails[1], "Message-ID"));
        let noted = world.bridge.ledger.exports(9).await.unwrap();
        assert_eq!((noted.len(), noted[0].actor.as_str(), noted[0].names), (2, "daily/mail", false));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_tried_again_and_told() {
    let (world, server) = World::mailed("starttls").await;
    world.due().await;
    for (fault, code) in [
        (MailFault::Busy, "E-BUSY"),
        (MailFault::RefuseReceiver("max@company.example".to_owned()), "E-REFUSED"),
        (MailFault::RefuseMessage, "E-REFUSED"),
        (MailFault::NoTls, "E-CONFIG"),
        (MailFault::Break, "E-CONNECT"),
    ] {
        server.fail(fault.clone());
        assert_eq!(world.step(Way::Mail).await, Step::Failed(code.to_owned()), "{fault:?}");
        assert_eq!(world.step(Way::Mail).await, Step::Nothing, "not at once");
        assert_eq!(server.mails().len(), 0, "{fault:?}: all get it or none");
        world.clock.advance_ms(1_000_000);
    }
    let row = world.bridge.ledger.delivery("daily/mail").await.unwrap().unwrap();
    assert_eq!((row.state.as_str(), row.failures), ("ready", 5));
    assert!(!row.reason.unwrap().contains('@'), "no address is kept");
    // The answer is lost: the server has it, we cannot know. It comes again under the same name.
    server.fail(MailFault::LoseAnswer);
    assert_eq!(world.step(Way::Mail).await, Step::Failed("E-CONNECT".to_owned()));
    world.clock.advance_ms(1_000_000);
    assert_eq!(world.step(Way::Mail).await, Step::Sent);
    let mails = server.mails();
    assert_eq!((mails.len(), header(&mails[0], "Message-ID")), (2, header(&mails[1], "Message-ID")));
    let row = world.bridge.ledger.delivery("daily/mail").await.unwrap().unwrap();
    assert_eq!((row.state.as_str(), row.code), ("sent", None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_told_and_the_next_report_overtakes_it() {
    let (world, server) = World::mailed("starttls").await;
    std::fs::write(world.folder.path().join("password"), "wrong").unwrap();
    world.due().await;
    assert_eq!(world.step(Way::Mail).await, Step::Failed("E-AUTH".to_owned()));
    world.clock.advance_ms(72 * HOUR);
    std::fs::write(world.folder.path().join("password"), "open-sesame").unwrap();
    assert_eq!(world.step(Way::Mail).await, Step::Sent, "the latest of three, once");
    assert_eq!(world.step(Way::Mail).await, Step::Nothing);
    let mails = server.mails();
    assert_eq!((mails.len(), header(&mails[0], "Subject")), (1, "lastmile daily: 2026-11-21 to 2026-11-21"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stopped_while_sending_does_not_stop_the_report() {
    let (world, server) = World::mailed("starttls").await;
    world.due().await;
    let now = world.clock.now();
    let claim = DeliveryClaim { report: "daily/mail".to_owned(), due_at: Some(Timestamp(now.0 - 1)), now, lease_ms: 60_000 };
    let claimed = world.bridge.ledger.claim_delivery(claim).await.unwrap().unwrap();
    assert_eq!(world.step(Way::Mail).await, Step::Nothing, "another is at it");
    world.clock.advance_ms(60_000);
    assert_eq!(world.step(Way::Mail).await, Step::Sent, "it never came back");
    assert_eq!(server.mails().len(), 1);
    let noted = world.bridge.ledger.exports(1).await.unwrap().remove(0);
    let late = DeliveryEnd::Sent(noted);
    assert!(!world.bridge.ledger.settle_delivery("daily/mail", &claimed, late, now).await.unwrap(), "its lease is gone");
}

/// What was sent is on its way: that it cannot be written down for a moment is no reason to send it again.
#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_refuses_for_a_moment_makes_no_second_report() {
    let (world, server) = World::mailed("starttls").await;
    world.due().await;
    let url = format!("sqlite:{}", world.folder.path().join("ledger.db").display());
    let mut other = sqlx::SqliteConnection::connect(&url).await.unwrap();
    let refuse = "CREATE TRIGGER no_notes BEFORE INSERT ON export_log BEGIN SELECT RAISE(ABORT, 'not now'); END";
    sqlx::raw_sql(refuse).execute(&mut other).await.unwrap();
    let mends = async {
        while server.mails().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let arrived = std::time::Instant::now();
        // Long enough for the first try.
        tokio::time::sleep(Duration::from_millis(300)).await;
        sqlx::raw_sql("DROP TRIGGER no_notes").execute(&mut other).await.unwrap();
        arrived
    };
    let (step, arrived) = tokio::join!(world.step(Way::Mail), mends);
    assert!(arrived.elapsed() >= Duration::from_millis(900), "the first try was refused: the second comes a second later");
    assert_eq!(step, Step::Sent);
    world.clock.advance_ms(1_000_000);
    assert_eq!(world.step(Way::Mail).await, Step::Nothing);
    assert_eq!((server.mails().len(), world.bridge.ledger.exports(9).await.unwrap().len()), (1, 1));
}

#[tokio::test]
async fn every_process_tells_how_a_report_stands_whichever_sends_it() {
    let (world, server) = World::mailed("starttls").await;
    let replicas = [(); 2].map(|()| PrometheusBuilder::new().build_recorder());
    let step = async |n: usize| {
        let _own = metrics::set_default_local_recorder(&replicas[n]);
        world.step(Way::Mail).await
    };
    let failing = |n: usize| {
        let shown = replicas[n].handle().render();
        let line = shown.lines().find(|line| line.starts_with("lastmile_report_failing{")).map(str::to_owned);
        line.and_then(|line| line.rsplit(' ').next().map(str::to_owned))
    };
    world.due().await;
    server.fail(MailFault::Busy);
    assert_eq!(step(0).await, Step::Failed("E-BUSY".to_owned()));
    assert_eq!(step(1).await, Step::Nothing);
    assert_eq!([failing(0), failing(1)], [Some("1".to_owned()), Some("1".to_owned())]);
    world.clock.advance_ms(1_000_000);
    assert_eq!(step(1).await, Step::Sent);
    assert_eq!(step(0).await, Step::Nothing);
    assert_eq!([failing(0), failing(1)], [Some("0".to_owned()), Some("0".to_owned())]);
}

type Heard = Arc<Mutex<Vec<(HeaderMap, Bytes)>>>;

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_signed_and_repeated_under_the_same_id() {
    let heard: Heard = Arc::default();
    let kept = Arc::clone(&heard);
    let app = Router::new().route(
        "/in",
        post(move |headers: HeaderMap, body: Bytes| async move {
            let mut heard = kept.lock().unwrap();
            heard.push((headers, body));
            if heard.len() == 1 { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::NO_CONTENT }
        }),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    let report = format!(
        "[[reports]]\nname = \"weekly\"\nschedule = \"0 6 * * *\"\nperiod = \"last_week\"\n\
         webhook = {{ url = \"http://{address}/in\", secret = {{ file = \"hook\" }} }}\n"
    );
    let world = World::new(tempfile::tempdir().unwrap(), &report).await;
    assert_eq!(world.step(Way::Webhook).await, Step::Nothing);
    world.clock.advance_ms(19 * HOUR);
    assert_eq!(world.step(Way::Webhook).await, Step::Failed("E-SERVER".to_owned()));
    world.clock.advance_ms(10_000);
    assert_eq!(world.step(Way::Webhook).await, Step::Sent);
    let heard = heard.lock().unwrap();
    let id = |n: usize| heard[n].0["webhook-id"].to_str().unwrap();
    assert_eq!((heard.len(), id(0)), (2, id(1)));
    let (headers, body) = &heard[1];
    let seconds: i64 = headers["webhook-timestamp"].to_str().unwrap().parse().unwrap();
    let signature = sign_standard(&SecretString::from(SECRET), id(1), Timestamp(seconds * 1000), body).unwrap();
    assert_eq!(headers["webhook-signature"], signature);
    let told: Value = serde_json::from_slice(body).unwrap();
    assert_eq!((told["type"].as_str(), told["data"]["about"]["from"].as_str()), (Some("lastmile.report"), Some("2026-11-09")));
    assert!(told["data"]["about"]["figures"]["all"]["flow"]["closed"].is_i64() && told["data"]["workbook"]["base64"].is_string());
    server.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_sent_by_hand_is_tried_on_every_way_and_each_is_told() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = Router::new().route("/in", post(|| async { StatusCode::NO_CONTENT }));
    let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    // Nobody listens for mail.
    let text = format!(
        "[mail]\nserver = \"127.0.0.1\"\nport = 1\nsecurity = \"none\"\nfrom = \"lastmile@company.example\"\ntimeout = \"5s\"\n\n\
         [[reports]]\nname = \"weekly\"\nschedule = \"0 6 * * *\"\nperiod = \"last_week\"\nto = [\"mia@company.example\"]\n\
         webhook = {{ url = \"http://{address}/in\", secret = {{ file = \"hook\" }} }}\n"
    );
    let world = World::new(tempfile::tempdir().unwrap(), &text).await;
    let catalog = Arc::clone(&world.bridge.setup.load().catalog);
    let report = &catalog.main.reports[0];
    let prepared = mailing::prepare(&*world.bridge.ledger, &catalog, report, NOW, NOW).await.unwrap();
    let tried = mailing::send_now(&catalog, report, &prepared, NOW).await;
    let told: Vec<(Way, bool)> = tried.iter().map(|(way, sent)| (*way, sent.is_ok())).collect();
    assert_eq!(told, [(Way::Mail, false), (Way::Webhook, true)]);
    server.abort();
}
