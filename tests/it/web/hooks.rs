//! Hooks through the router: durable before the answer, and answering while pages are slow.

use std::time::Duration;

use lastmile::web::Limits;

use super::bed::{Ask, Bed, document};

#[tokio::test]
async fn a_webhook_is_taken_once_and_its_repeat_and_its_fake_are_told() {
    let bed = Bed::guarded().await;
    let first = bed.call(bed.hook("evt-1", &document(1, "lims"))).await;
    assert_eq!((first.status.as_u16(), first.json()["results"][0]["result"].as_str()), (202, Some("new")));
    let again = bed.call(bed.hook("evt-1", &document(1, "lims"))).await;
    assert_eq!((again.status.as_u16(), again.json()["results"][0]["result"].as_str()), (202, Some("repeat")));
    let other = bed.call(bed.hook("evt-1", &document(2, "lims"))).await;
    assert_eq!((other.status.as_u16(), other.code().as_str()), (409, "event-conflict"));
    assert_eq!(other.json()["results"][0]["result"], "conflict");
    let forged = bed.call(bed.hook("evt-2", &document(2, "lims")).with("webhook-signature", "v1,AAAA")).await;
    assert_eq!(forged.code(), "not-authentic");
    let late = bed.hook("evt-3", &document(3, "lims"));
    bed.clock.advance_ms(3_600_000);
    assert_eq!(bed.call(late).await.code(), "not-authentic");
    let broken = bed.call(bed.hook("evt-4", "{")).await;
    assert_eq!(broken.code(), "not-readable");
    let all = bed.bridge.ledger.assignments(&lastmile::ledger::views::Filter::default(), true, 10).await.unwrap();
    assert_eq!(all.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn hooks_are_answered_over_the_listener_while_connections_idle_and_a_stop_lets_them_finish() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let bed = Bed::new("", true).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = tokio::spawn(lastmile::web::serve(listener, bed.router.clone(), async { drop(stopped.await) }));
    let mut idle = Vec::new();
    for _ in 0..64 {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        stream.write_all(b"POST /hooks/iga HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n").await.unwrap();
        idle.push(stream);
    }
    let ask = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    let exchange = async |head: String| {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        // Who is refused in the middle of sending may see the connection end first.
        let _ = stream.write_all(head.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8(answer).unwrap()
    };
    assert!(exchange(ask("/readyz")).await.starts_with("HTTP/1.1 200"));
    let refused =
        exchange("POST /hooks/iga HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}".to_owned()).await;
    assert!(refused.starts_with("HTTP/1.1 401") && refused.contains("not-authentic"), "{refused}");
    let huge = format!("GET / HTTP/1.1\r\nhost: {address}\r\nx: {}\r\n\r\n", "x".repeat(1_000_000));
    let answer = exchange(huge).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    // One of the slow ones sends its body after the stop was asked for: it is still answered.
    let mut last = idle.pop().unwrap();
    drop(idle);
    stop.send(()).unwrap();
    last.write_all(b"0123456789").await.unwrap();
    let mut answer = String::new();
    last.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    server.await.unwrap();
}

#[tokio::test]
async fn a_body_that_does_not_come_is_given_up() {
    let bed = Bed::limited(Limits { body_within: Duration::from_millis(20), ..Limits::default() }).await;
    let never = || axum::body::Body::from_stream(futures_util::stream::pending::<Result<axum::body::Bytes, std::io::Error>>());
    for ask in [
        Ask::post("/hooks/iga", never()),
        Ask::post("/api/v1/errands/0000000000000/retry", never()).with("content-type", "application/json"),
    ] {
        let answer = bed.call(ask).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (408, "slow"));
    }
}

#[tokio::test]
async fn when_every_reader_s_turn_is_taken_hooks_and_health_go_on() {
    let bed = Bed::limited(Limits { readers: 0, turn_within: Duration::from_millis(20), ..Limits::default() }).await;
    for path in ["/", "/api/v1/overview", "/metrics"] {
        let answer = bed.call(Ask::get(path)).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str(), answer.header("retry-after")), (503, "busy", "5"));
    }
    assert_eq!(bed.call(Ask::get("/").with("host", "evil.example")).await.code(), "host", "who is not let in takes no turn");
    assert_eq!(bed.call(Ask::get("/readyz")).await.status, 200);
    bed.order(1, "lims").await;
}
