//! A fake mail server: it keeps what it was given, and fails as it is told.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::ServerConfig;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// A message that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// Sender of the envelope.
    pub from: String,
    /// Receivers of the envelope.
    pub to: Vec<String>,
    /// The message as it came, dots undone.
    pub text: String,
    /// It came through TLS.
    pub secure: bool,
    /// The account that sent it.
    pub user: Option<String>,
}

/// What goes wrong with the next message; each is drawn once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MailFault {
    /// The greeting is "try later".
    Busy,
    /// This receiver is refused for good.
    RefuseReceiver(String),
    /// The message is refused after it was sent.
    RefuseMessage,
    /// The message is kept, and the connection breaks before the answer: the sender cannot know.
    LoseAnswer,
    /// The connection breaks in the middle of the message.
    Break,
    /// TLS is not offered.
    NoTls,
}

/// How the server greets.
#[derive(Debug, Clone, Default)]
pub struct MailServer {
    /// TLS of its own.
    pub tls: Option<Arc<ServerConfig>>,
    /// TLS from the first byte, else by STARTTLS.
    pub wrapped: bool,
    /// The account it asks for.
    pub account: Option<(String, String)>,
}

#[derive(Debug, Default)]
struct State {
    mails: Mutex<Vec<Mail>>,
    faults: Mutex<VecDeque<MailFault>>,
}

/// A running fake mail server. Dropping it stops it.
#[derive(Debug)]
pub struct SandboxMail {
    address: SocketAddr,
    state: Arc<State>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for SandboxMail {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl SandboxMail {
    /// Starts one on this machine, on a free port.
    ///
    /// # Errors
    /// When no port can be listened on.
    pub async fn start(server: MailServer) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, state) = (listener.local_addr()?, Arc::new(State::default()));
        let (shared, server) = (Arc::clone(&state), Arc::new(server));
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (state, server) = (Arc::clone(&shared), Arc::clone(&server));
                // A client that goes away is its own affair.
                tokio::spawn(async move { drop(serve(socket, &server, &state).await) });
            }
        });
        Ok(Self { address, state, task })
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// What it was given, oldest first.
    #[must_use]
    pub fn mails(&self) -> Vec<Mail> {
        self.state.mails.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The next message meets this.
    pub fn fail(&self, fault: MailFault) {
        self.state.faults.lock().unwrap_or_else(PoisonError::into_inner).push_back(fault);
    }
}

async fn serve(socket: TcpStream, server: &MailServer, state: &State) -> std::io::Result<()> {
    let fault = state.faults.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let mut talk = Talk { server, state, fault, secure: false, user: None };
    if let (true, Some(tls)) = (server.wrapped, &server.tls) {
        talk.secure = true;
        let socket = TlsAcceptor::from(Arc::clone(tls)).accept(socket).await?;
        return talk.greet(BufReader::new(socket)).await.map(drop);
    }
    if let (Some(plain), Some(tls)) = (talk.greet(BufReader::new(socket)).await?, &server.tls) {
        talk.secure = true;
        let socket = TlsAcceptor::from(Arc::clone(tls)).accept(plain.into_inner()).await?;
        talk.commands(BufReader::new(socket)).await?;
    }
    Ok(())
}

struct Talk<'a> {
    server: &'a MailServer,
    state: &'a State,
    fault: Option<MailFault>,
    secure: bool,
    user: Option<String>,
}

