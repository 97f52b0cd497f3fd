// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How a dump locked the network: the netfilter objects that drop the packets of the dumped connections
//! (`criu/netfilter.c`, `criu/net.c`).
//!
//! The method in the inventory and the network namespace of the tree decide which kinds of lock are possible. If the
//! images do not say, every possibility is claimed: what does not exist will not be found.

use criu_images::NetworkLock;

use crate::checkpoint::Checkpoint;

/// By what a dump can have locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    /// Nothing.
    Nothing,
    /// iptables.
    Iptables,
    /// An nftables table.
    Nftables,
    /// One of the two.
    Either,
    /// Something that this version does not know, by its number.
    Unknown(u32),
}

impl Method {
    pub(super) fn of(checkpoint: &Checkpoint) -> Self {
        match checkpoint.network_lock() {
            Some(NetworkLock::Skip) => Method::Nothing,
            Some(NetworkLock::Iptables) => Method::Iptables,
            Some(NetworkLock::Nftables) => Method::Nftables,
            // Also what a later criu-images has a name for.
            Some(lock) => Method::Unknown(lock.into()),
            None => Method::Either,
        }
    }
}

#[cfg(test)]
mod tests;
