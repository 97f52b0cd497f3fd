// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Mounts: `mountpoints-<mount namespace id>.img`.
//!
//! From `images/mnt.proto`. It is the kernel's `mountinfo`, so ids and device numbers are those of the host that dumped,
//! at that time; neither outlives the mount.

use crate::message::message;
use crate::raw_enum::raw_enum;

message! {
    /// `mnt_entry`: a mount.
    pub struct MntEntry {
        /// What filesystem it is, if CRIU knows it; see [`MntEntry::fs_type`].
        #[prost(uint32, required, tag = "1")]
        pub fstype: u32,
        /// Its id.
        #[prost(uint32, required, tag = "2")]
        pub mnt_id: u32,
        /// The device of the filesystem, in the kernel's form; see [`MntEntry::device`].
        #[prost(uint32, required, tag = "3")]
        pub root_dev: u32,
        /// The id of the mount it is on.
        #[prost(uint32, required, tag = "4")]
        pub parent_mnt_id: u32,
        /// Its flags, `MS_…`.
        #[prost(uint32, required, tag = "5")]
        pub flags: u32,
        /// The directory (or file) within the filesystem that is mounted.
        #[prost(bytes = "vec", required, tag = "6")]
        pub root: Vec<u8>,
        /// Where it is mounted, below the root of the mount namespace.
        #[prost(bytes = "vec", required, tag = "7")]
        pub mountpoint: Vec<u8>,
        /// The source it was mounted from.
        #[prost(bytes = "vec", required, tag = "8")]
        pub source: Vec<u8>,
        /// Options of the filesystem.
        #[prost(bytes = "vec", required, tag = "9")]
        pub options: Vec<u8>,
        /// The peer group it shares with. Since CRIU 0.7.
        #[prost(uint32, optional, tag = "10")]
        pub shared_id: Option<u32>,
        /// The peer group it receives from. Since CRIU 0.7.
        #[prost(uint32, optional, tag = "11")]
        pub master_id: Option<u32>,
        /// Whether a plugin takes care of it. Since CRIU 1.1.
        #[prost(bool, tag = "12")]
        pub with_plugin: bool,
        /// Whether it is external, before `ext_key`. CRIU 1.3 to 2.12.
        #[prost(bool, tag = "13")]
        pub ext_mount: bool,
        /// The name of the filesystem, where the type is [`FsType::Auto`]. Since CRIU 1.6.
        #[prost(bytes = "vec", optional, tag = "14")]
        pub fsname: Option<Vec<u8>>,
        /// Whether its peers are all in the dump. Since CRIU 1.6.
        #[prost(bool, tag = "15")]
        pub internal_sharing: bool,
        /// Whether what is mounted has been unlinked. Since CRIU 1.7.
        #[prost(bool, tag = "16")]
        pub deleted: bool,
        /// The flags of the filesystem, `MS_…`. Since CRIU 1.8.
        #[prost(uint32, optional, tag = "17")]
        pub sb_flags: Option<u32>,
        /// The user's key for it, if it is external. Since CRIU 3.0.
        #[prost(bytes = "vec", optional, tag = "18")]
        pub ext_key: Option<Vec<u8>>,
    }
}

impl MntEntry {
    /// The device of the filesystem, as `(major, minor)`.
    pub fn device(&self) -> (u32, u32) {
        super::split_device(self.root_dev)
    }

    /// What filesystem it is, if CRIU knows it.
    pub fn fs_type(&self) -> FsType {
        self.fstype.into()
    }
}

raw_enum! {
    /// `enum fstype`: the filesystems that CRIU knows. Those on disks are not among them.
    pub enum FsType: u32 {
        /// None of the others: ext4, xfs, btrfs and so on.
        Unsupported = 0,
        /// `proc`.
        Proc = 1,
        /// `sysfs`.
        Sysfs = 2,
        /// `devtmpfs`.
        Devtmpfs = 3,
        /// `binfmt_misc`.
        BinfmtMisc = 4,
        /// `tmpfs`.
        Tmpfs = 5,
        /// `devpts`.
        Devpts = 6,
        /// `simfs`, of OpenVZ.
        Simfs = 7,
        /// `pstore`.
        Pstore = 8,
        /// `securityfs`.
        Securityfs = 9,
        /// `fusectl`.
        Fusectl = 10,
        /// `debugfs`.
        Debugfs = 11,
        /// `cgroup`.
        Cgroup = 12,
        /// `aufs`.
        Aufs = 13,
        /// `mqueue`.
        Mqueue = 14,
        /// `fuse`.
        Fuse = 15,
        /// One that the user allowed, and whose name is in `fsname`.
        Auto = 16,
        /// `overlay`.
        Overlayfs = 17,
        /// `autofs`.
        Autofs = 18,
        /// `tracefs`.
        Tracefs = 19,
        /// `cgroup2`.
        Cgroup2 = 23,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::sealed::Sealed;

    #[track_caller]
    fn check(bytes: &[u8], fs_type: FsType, device: (u32, u32)) {
        let mount = MntEntry::decode(bytes).unwrap();
        assert_eq!((mount.fs_type(), mount.device()), (fs_type, device));
    }

    #[test]
    fn a_filesystem_without_a_name_is_kept() {
        check(&[8, 0, 24, 0x81, 0x80, 0x80, 0x7f], FsType::Unsupported, (254, 1));
        check(&[8, 17, 24, 55], FsType::Overlayfs, (0, 55));
        check(&[8, 20, 24, 0xff, 0xff, 0xff, 0xff, 0x0f], FsType::Unknown(20), (0xfff, 0xf_ffff));
        check(&[8, 23, 24, 0], FsType::Cgroup2, (0, 0));
    }

    #[test]
    fn paths_need_not_be_text() {
        let mount = MntEntry::decode(&[50, 2, b'/', 0xfe, 58, 2, b'/', 0xff, 128, 1, 1, 146, 1, 1, 0xfd][..]).unwrap();
        assert_eq!((mount.root.as_slice(), mount.mountpoint.as_slice()), (&b"/\xfe"[..], &b"/\xff"[..]));
        assert_eq!((mount.deleted, mount.ext_key, mount.shared_id), (true, Some(vec![0xfd]), None));
    }
}
