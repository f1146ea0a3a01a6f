//! A server may vanish without a word: power, a cut cable. A query that is under way then is answered never, and TCP notices
//! after a quarter of an hour, or not at all.

use std::time::Duration;

/// Longest wait for the answer to a reader. The server itself gives up after a minute.
pub(in crate::ledger) const ANSWERS_WITHIN: Duration = Duration::from_secs(75);

/// The error of a server that does not answer.
pub(in crate::ledger) fn silent() -> sqlx::Error {
    sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, "the server does not answer"))
}

/// Asks something on a connection of a pool, within a time. A connection that stays silent is closed on the spot: given
/// back, it would be asked whether it lives, and keep its place in the pool until that is answered.
macro_rules! in_time {
    ($pool:expr, $within:expr, |$connection:ident| $asking:expr) => {{
        let mut lent = $pool.acquire().await?;
        let asked = {
            let $connection = &mut *lent;
            tokio::time::timeout($within, $asking).await
        };
        match asked {
            Ok(answer) => answer,
            Err(_) => {
                drop(lent.detach());
                Err($crate::ledger::engine::silent())
            }
        }
    }};
}

pub(in crate::ledger) use in_time;

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, PgSslMode};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// Lets everybody in and never answers anything.
    async fn vanished() -> u16 {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let mut held = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut start = vec![0; usize::try_from(stream.read_i32().await.unwrap()).unwrap() - 4];
                stream.read_exact(&mut start).await.unwrap();
                // AuthenticationOk, ReadyForQuery.
                stream.write_all(b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I").await.unwrap();
                held.push(stream);
            }
        });
        port
    }

    async fn ask(pool: &PgPool) -> Result<(), sqlx::Error> {
        in_time!(pool, Duration::from_millis(50), |c| sqlx::query("SELECT 1").execute(c)).map(drop)
    }

    #[tokio::test]
    async fn a_server_that_vanished_is_not_waited_for_and_keeps_no_place_in_the_pool() {
        let options = PgConnectOptions::new().host("127.0.0.1").port(vanished().await).username("x").ssl_mode(PgSslMode::Disable);
        let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(Duration::from_secs(5)).connect_lazy_with(options);
        for _ in 0..3 {
            match ask(&pool).await {
                Err(sqlx::Error::Io(error)) => assert_eq!(error.kind(), ErrorKind::TimedOut),
                other => panic!("{other:?}"),
            }
        }
    }
}
