// SPDX-License-Identifier: Apache-2.0 OR MIT
//! TCP connections that a dump locked, and the packets that each lock matches.
//!
//! In its own network namespace, CRIU locks a connection with two rules or two set elements, one for each direction
//! (`criu/netfilter.c`).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A TCP connection as the images record it, seen from the dumped socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Connection {
    /// The dumped socket's own end.
    pub local: SocketAddr,
    /// The other end.
    pub peer: SocketAddr,
}

/// The chain that a rule is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Direction {
    /// `INPUT`.
    Input,
    /// `OUTPUT`.
    Output,
}

impl Direction {
    /// Both, in the order in which CRIU inserts.
    pub const BOTH: [Direction; 2] = [Direction::Input, Direction::Output];

    /// The name of iptables' chain.
    pub const fn chain(self) -> &'static str {
        match self {
            Direction::Input => "INPUT",
            Direction::Output => "OUTPUT",
        }
    }
}

/// The packets that one rule or one set element matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Flow {
    /// Where the packets come from.
    pub source: SocketAddr,
    /// Where they go.
    pub destination: SocketAddr,
}

/// What a lock table may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableForm {
    /// Sets of connections to drop; all else passes.
    Connections,
    /// Nothing but the exception for CRIU itself: every packet is dropped.
    Closed,
    /// The images do not tell which.
    Either,
}

impl TableForm {
    /// Whether a table that holds `found` may be the one that is meant.
    pub fn admits(self, found: TableForm) -> bool {
        self == TableForm::Either || found == TableForm::Either || self == found
    }
}

impl Connection {
    /// What CRIU's rule in the chain of `direction` matches. Each rule decides by its own source address whether
    /// it is about IPv4, as `ipv6_addr_mapped` in `criu/netfilter.c` does.
    pub fn flow(&self, direction: Direction) -> Flow {
        let (source, destination) = match direction {
            Direction::Input => (self.peer, self.local),
            Direction::Output => (self.local, self.peer),
        };
        if is_treated_as_ipv4(source.ip()) {
            let ipv4 = |end: SocketAddr| SocketAddr::new(last_four_bytes(end.ip()), end.port());
            return Flow { source: ipv4(source), destination: ipv4(destination) };
        }
        Flow { source, destination }
    }
}

impl fmt::Display for Connection {
    /// As the `criu gc` series of 2016 wrote it: IPv6 addresses without brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Connection { local, peer } = self;
        write!(f, "{}:{} -> {}:{}", local.ip(), local.port(), peer.ip(), peer.port())
    }
}

/// CRIU looks at the third word only, so an address like `2001:db8::ffff:1:2` counts as mapped too.
fn is_treated_as_ipv4(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.octets()[8..12] == [0, 0, 0xff, 0xff])
}

fn last_four_bytes(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let [.., a, b, c, d] = Ipv6Addr::octets(&address);
            IpAddr::V4(Ipv4Addr::new(a, b, c, d))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(local: &str, peer: &str) -> Connection {
        Connection { local: local.parse().unwrap(), peer: peer.parse().unwrap() }
    }

    fn check(connection: Connection, direction: Direction, source: &str, destination: &str) {
        let expected = Flow { source: source.parse().unwrap(), destination: destination.parse().unwrap() };
        assert_eq!(connection.flow(direction), expected);
    }

    #[test]
    fn input_matches_what_the_peer_sends() {
        let v4 = connection("10.0.0.1:80", "10.0.0.2:4000");
        check(v4, Direction::Input, "10.0.0.2:4000", "10.0.0.1:80");
        check(v4, Direction::Output, "10.0.0.1:80", "10.0.0.2:4000");
    }

    #[test]
    fn mapped_addresses_are_locked_as_ipv4() {
        let mapped = connection("[::ffff:10.0.0.1]:80", "[::ffff:10.0.0.2]:4000");
        check(mapped, Direction::Input, "10.0.0.2:4000", "10.0.0.1:80");
        check(mapped, Direction::Output, "10.0.0.1:80", "10.0.0.2:4000");
    }

    #[test]
    fn a_genuine_ipv6_address_that_criu_mistakes_is_mistaken_here_too() {
        let odd = connection("[2001:db8::1]:80", "[2001:db8::ffff:a00:2]:4000");
        check(odd, Direction::Input, "10.0.0.2:4000", "0.0.0.1:80");
        check(odd, Direction::Output, "[2001:db8::1]:80", "[2001:db8::ffff:a00:2]:4000");
    }

    #[test]
    fn the_text_is_that_of_2016() {
        assert_eq!(connection("[::1]:8880", "[::1]:5").to_string(), "::1:8880 -> ::1:5");
        assert_eq!(
            connection("[::ffff:127.0.0.1]:1", "[::ffff:127.0.0.1]:2").to_string(),
            "::ffff:127.0.0.1:1 -> ::ffff:127.0.0.1:2"
        );
    }
}
