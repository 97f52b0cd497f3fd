// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The iptables commands in the log of a dump: CRIU writes each one, at `-v4`, before it runs it
//! (`iptables_connection_switch_raw` in `criu/netfilter.c`). A dump that was killed between the two commands of a connection
//! leaves half a pair, which no image names.

use std::net::{IpAddr, SocketAddr};

use crate::connection::Connection;

/// The connection that a line says was to be locked, in one direction.
pub(super) fn locked(message: &[u8]) -> Option<Connection> {
    let line = std::str::from_utf8(message).ok()?.trim();
    let command = line.strip_prefix("Running iptables [")?.strip_suffix(']')?;
    let mut words = Words(command.split(' '));
    let is_ipv6 = match words.0.next()? {
        "iptables" => false,
        "ip6tables" => true,
        _ => return None,
    };
    words.expect(&["-w", "-t", "filter", "-I"])?;
    let chain = words.0.next()?;
    words.expect(&["--protocol", "tcp", "-m", "mark", "!", "--mark", "0xC114"])?;
    let source = words.address(["--source", "--sport"])?;
    let destination = words.address(["--destination", "--dport"])?;
    words.expect(&["-j", "DROP"])?;
    let is_of_family = [source, destination].iter().all(|address| address.is_ipv6() == is_ipv6);
    if words.0.next().is_some() || !is_of_family {
        return None;
    }
    match chain {
        "INPUT" => Some(Connection { local: destination, peer: source }),
        "OUTPUT" => Some(Connection { local: source, peer: destination }),
        _ => None,
    }
}

/// The words of a command.
struct Words<'a>(std::str::Split<'a, char>);

impl Words<'_> {
    fn expect(&mut self, expected: &[&str]) -> Option<()> {
        expected.iter().all(|word| self.0.next() == Some(*word)).then_some(())
    }

    fn address(&mut self, [address, port]: [&str; 2]) -> Option<SocketAddr> {
        self.expect(&[address])?;
        let address: IpAddr = self.0.next()?.parse().ok()?;
        self.expect(&[port])?;
        Some(SocketAddr::new(address, self.0.next()?.parse().ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INPUT: &str = "Running iptables [iptables -w -t filter -I INPUT --protocol tcp -m mark ! --mark 0xC114 --source \
                         10.0.0.2 --sport 4000 --destination 10.0.0.1 --dport 80 -j DROP]";

    #[track_caller]
    fn check(line: &str, expected: Option<&str>) {
        assert_eq!(locked(line.as_bytes()).map(|connection| connection.to_string()).as_deref(), expected);
    }

    #[test]
    fn each_direction_names_the_connection_as_the_dumped_socket_saw_it() {
        check(INPUT, Some("10.0.0.1:80 -> 10.0.0.2:4000"));
        check(&INPUT.replace("INPUT", "OUTPUT"), Some("10.0.0.2:4000 -> 10.0.0.1:80"));
        let six = INPUT.replace("[iptables", "[ip6tables").replace("10.0.0.", "fd00::");
        check(&six, Some("fd00::1:80 -> fd00::2:4000"));
    }

    #[test]
    fn other_commands_lock_nothing() {
        for (word, other) in [
            ("INPUT", "FORWARD"),
            ("-I ", "-D "),
            ("0xC114", "0xC115"),
            ("DROP", "ACCEPT"),
            ("filter", "nat"),
            ("80 -j", "80 -p -j"),
            ("10.0.0.2", "10.0.0.0/8"),
            ("[iptables", "[ip6tables"),
            ("4000", "70000"),
            ("]", ""),
        ] {
            check(&INPUT.replace(word, other), None);
        }
    }
}
