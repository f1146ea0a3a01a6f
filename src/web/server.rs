//! The listener: bounded connections, time-outs while headers arrive, and a stop that lets answers under way finish.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::connect_info::ConnectInfo;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tower::ServiceExt;

use super::tls::Tls;
use crate::http::ClientCertificate;

/// Connections at once; more wait to be accepted.
const CONNECTIONS: usize = 512;
/// Headers take at most this long; also how long a kept-alive connection may idle.
const HEADERS_WITHIN: Duration = Duration::from_secs(30);
/// A TLS handshake takes at most this long.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// Largest head of a request.
const HEAD_BYTES: usize = 64 * 1024;
/// How long a stop waits for answers under way.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// Serves until `stop`, then lets answers under way finish.
pub async fn serve(listener: TcpListener, app: Router, stop: impl Future<Output = ()>) {
    listen(listener, None, app, stop).await;
}

/// As [`serve`], over TLS; handlers find the client's certificate, where it showed one.
pub async fn serve_tls(listener: TcpListener, tls: Arc<Tls>, app: Router, stop: impl Future<Output = ()>) {
    listen(listener, Some(tls), app, stop).await;
}

async fn listen(listener: TcpListener, tls: Option<Arc<Tls>>, app: Router, stop: impl Future<Output = ()>) {
    let (places, graceful) = (Arc::new(Semaphore::new(CONNECTIONS)), GracefulShutdown::new());
    tokio::pin!(stop);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            accepted = accept(&listener, &places) => accepted,
        };
        let Some((stream, peer, place)) = accepted else { continue };
        let (app, watcher) = (app.clone(), graceful.watcher());
        let acceptor = tls.as_ref().map(|tls| tls.acceptor());
        tokio::spawn(async move {
            match acceptor {
                None => attend(stream, peer, None, app, watcher).await,
                Some(acceptor) => {
                    // Who does not finish the handshake, or shows a certificate of nobody we know, is not attended to.
                    if let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE_WITHIN, acceptor.accept(stream)).await {
                        let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
                        let shown = shown.and_then(|first| ClientCertificate::read(first));
                        attend(stream, peer, shown, app, watcher).await;
                    }
                }
            }
            drop(place);
        });
    }
    drop(listener);
    if tokio::time::timeout(STOP_WITHIN, graceful.shutdown()).await.is_err() {
        tracing::warn!("some connections were cut after {} s", STOP_WITHIN.as_secs());
    }
}

/// Answers what comes over one connection.
async fn attend<S>(stream: S, peer: SocketAddr, shown: Option<ClientCertificate>, app: Router, watcher: Watcher)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        if let Some(shown) = &shown {
            request.extensions_mut().insert(shown.clone());
        }
        app.clone().oneshot(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_WITHIN)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    // A peer that goes away in the middle is its own affair.
    let _ = watcher.watch(connection).await;
}

type Accepted = (tokio::net::TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit);

async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> Option<Accepted> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => {
            // Small answers leave at once; a socket that cannot do so still works.
            let _ = stream.set_nodelay(true);
            Some((stream, peer, place))
        }
        Err(error) => {
            // Out of file descriptors, most likely: others close soon.
            tracing::warn!(error = %error, "a connection could not be accepted");
            tokio::time::sleep(Duration::from_millis(100)).await;
            None
        }
    }
}
