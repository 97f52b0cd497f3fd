// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Open files: `files.img`, and `reg-files.img` before CRIU 3.4.
//!
//! From `images/fdinfo.proto` and `images/regfile.proto`. Ids are CRIU's own, counted from 1 in each dump.

use crate::message::message;
use crate::raw_enum::raw_enum;
use crate::{InetSkEntry, UnixSkEntry};

message! {
    /// `file_entry`: an open file of any type. Since CRIU 3.4.
    ///
    /// What describes it is boxed, since a dump has hundreds of thousands of these at times.
    pub struct FileEntry {
        /// CRIU's `type`; see [`FileEntry::fd_type`].
        #[prost(int32, required, tag = "1")]
        pub kind: i32,
        /// Its id, which other entries refer to.
        #[prost(uint32, required, tag = "2")]
        pub id: u32,
        /// What it is, if it is a regular file.
        #[prost(message, optional, boxed, tag = "3")]
        pub reg: Option<Box<RegFileEntry>>,
        /// What it is, if it is an IP socket.
        #[prost(message, optional, boxed, tag = "4")]
        pub isk: Option<Box<InetSkEntry>>,
        /// What it is, if it is a Unix socket.
        #[prost(message, optional, boxed, tag = "16")]
        pub usk: Option<Box<UnixSkEntry>>,
    }
}

raw_enum! {
    /// `enum fd_types`: what an open file is.
    ///
    /// Only those types have a name here that this crate reads, or that can have a name in a filesystem.
    pub enum FdType: i32 {
        /// A regular file or a directory.
        Reg = 1,
        /// A named pipe.
        Fifo = 3,
        /// An IP socket.
        InetSk = 4,
        /// A Unix socket.
        UnixSk = 5,
        /// A terminal.
        Tty = 11,
        /// A TUN or TAP device.
        Tun = 15,
        /// Something that a plugin takes care of.
        Ext = 16,
    }
}

impl FileEntry {
    /// What the open file is.
    pub fn fd_type(&self) -> FdType {
        self.kind.into()
    }
}

/// The entry of `files.img` for a regular file, with the id that the file has.
impl From<RegFileEntry> for FileEntry {
    fn from(file: RegFileEntry) -> Self {
        FileEntry { kind: FdType::Reg.into(), id: file.id, reg: Some(Box::new(file)), isk: None, usk: None }
    }
}

/// The entry of `files.img` for an IP socket, with the id that the socket has.
impl From<InetSkEntry> for FileEntry {
    fn from(socket: InetSkEntry) -> Self {
        FileEntry { kind: FdType::InetSk.into(), id: socket.id, reg: None, isk: Some(Box::new(socket)), usk: None }
    }
}

message! {
    /// `reg_file_entry`: an open regular file or directory, an executable, a working directory, a mapped file.
    ///
    /// The entry of a link remap has only an id and a name, in every version of CRIU.
    pub struct RegFileEntry {
        /// Its id, which other entries refer to.
        #[prost(uint32, required, tag = "1")]
        pub id: u32,
        /// The flags it was opened with, `O_…`.
        #[prost(uint32, required, tag = "2")]
        pub flags: u32,
        /// Its path below the root of its mount namespace, or of criu's own if the tree shares that.
        #[prost(bytes = "vec", required, tag = "6")]
        pub name: Vec<u8>,
        /// Its mount as recorded, -1 for none; see [`RegFileEntry::mount_id`]. Since CRIU 1.3.
        #[prost(sint32, optional, tag = "7")]
        pub mnt_id: Option<i32>,
        /// Its size in bytes; absent where it was open for appending only. Since CRIU 1.3.
        #[prost(uint64, optional, tag = "8")]
        pub size: Option<u64>,
        /// Whether it is external, so that `name` is a user's key and not a path. Since CRIU 2.0.
        #[prost(bool, tag = "9")]
        pub ext: bool,
        /// Its type and permissions, as `st_mode`. Since CRIU 2.4.
        #[prost(uint32, optional, tag = "10")]
        pub mode: Option<u32>,
    }
}

impl RegFileEntry {
    /// The id of its mount, one of the entries of a `mountpoints` image. CRIU records it only where it dumps the mount
    /// namespace too.
    pub fn mount_id(&self) -> Option<u32> {
        self.mnt_id.and_then(|id| u32::try_from(id).ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::sealed::Sealed;

    #[track_caller]
    fn check_mount(bytes: &[u8], recorded: Option<i32>, expected: Option<u32>) {
        let file = RegFileEntry::decode(bytes).unwrap();
        assert_eq!((file.mnt_id, file.mount_id()), (recorded, expected));
    }

    #[test]
    fn a_negative_mount_is_none() {
        check_mount(&[8, 1], None, None);
        check_mount(&[8, 1, 56, 1], Some(-1), None);
        check_mount(&[8, 1, 56, 0], Some(0), Some(0));
        check_mount(&[8, 1, 56, 0xac, 2], Some(150), Some(150));
        check_mount(&[8, 1, 56, 0xff, 0xff, 0xff, 0xff, 0x0f], Some(i32::MIN), None);
    }

    #[test]
    fn a_name_need_not_be_text() {
        let entry = FileEntry::decode(&[8, 1, 16, 9, 26, 9, 8, 9, 50, 5, b'/', b'a', 0xff, 0x1b, b'b'][..]).unwrap();
        assert_eq!((entry.fd_type(), entry.id), (FdType::Reg, 9));
        let file = entry.reg.unwrap();
        assert_eq!((file.id, file.name.as_slice()), (9, &b"/a\xff\x1bb"[..]));
        assert_eq!((file.size, file.mode, file.ext), (None, None, false));
    }

    #[test]
    fn a_type_without_a_name_is_kept() {
        let fd_type = |bytes: &[u8]| FileEntry::decode(bytes).unwrap().fd_type();
        assert_eq!(fd_type(&[8, 4, 16, 1]), FdType::InetSk);
        assert_eq!(fd_type(&[8, 99, 16, 1]), FdType::Unknown(99));
        assert_eq!(fd_type(&[8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 16, 1]), FdType::Unknown(-1));
    }
}
