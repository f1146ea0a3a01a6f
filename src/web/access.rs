//! Who may see and do what: a session or a bearer token, or a person that a trusted proxy names. On loopback without
//! access configured everybody is the operator, but Host and Origin are checked, so that no web page elsewhere can
//! reach through a browser.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, header};

use super::WebState;
use super::problem::{Code, Refused};
use super::session::{Session, known_token};
use crate::catalog::MainFile;
use crate::catalog::access::{Access, Role, TrustedProxy};
use crate::ledger::views::Scope;

/// An admitted reader.
#[derive(Debug, Clone)]
pub struct Reader {
    /// Name for the journal.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// Applications they may see; `None`: all.
    pub scope: Scope,
    pub(super) via: Via,
}

/// How a reader was recognised.
#[derive(Debug, Clone)]
pub(super) enum Via {
    /// Nobody else can reach this machine's loopback.
    Local,
    Session(Session),
    Bearer,
    Proxy,
}

impl Reader {
    /// Whether names of persons and free text are for them.
    #[must_use]
    pub fn sees_names(&self) -> bool {
        self.role == Role::Operator
    }

    /// Whether they may act, on what is in their scope.
    #[must_use]
    pub fn may_act(&self) -> bool {
        self.role == Role::Operator
    }

    /// Whether they may see something of these applications; what belongs to none is only for readers of all.
    #[must_use]
    pub fn covers(&self, applications: &[String]) -> bool {
        self.scope.as_ref().is_none_or(|mine| !applications.is_empty() && applications.iter().all(|a| mine.contains(a)))
    }

    /// Their name, where they signed in themselves and can sign out.
    pub(super) fn signed_in(&self) -> Option<&str> {
        matches!(self.via, Via::Session(_)).then_some(&self.name)
    }

    /// What the tokens of their forms are bound to.
    pub(super) fn binding(&self) -> String {
        match &self.via {
            Via::Local => "local".to_owned(),
            Via::Session(session) => session.binding(),
            Via::Bearer => format!("bearer/{}", self.name),
            Via::Proxy => format!("proxy/{}", self.name),
        }
    }
}

impl FromRequestParts<WebState> for Reader {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &WebState) -> Result<Self, Refused> {
        if let Some(known) = parts.extensions.get::<Self>() {
            return Ok(known.clone());
        }
        let setup = state.setup.load_full();
        let reader = admit(parts, state, &setup.catalog.main).await?;
        parts.extensions.insert(reader.clone());
        Ok(reader)
    }
}

async fn admit(parts: &Parts, state: &WebState, main: &MainFile) -> Result<Reader, Refused> {
    refuse_other_sites(parts, main)?;
    let access = &main.access;
    if !access.is_configured() {
        return local(parts, state);
    }
    if let Some(reader) = by_bearer(parts, state, access)? {
        return Ok(reader);
    }
    if let Some(reader) = by_session(parts, state, access).await? {
        return Ok(reader);
    }
    let words = match (access.tokens.is_empty(), trusted(parts, access)) {
        (true, Some(_)) => "the proxy named nobody, or nobody of a group in [access.trusted_proxy]",
        (true, None) => "come through the proxy that lastmile trusts",
        (false, _) => "send a token as bearer, or sign in with one on the page /sign-in",
    };
    by_proxy(parts, access).ok_or_else(|| Refused::new(Code::SignIn, words))
}

/// The only value of a header; none when it is missing, unreadable or sent more than once (a proxy that adds its own
/// beside the client's must not be misread).
pub(super) fn single<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(first)
}

/// A browser names the site that a request comes from: only our own may send more than a plain visit.
pub(super) fn refuse_other_sites(parts: &Parts, main: &MainFile) -> Result<(), Refused> {
    let refused = || Refused::new(Code::Origin, "this request was sent by a page of another site");
    let own = single(&parts.headers, "host").unwrap_or_default();
    if let Some(origin) = parts.headers.get(header::ORIGIN) {
        let origin = origin.to_str().map_err(|_| refused())?;
        let public = main.server.public_url.as_deref().and_then(|u| url::Url::parse(u).ok());
        let is_public = public.is_some_and(|u| u.origin().ascii_serialization() == origin);
        let is_own = origin.split_once("://").is_some_and(|(_, host)| host == own);
        if !is_public && !is_own {
            return Err(refused());
        }
    }
    let reads = matches!(parts.method, Method::GET | Method::HEAD);
    match single(&parts.headers, "sec-fetch-site") {
        Some(site) if !reads && site != "same-origin" && site != "none" => Err(refused()),
        _ => Ok(()),
    }
}