impl Talk<'_> {
    async fn greet<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        mut peer: BufReader<S>,
    ) -> std::io::Result<Option<BufReader<S>>> {
        if self.fault == Some(MailFault::Busy) {
            say(&mut peer, "421 too busy").await?;
            return Ok(None);
        }
        say(&mut peer, "220 sandbox").await?;
        self.commands(peer).await
    }

    /// Talks until the end, or until the peer asks for TLS: then the connection is given back.
    async fn commands<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        mut peer: BufReader<S>,
    ) -> std::io::Result<Option<BufReader<S>>> {
        let (mut from, mut to) = (String::new(), Vec::new());
        while let Some(line) = hear(&mut peer).await? {
            let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
            let answer = match word.to_ascii_uppercase().as_str() {
                "EHLO" | "HELO" => self.extensions(),
                "STARTTLS" if self.offers_tls() => {
                    say(&mut peer, "220 go on").await?;
                    return Ok(Some(peer));
                }
                "AUTH" => self.sign_in(&mut peer, rest).await?,
                "MAIL" if self.server.account.is_some() && self.user.is_none() => "530 sign in first".to_owned(),
                "MAIL" => {
                    from = address(rest);
                    "250 ok".to_owned()
                }
                "RCPT" => {
                    let receiver = address(rest);
                    if self.fault == Some(MailFault::RefuseReceiver(receiver.clone())) {
                        format!("550 <{receiver}> is not known here")
                    } else {
                        to.push(receiver);
                        "250 ok".to_owned()
                    }
                }
                "DATA" => {
                    say(&mut peer, "354 go on").await?;
                    let Some(answer) = self.take(&mut peer, &from, &to).await? else { return Ok(None) };
                    answer
                }
                "RSET" | "NOOP" => "250 ok".to_owned(),
                "QUIT" => {
                    say(&mut peer, "221 bye").await?;
                    return Ok(None);
                }
                _ => "502 not known".to_owned(),
            };
            say(&mut peer, &answer).await?;
        }
        Ok(None)
    }

    fn offers_tls(&self) -> bool {
        self.server.tls.is_some() && !self.secure && self.fault != Some(MailFault::NoTls)
    }

    fn extensions(&self) -> String {
        let mut lines = vec!["sandbox", "8BITMIME", "SMTPUTF8"];
        if self.offers_tls() {
            lines.push("STARTTLS");
        }
        if self.server.account.is_some() {
            lines.push("AUTH PLAIN LOGIN");
        }
        let last = lines.len() - 1;
        let all = lines.iter().enumerate().map(|(n, line)| format!("250{}{line}", if n == last { " " } else { "-" }));
        all.collect::<Vec<_>>().join("\r\n")
    }

    async fn sign_in<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        peer: &mut BufReader<S>,
        rest: &str,
    ) -> std::io::Result<String> {
        let (method, first) = rest.split_once(' ').unwrap_or((rest, ""));
        if !method.eq_ignore_ascii_case("PLAIN") {
            return Ok("504 only PLAIN".to_owned());
        }
        let mut given = first.to_owned();
        if given.is_empty() {
            say(peer, "334 ").await?;
            given = hear(peer).await?.unwrap_or_default();
        }
        let bytes = STANDARD.decode(given.trim()).unwrap_or_default();
        let words: Vec<String> = bytes.split(|b| *b == 0).map(|part| String::from_utf8_lossy(part).into_owned()).collect();
        let known = self
            .server
            .account
            .as_ref()
            .is_some_and(|(user, password)| words.get(1) == Some(user) && words.get(2) == Some(password));
        if known {
            self.user = words.get(1).cloned();
            return Ok("235 welcome".to_owned());
        }
        Ok("535 not known".to_owned())
    }

    /// Reads the message; no answer means that the connection breaks.
    async fn take<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        peer: &mut BufReader<S>,
        from: &str,
        to: &[String],
    ) -> std::io::Result<Option<String>> {
        let mut text = String::new();
        while let Some(line) = hear(peer).await? {
            if self.fault == Some(MailFault::Break) {
                return Ok(None);
            }
            if line == "." {
                if self.fault == Some(MailFault::RefuseMessage) {
                    return Ok(Some("554 not wanted".to_owned()));
                }
                let mail = Mail { from: from.to_owned(), to: to.to_vec(), text, secure: self.secure, user: self.user.clone() };
                self.state.mails.lock().unwrap_or_else(PoisonError::into_inner).push(mail);
                return Ok((self.fault != Some(MailFault::LoseAnswer)).then(|| "250 kept".to_owned()));
            }
            text.push_str(line.strip_prefix('.').unwrap_or(&line));
            text.push_str("\r\n");
        }
        Ok(None)
    }
}

async fn say<S: AsyncWrite + Unpin>(peer: &mut BufReader<S>, line: &str) -> std::io::Result<()>
where
    BufReader<S>: AsyncWrite,
{
    peer.write_all(format!("{line}\r\n").as_bytes()).await?;
    peer.flush().await
}

async fn hear<S: AsyncRead + Unpin>(peer: &mut BufReader<S>) -> std::io::Result<Option<String>> {
    let mut line = Vec::new();
    if peer.read_until(b'\n', &mut line).await? == 0 {
        return Ok(None);
    }
    Ok(Some(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned()))
}

/// What stands between `<` and `>`.
fn address(rest: &str) -> String {
    rest.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map(|(address, _)| address.to_owned()).unwrap_or_default()
}
