//! To a webhook: JSON, signed after Standard Webhooks, through the one HTTP client.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::Prepared;
use crate::catalog::{Catalog, ScheduledReport};
use crate::http::client::{Body, ClientSettings};
use crate::http::signature::sign_standard;
use crate::http::verdict::by_status;
use crate::http::{Call, CallError, HttpClient};
use crate::model::Timestamp;

/// Posts it; any 2xx means it is taken.
pub(super) async fn send(
    catalog: &Catalog,
    report: &ScheduledReport,
    prepared: &Prepared,
    id: &str,
    now: Timestamp,
) -> Result<(), CallError> {
    let refused = |words: String| CallError::reject("E-CONFIG", words);
    let Some(hook) = &report.webhook else { return Err(refused("the report has no webhook".to_owned())) };
    let edge = format!("report {}", report.name);
    let client = HttpClient::new(ClientSettings::for_edge(&edge)).map_err(refused)?;
    let secret = hook.secret.resolve(&catalog.folder).map_err(refused)?;
    let body = json!({
        "type": "lastmile.report",
        "timestamp": now.iso(),
        "data": {
            "title": prepared.title,
            "about": prepared.data,
            "text": prepared.text,
            "workbook": {"name": prepared.file, "base64": STANDARD.encode(&prepared.workbook)},
        },
    });
    let bytes = body.to_string().into_bytes();
    let signature = sign_standard(&secret, id, now, &bytes).map_err(|refusal| refused(refusal.to_string()))?;
    let call = Call {
        body: Body::Raw("application/json", bytes),
        ..Call::new("POST", hook.url.clone())
            .header("webhook-id", id)
            .header("webhook-timestamp", now.0.div_euclid(1000).to_string())
            .header("webhook-signature", signature)
    };
    let answer = client.send(call).await?;
    if answer.is_success() { Ok(()) } else { Err(by_status(answer.status, answer.retry_after(), &edge, "")) }
}
