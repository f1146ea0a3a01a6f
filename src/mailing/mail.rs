//! By e-mail: one message to all receivers, so that all get it or none.

use std::path::Path;
use std::time::{Duration, SystemTime};

use lettre::message::header::ContentType;
use lettre::message::{Attachment, Mailbox, MultiPart, SinglePart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use secrecy::ExposeSecret as _;

use super::Prepared;
use crate::catalog::{Catalog, MailSecurity, MailSettings, ScheduledReport};
use crate::http::CallError;
use crate::model::Timestamp;
use crate::sheet::XLSX_TYPE;

/// Sends it. A server that refuses one receiver refuses the message.
pub(super) async fn send(
    catalog: &Catalog,
    report: &ScheduledReport,
    prepared: &Prepared,
    id: &str,
    now: Timestamp,
) -> Result<(), CallError> {
    let settings = catalog.main.mail.as_ref().ok_or_else(|| CallError::reject("E-CONFIG", "[mail] is not configured"))?;
    let message = message(settings, report, prepared, id, now).map_err(|words| CallError::reject("E-CONFIG", words))?;
    let transport = transport(settings, &catalog.folder).map_err(|words| CallError::reject("E-CONFIG", words))?;
    transport.send(message).await.map(drop).map_err(|error| verdict(&error))
}

fn message(
    settings: &MailSettings,
    report: &ScheduledReport,
    prepared: &Prepared,
    id: &str,
    now: Timestamp,
) -> Result<Message, String> {
    let from = mailbox(&settings.from)?;
    let message_id = format!("<{id}@{}>", from.email.domain());
    let since_epoch = Duration::from_millis(u64::try_from(now.0).unwrap_or(0));
    let mut builder = Message::builder()
        .from(from)
        .subject(&prepared.title)
        .date(SystemTime::UNIX_EPOCH + since_epoch)
        .message_id(Some(message_id))
        .raw_header(header("Auto-Submitted", "auto-generated"));
    for address in &report.to {
        builder = builder.to(mailbox(address)?);
    }
    let kind = ContentType::parse(XLSX_TYPE).map_err(|e| e.to_string())?;
    let attached: SinglePart = Attachment::new(prepared.file.clone()).body(prepared.workbook.clone(), kind);
    let words = MultiPart::alternative_plain_html(prepared.text.clone(), prepared.html.clone());
    builder.multipart(MultiPart::mixed().multipart(words).singlepart(attached)).map_err(|e| e.to_string())
}

/// Out-of-office replies to a machine help nobody.
fn header(name: &'static str, value: &str) -> lettre::message::header::HeaderValue {
    lettre::message::header::HeaderValue::new(lettre::message::header::HeaderName::new_from_ascii_str(name), value.to_owned())
}

/// An address with or without a name.
pub(super) fn mailbox(text: &str) -> Result<Mailbox, String> {
    text.parse().map_err(|_| format!("`{text}` is not an e-mail address"))
}

/// The further authority, if one is named.
pub(super) fn authority(settings: &MailSettings, folder: &Path) -> Result<Option<Certificate>, String> {
    let Some(path) = &settings.ca else { return Ok(None) };
    let path = folder.join(path);
    let pem = std::fs::read(&path).map_err(|e| format!("{} cannot be read: {e}", path.display()))?;
    Certificate::from_pem(&pem).map(Some).map_err(|_| format!("{} is no certificate in PEM", path.display()))
}

fn transport(settings: &MailSettings, folder: &Path) -> Result<AsyncSmtpTransport<Tokio1Executor>, String> {
    let parameters = || {
        let mut builder = TlsParameters::builder(settings.server.clone());
        if let Some(authority) = authority(settings, folder)? {
            builder = builder.add_root_certificate(authority);
        }
        builder.build().map_err(|_| "TLS cannot be set up: the machine has no certificates of authorities".to_owned())
    };
    let tls = match settings.security {
        MailSecurity::None => Tls::None,
        MailSecurity::StartTls => Tls::Required(parameters()?),
        MailSecurity::Tls => Tls::Wrapper(parameters()?),
    };
    let domain = mailbox(&settings.from)?.email.domain().to_owned();
    let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(settings.server.clone())
        .port(settings.port())
        .tls(tls)
        .hello_name(ClientId::Domain(domain))
        .timeout(Some(settings.timeout.duration()));
    if let (Some(user), Some(password)) = (&settings.user, &settings.password) {
        let password = password.resolve(folder)?;
        builder = builder.credentials(Credentials::new(user.clone(), password.expose_secret().to_owned()));
    }
    Ok(builder.build())
}

/// The server's own words may name a receiver: only its number is told.
fn verdict(error: &lettre::transport::smtp::Error) -> CallError {
    let number = error.status().map(|code| code.to_string());
    let said = |number: &str| format!("the mail server answered {number}");
    match number.as_deref() {
        Some(number @ ("530" | "534" | "535" | "538")) => {
            CallError::retry("E-AUTH", format!("{}: user and password of [mail] do not open it", said(number)))
        }
        Some(number) if error.is_permanent() => CallError::reject(
            "E-REFUSED",
            format!("{}: sender, a receiver or the message is refused; nobody got it", said(number)),
        ),
        Some(number) => CallError::retry("E-BUSY", format!("{}: try again later", said(number))),
        None if error.is_timeout() => CallError::unclear("E-TIMEOUT", "the mail server did not answer in time"),
        None if error.is_tls() => {
            CallError::retry("E-CONNECT", "the mail server's TLS is not what [mail] expects: security, name or authority")
        }
        None if error.is_client() => {
            CallError::retry("E-CONFIG", "the mail server does not offer what [mail] needs: STARTTLS, or a way to sign in")
        }
        None if error.is_response() => CallError::unclear("E-BROKEN", "the mail server's answer did not come whole"),
        None => CallError::unclear("E-CONNECT", "the mail server cannot be reached, or broke the connection"),
    }
}
