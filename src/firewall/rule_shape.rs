// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Recognises CRIU's packet filter rules, in every form in which a backend returns them. Pure.
//!
//! A rule is CRIU's only if it says exactly what CRIU's says: each condition once, none more, none less. A rule with
//! anything else is somebody else's. The order of the conditions is free, because it depends on the iptables version
//! (1.8.9 asks for the protocol first, 1.8.11 after the addresses).

mod nft;
mod xtables;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::connection::Flow;
use crate::system::nft::Expression;
use crate::system::xtables::IpVersion;

/// The mark that CRIU's own packets carry (`SOCCR_MARK`, `soccr/soccr.h`).
pub const CRIU_MARK: u32 = 0xC114;
/// The chain of a closed network namespace (`criu/net.c`).
pub const LOCK_CHAIN: &str = "CRIU";

const TCP: u8 = 6;

/// What a rule is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuleShape {
    /// Drops the packets of one flow of a locked connection.
    DropFlow {
        /// The flow.
        flow: Flow,
        /// Whether packets with CRIU's mark are excepted (2.10 and later).
        marked: bool,
    },
    /// Drops the flows of a set of connections.
    DropSet {
        /// The set's name.
        set: String,
        /// The addresses that it matches.
        family: IpVersion,
    },
    /// Sends every packet to the lock chain.
    JumpToLock,
    /// Lets packets with CRIU's mark pass.
    AcceptMarked,
    /// Drops every packet.
    DropAll,
    /// Anything else.
    Foreign,
}

/// What a rule of nf_tables is. `family` is that of its table; `None` for `inet`.
pub fn of_nft(family: Option<IpVersion>, expressions: &[Expression]) -> RuleShape {
    nft::Conditions::of(family, expressions).and_then(|conditions| conditions.shape()).unwrap_or(RuleShape::Foreign)
}

/// What a rule of legacy iptables is, from the words that `iptables-save` prints after the chain's name.
pub fn of_xtables(family: IpVersion, words: &[&str]) -> RuleShape {
    xtables::shape(family, words).unwrap_or(RuleShape::Foreign)
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(bytes) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(bytes).into());
    }
    <[u8; 16]>::try_from(bytes).ok().map(|bytes| Ipv6Addr::from(bytes).into())
}

/// Sets `slot`, which must be empty: CRIU states no condition twice in a rule.
fn once<T>(slot: &mut Option<T>, value: T) -> Option<()> {
    slot.replace(value).is_none().then_some(())
}

#[cfg(test)]
mod tests;