/// Without access configured: this machine only, under its own name, and not through a proxy that lets others in.
fn local(parts: &Parts, state: &WebState) -> Result<Reader, Refused> {
    let forwarded = ["forwarded", "x-forwarded-for", "x-forwarded-host", "via"].iter().any(|h| parts.headers.contains_key(*h));
    if forwarded {
        let words = "a proxy forwards to this page, but [access] is not configured in lastmile.toml: anybody could act";
        return Err(Refused::new(Code::Host, words));
    }
    if state.loopback && host_is_local(parts) {
        return Ok(Reader { name: "local operator".to_owned(), role: Role::Operator, scope: None, via: Via::Local });
    }
    Err(Refused::new(Code::Host, "open this page under 127.0.0.1 or localhost"))
}

/// A page elsewhere can make its own name point here (DNS rebinding), but cannot make the browser say another one.
fn host_is_local(parts: &Parts) -> bool {
    let Some(host) = single(&parts.headers, "host").and_then(|h| h.parse::<Authority>().ok()) else { return false };
    let name = host.host();
    name.eq_ignore_ascii_case("localhost")
        || name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

fn by_bearer(parts: &Parts, state: &WebState, access: &Access) -> Result<Option<Reader>, Refused> {
    let Some(sent) = single(&parts.headers, "authorization") else { return Ok(None) };
    let Some((_, token)) = sent.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")) else {
        return Ok(None);
    };
    let peer = client(parts, access);
    let now = state.clock.now();
    if let Some(seconds) = state.gate.attempts.wait(peer, now) {
        return Err(too_many(seconds));
    }
    match known_token(token.trim(), access) {
        Some((name, token)) => {
            Ok(Some(Reader { name: name.to_owned(), role: token.role, scope: scope(&token.applications), via: Via::Bearer }))
        }
        None => {
            state.gate.attempts.failed(peer, now);
            Err(Refused::new(Code::SignIn, "this token is not known here"))
        }
    }
}

/// Says how long to wait after too many failures.
pub(super) fn too_many(seconds: i64) -> Refused {
    Refused::new(Code::TooManyAttempts, format!("too many failed sign-ins from your address; try again in {seconds} s"))
        .after(seconds)
}

async fn by_session(parts: &Parts, state: &WebState, access: &Access) -> Result<Option<Reader>, Refused> {
    let Some(cookie) = cookie(&parts.headers, COOKIES) else { return Ok(None) };
    let session = state.gate.sessions.read(&*state.ledger, cookie, access, state.clock.now()).await?;
    Ok(session.and_then(|session| {
        let token = access.tokens.get(&session.token)?;
        let (role, scope) = (token.role, scope(&token.applications));
        Some(Reader { name: session.token.clone(), role, scope, via: Via::Session(session) })
    }))
}

/// Names of the session cookie: with https, the browser itself guards the first.
pub(super) const COOKIES: [&str; 2] = ["__Host-lastmile", "lastmile"];

/// The first cookie of one of these names.
pub(super) fn cookie<'a>(headers: &'a HeaderMap, names: [&str; 2]) -> Option<&'a str> {
    let sent: Vec<(&str, &str)> = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .collect();
    names.iter().find_map(|name| sent.iter().find(|(n, _)| n == name).map(|(_, value)| *value))
}

fn trusted<'a>(parts: &Parts, access: &'a Access) -> Option<&'a TrustedProxy> {
    let peer = peer(parts)?;
    access.trusted_proxy.as_ref().filter(|proxy| proxy.from.iter().any(|from| from.to_canonical() == peer))
}

fn peer(parts: &Parts) -> Option<IpAddr> {
    parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip().to_canonical())
}

/// Whose failures are counted: the peer, or whom a trusted proxy speaks for.
pub(super) fn client(parts: &Parts, access: &Access) -> IpAddr {
    let forwarded = || single(&parts.headers, "x-forwarded-for")?.rsplit(',').next()?.trim().parse().ok();
    let named = trusted(parts, access).and_then(|_| forwarded());
    named.or_else(|| peer(parts)).unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}

fn by_proxy(parts: &Parts, access: &Access) -> Option<Reader> {
    let proxy = trusted(parts, access)?;
    let name = single(&parts.headers, &proxy.user_header).filter(|n| !n.is_empty())?.to_owned();
    let groups = proxy.groups_header.as_deref().and_then(|h| single(&parts.headers, h)).unwrap_or_default();
    let groups: Vec<&str> = groups.split(',').map(str::trim).collect();
    let fits = proxy.groups.iter().find(|g| g.group == "*" || groups.contains(&g.group.as_str()))?;
    Some(Reader { name, role: fits.role, scope: scope(&fits.applications), via: Via::Proxy })
}

fn scope(applications: &[String]) -> Scope {
    (!applications.is_empty()).then(|| applications.to_vec())
}
