// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `inventory.img`: what holds for the whole dump.
//!
//! CRIU 2.0 and later write it last, so that a dump which was interrupted has none. From `images/inventory.proto`.

use crate::TaskKobjIds;
use crate::message::message;
use crate::raw_enum::raw_enum;

message! {
    /// `inventory_entry`: what holds for the whole dump.
    pub struct Inventory {
        /// The version of the image format; see [`Inventory::version`].
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
        /// The run id, which is part of the name of CRIU's nftables table. Since CRIU 4.1.
        #[prost(bytes = "vec", optional, tag = "13")]
        pub dump_criu_run_id: Option<Vec<u8>>,
        /// Whether tasks with uprobes may be dumped. Since CRIU 4.2.
        #[prost(bool, optional, tag = "14")]
        pub allow_uprobes: Option<bool>,
        /// How the memory pages are compressed, in CRIU's numbers; 0 for not at all. Since CRIU 4.3.
        #[prost(uint32, optional, tag = "15")]
        pub compress: Option<u32>,
        /// The size of the blocks in which they are compressed. Since CRIU 4.3.
        #[prost(uint32, optional, tag = "16")]
        pub compress_block_size: Option<u32>,
    }
}

raw_enum! {
    /// The version of the image format: `CRTOOLS_IMAGES_V…`.
    ///
    /// CRIU refuses images of a version that it does not know.
    pub enum ImageVersion: u32 {
        /// The directory of a pre-dump, which holds memory only.
        PreDump = 0,
        /// Until CRIU 1.5.
        V1_0 = 1,
        /// Since CRIU 1.6.
        V1_1 = 2,
        /// With compressed memory pages. Since CRIU 4.3, which writes 2 if they are not compressed.
        V1_2 = 3,
    }
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
    /// The version of the image format.
    ///
    /// ```
    /// use criu_images::{ImageReader, ImageVersion, Inventory};
    ///
    /// let image = std::fs::File::open("images/criu-4.3/inventory.img")?;
    /// let record = ImageReader::<_, Inventory>::open(image)?.next().expect("a record")?;
    /// assert_eq!(record.entry.version(), ImageVersion::V1_1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn version(&self) -> ImageVersion {
        self.img_version.into()
    }

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
    use crate::entry::sealed::Sealed;

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
        let inventory = Inventory::decode(&[8, 2, 0xf8, 7, 1, 80, 1][..]).unwrap();
        assert_eq!((inventory.img_version, inventory.tcp_close), (2, Some(true)));
    }

    #[test]
    fn compressed_pages_have_a_version_of_their_own() {
        let inventory = Inventory::decode(&[8, 3, 112, 1, 120, 1, 0x80, 1, 0x80, 0x20][..]).unwrap();
        assert_eq!(inventory.version(), ImageVersion::V1_2);
        assert_eq!((inventory.compress, inventory.compress_block_size), (Some(1), Some(4096)));
        assert_eq!(inventory.allow_uprobes, Some(true));
    }

    #[test]
    fn a_version_without_a_name_is_kept() {
        let version = |number: u32| ImageVersion::from(number);
        assert_eq!(
            (version(0), version(1), version(4)),
            (ImageVersion::PreDump, ImageVersion::V1_0, ImageVersion::Unknown(4))
        );
        assert!((0..9).all(|number| u32::from(version(number)) == number));
    }
}
