// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How a dump locked the network: what it put into netfilter so that the dumped connections' packets are dropped
//! (`criu/netfilter.c`, `criu/net.c`).
//!
//! Which kinds of lock there are follows from the method in the inventory and from whether the tree had a network namespace
//! of its own. Where the images do not tell, every possibility is claimed: what is not there will not be found.

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
