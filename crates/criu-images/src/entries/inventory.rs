// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `inventory.img`: what holds for the whole dump.
//!
//! CRIU 2.0 and later write it last, so that a dump which was interrupted has none. From `images/inventory.proto`.

use crate::TaskKobjIds;
use crate::raw_enum::raw_enum;

/// `inventory_entry`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Inventory {
    /// Version of the image format: 1 until CRIU 1.5, 2 since 1.6, and 0 in the directory of a pre-dump.
    #[prost(uint32, required, tag = "1")]
    pub img_version: u32,
    /// The namespaces of the criu process itself; a task with the same id for one shares it with criu.
    #[prost(message, optional, tag = "3")]
    pub root_ids: Option<TaskKobjIds>,
    /// Whether images of namespaces are numbered by the namespace's id, and not by a pid. Since CRIU 0.8.
    #[prost(bool, tag = "4")]
    pub ns_per_id: bool,
    /// Microseconds since the host booted, at the dump. Only with memory tracking; since CRIU 3.10.
    #[prost(uint64, optional, tag = "8")]
    pub dump_uptime: Option<u64>,
    /// How the memory was read; only in a pre-dump. Since CRIU 3.14.
    #[prost(uint32, optional, tag = "9")]
    pub pre_dump_mode: Option<u32>,
    /// Whether TCP connections were dumped as closed, hence without a lock. Since CRIU 3.15.
    #[prost(bool, optional, tag = "10")]
    pub tcp_close: Option<bool>,
    /// How the network was locked; see [`Inventory::network_lock`]. Since CRIU 3.16, always present.
    #[prost(uint32, optional, tag = "11")]
    pub network_lock_method: Option<u32>,
    /// The run id, by which CRIU names its nftables table. Since CRIU 4.1.
    #[prost(bytes = "vec", optional, tag = "13")]
    pub dump_criu_run_id: Option<Vec<u8>>,
}

raw_enum! {
    /// How CRIU locked the network: `enum NETWORK_LOCK_METHOD` in `criu/include/cr_options.h`.
    ///
    /// The same words have other numbers in CRIU's RPC protocol.
    pub enum NetworkLock: u32 {
        /// With rules of iptables.
        Iptables = 0,
        /// With a table of nftables.
        Nftables = 1,
        /// Not at all.
        Skip = 2,
    }
}

impl Inventory {
    /// How the network was locked.
    ///
    /// Before CRIU 3.16 there was only iptables and nothing was recorded; then `network_lock_method` is `None`.
    pub fn network_lock(&self) -> NetworkLock {
        self.network_lock_method.map_or(NetworkLock::Iptables, NetworkLock::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;

    #[track_caller]
    fn check(bytes: &[u8], expected: NetworkLock, recorded: Option<u32>) {
        let inventory = Inventory::decode(bytes).unwrap();
        assert_eq!((inventory.network_lock(), inventory.network_lock_method), (expected, recorded));
    }

    #[test]
    fn absence_of_a_lock_method_means_iptables_and_shows() {
        check(&[8, 2], NetworkLock::Iptables, None);
        check(&[8, 2, 88, 0], NetworkLock::Iptables, Some(0));
        check(&[8, 2, 88, 1], NetworkLock::Nftables, Some(1));
        check(&[8, 2, 88, 2], NetworkLock::Skip, Some(2));
        check(&[8, 2, 88, 3], NetworkLock::Unknown(3), Some(3));
    }

    #[test]
    fn a_run_id_need_not_be_text() {
        let inventory = Inventory::decode(&[8, 2, 26, 4, 48, 1, 72, 0, 106, 2, 0xff, 0x00][..]).unwrap();
        assert_eq!(inventory.dump_criu_run_id, Some(vec![0xff, 0x00]));
        let ids = inventory.root_ids.unwrap();
        assert_eq!((ids.net_ns_id, ids.mnt_ns_id, ids.pid_ns_id), (Some(1), Some(0), None));
    }

    #[test]
    fn what_a_later_criu_adds_is_skipped() {
        let inventory = Inventory::decode(&[8, 2, 120, 1, 80, 1][..]).unwrap();
        assert_eq!((inventory.img_version, inventory.tcp_close), (2, Some(true)));
    }
}
