//! How often a peer may fail to sign in.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};

use crate::model::Timestamp;

/// So many failures …
const FAILURES: u32 = 10;
/// … within this span, and the rest of it is waited for.
const SPAN_MS: i64 = 5 * 60_000;
/// Peers remembered at once; beyond that, new ones share one count.
const PEERS: usize = 4096;
const OTHERS: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// Failed sign-ins by peer.
#[derive(Debug, Default)]
pub(super) struct Attempts(Mutex<BTreeMap<IpAddr, (u32, Timestamp)>>);

impl Attempts {
    /// Seconds this peer has to wait; none when it may try.
    pub(super) fn wait(&self, peer: IpAddr, now: Timestamp) -> Option<i64> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (failures, since) = counts.get(&key(peer)).or_else(|| (counts.len() >= PEERS).then(|| counts.get(&OTHERS))?)?;
        let left = SPAN_MS - now.ms_since(*since);
        (*failures >= FAILURES && left > 0).then_some(left.div_euclid(1000) + 1)
    }

    /// This peer failed.
    pub(super) fn failed(&self, peer: IpAddr, now: Timestamp) {
        metrics::counter!("lastmile_sign_in_failures_total").increment(1);
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut peer = key(peer);
        if !counts.contains_key(&peer) && counts.len() >= PEERS {
            counts.retain(|_, (_, since)| now.ms_since(*since) < SPAN_MS);
            if counts.len() >= PEERS {
                peer = OTHERS;
            }
        }
        let count = counts.entry(peer).or_insert((0, now));
        if now.ms_since(count.1) >= SPAN_MS {
            *count = (0, now);
        }
        count.0 += 1;
    }
}

/// Whoever has one IPv6 address has its whole network of 64 bits.
fn key(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_795_000_000_000);

    #[test]
    fn after_ten_failures_a_peer_waits_and_others_do_not() {
        let attempts = Attempts::default();
        let (one, other): (IpAddr, IpAddr) = ("2001:db8::1".parse().unwrap(), "2001:db8:0:1::1".parse().unwrap());
        for _ in 0..FAILURES {
            assert_eq!(attempts.wait(one, NOW), None);
            attempts.failed(one, NOW);
        }
        assert_eq!(attempts.wait(one, NOW.plus_secs(299)), Some(2));
        assert!(attempts.wait("2001:db8::99".parse().unwrap(), NOW).is_some(), "the same network");
        assert_eq!(attempts.wait(other, NOW), None);
        assert_eq!(attempts.wait(one, NOW.plus_secs(300)), None);
    }

    #[test]
    fn memory_is_bounded_and_a_flood_of_peers_is_still_counted() {
        let attempts = Attempts::default();
        for n in 0..u32::try_from(PEERS).unwrap() + FAILURES {
            attempts.failed(IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + n)), NOW);
        }
        assert!(attempts.0.lock().unwrap().len() <= PEERS + 1);
        assert!(attempts.wait("192.0.2.1".parse().unwrap(), NOW).is_some());
    }
}
