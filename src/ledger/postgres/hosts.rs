//! An address with several hosts: a primary and its standbys, one of which is the primary at a time.

use crate::ledger::{LedgerError, LedgerResult};

/// One address for each host, in their order. Hosts stand where one does, with commas between, or in `host=`; `port=` may
/// have one for all or one for each. `target_session_attrs` is what libpq calls it: only `read-write` and `primary` are meant.
pub(super) fn each(url: &str) -> LedgerResult<Vec<String>> {
    let Some((scheme, rest)) = url.split_once("://") else { return Ok(vec![url.to_owned()]) };
    let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (user, hosts) = authority.rsplit_once('@').map_or((String::new(), authority), |(u, h)| (format!("{u}@"), h));
    let (path, settings) = tail.split_once('?').unwrap_or((tail, ""));
    let (mut others, mut named, mut ports) = (Vec::new(), Vec::new(), Vec::new());
    for setting in settings.split('&').filter(|s| !s.is_empty()) {
        match setting.split_once('=') {
            Some(("target_session_attrs", "read-write" | "primary")) => {}
            Some(("target_session_attrs", _)) => {
                let words = "[ledger] url: target_session_attrs can only be read-write: the ledger is written to";
                return Err(LedgerError::Unfit(words.to_owned()));
            }
            Some(("host", value)) => named = value.split(',').collect(),
            Some(("port", value)) => ports = value.split(',').collect(),
            _ => others.push(setting),
        }
    }
    let in_place: Vec<&str> = hosts.split(',').collect();
    if (in_place.len() > 1 && !named.is_empty()) || (ports.len() > 1 && ports.len() != named.len().max(in_place.len())) {
        let words = "[ledger] url: name several hosts in one place, each with its port: postgres://user@a:5432,b:5432/database";
        return Err(LedgerError::Unfit(words.to_owned()));
    }
    let address = |n: usize| {
        let host = if named.is_empty() { in_place.get(n) } else { in_place.first() };
        let mut settings: Vec<String> = others.iter().map(|s| (*s).to_owned()).collect();
        settings.extend(named.get(n).map(|host| format!("host={host}")));
        settings.extend(ports.get(n).or(ports.first()).map(|port| format!("port={port}")));
        let settings = if settings.is_empty() { String::new() } else { format!("?{}", settings.join("&")) };
        format!("{scheme}://{user}{}{path}{settings}", host.unwrap_or(&""))
    };
    Ok((0..named.len().max(in_place.len())).map(address).collect())
}

#[cfg(test)]
mod tests {
    use super::each;

    #[test]
    fn one_host_stays_as_it_is() {
        for url in
            ["postgres://lastmile@db:5432/ledger?sslmode=verify-full", "postgres:///ledger?host=/run/postgresql", "postgres://db"]
        {
            assert_eq!(each(url).unwrap(), [url]);
        }
    }

    #[test]
    fn several_hosts_are_tried_in_their_order() {
        let several = "postgres://lastmile@a:5432,b:5433/ledger?target_session_attrs=read-write&sslmode=require";
        let each_of = ["postgres://lastmile@a:5432/ledger?sslmode=require", "postgres://lastmile@b:5433/ledger?sslmode=require"];
        assert_eq!(each(several).unwrap(), each_of);
        let sockets = "postgres://lastmile@localhost/ledger?host=/a,/b&port=5432";
        let each_of =
            ["postgres://lastmile@localhost/ledger?host=/a&port=5432", "postgres://lastmile@localhost/ledger?host=/b&port=5432"];
        assert_eq!(each(sockets).unwrap(), each_of);
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for url in [
            "postgres://a,b/ledger?host=c",
            "postgres://a,b/ledger?port=1,2,3",
            "postgres://a,b/ledger?target_session_attrs=standby",
        ] {
            assert!(each(url).is_err(), "{url}");
        }
    }
}
