//! Signed webhooks, prepared before the clock runs.

use std::sync::atomic::{AtomicU64, Ordering};

use lastmile::http::signature::sign_standard;
use lastmile::model::Clock;
use lastmile::model::clock::SystemClock;
use lastmile::sandbox::company;
use secrecy::SecretString;
use serde_json::json;

use super::postgres::orders::made_up::dateless;

/// What both sides sign with.
pub const SECRET: &str = "whsec_bGFzdG1pbGUtYmVuY2htYXJrLXNlY3JldC0wMDAx";

static NEXT: AtomicU64 = AtomicU64::new(1);

/// So many orders never seen before, each of a lane of its own, as whole requests to `/hooks/iga`.
pub fn requests(count: usize) -> anyhow::Result<Vec<Vec<u8>>> {
    (0..count).map(|_| request(NEXT.fetch_add(1, Ordering::Relaxed))).collect()
}

fn request(n: u64) -> anyhow::Result<Vec<u8>> {
    let now = SystemClock.now();
    let mut order = dateless(company::order(1, n, now.plus_ms(-60_000)));
    order["beneficiary"]["id"] = json!(format!("P{n:09}"));
    order["id"] = json!(format!("REQ-{n:09}"));
    let (body, id) = (order.to_string(), format!("msg_{n:012}"));
    let signature = sign_standard(&SecretString::from(SECRET), &id, now, body.as_bytes())?;
    Ok(format!(
        "POST /hooks/iga HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nwebhook-id: {id}\r\n\
         webhook-timestamp: {}\r\nwebhook-signature: {signature}\r\ncontent-length: {}\r\n\r\n{body}",
        now.0.div_euclid(1000),
        body.len(),
    )
    .into_bytes())
}
