// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Files that were open and had lost their name: `remap-fpath.img` and `ghost-file-<id>.img`.
//!
//! From `images/remap-file-path.proto` and `images/ghost-file.proto`. What an entry says of a type that this crate does
//! not know is never taken for one that it does know.

use crate::message::message;

/// Marks a ghost file in `remap_id`, before CRIU 1.4 had `remap_type`; `criu/files-reg.c`.
const REMAP_GHOST: u32 = 1 << 31;

message! {
    /// `remap_file_path_entry`: where to find a file whose own name is gone.
    #[derive(Copy)]
    pub struct RemapFilePathEntry {
        /// The id of the regular file whose name is gone.
        #[prost(uint32, required, tag = "1")]
        pub orig_id: u32,
        /// What stands in for it, as recorded; see [`RemapFilePathEntry::remap`].
        #[prost(uint32, required, tag = "2")]
        pub remap_id: u32,
        /// What kind of thing that is, as recorded. Since CRIU 1.4.
        #[prost(int32, optional, tag = "3")]
        pub remap_type: Option<i32>,
    }
}

/// `enum remap_type`, with what `remap_id` means for each.
///
/// ```
/// use criu_images::{Remap, RemapFilePathEntry};
///
/// let entry = RemapFilePathEntry::default().with(|entry| {
///     entry.orig_id = 12;
///     entry.remap_id = 13;
///     entry.remap_type = Some(0);
/// });
/// assert_eq!(entry.remap(), Remap::Linked { file_id: 13 });
///
/// // A type that a later CRIU may add is not taken for a link.
/// let later = entry.with(|entry| entry.remap_type = Some(3));
/// assert_eq!(later.remap(), Remap::Unknown { remap_type: 3, id: 13 });
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Remap {
    /// A hard link that CRIU made beside the file.
    Linked {
        /// The id of the regular file that is the link.
        file_id: u32,
    },
    /// The content of the file, kept in an image.
    Ghost {
        /// The number in the name of the `ghost-file` image.
        ghost_id: u32,
    },
    /// A file of a process in `/proc`.
    Procfs {
        /// That process.
        pid: u32,
    },
    /// A type that this crate does not know.
    Unknown {
        /// The type.
        remap_type: i32,
        /// The `remap_id`.
        id: u32,
    },
}

impl RemapFilePathEntry {
    /// What stands in for the file.
    pub fn remap(&self) -> Remap {
        let id = self.remap_id;
        match self.remap_type {
            None if id & REMAP_GHOST != 0 => Remap::Ghost { ghost_id: id & !REMAP_GHOST },
            None | Some(0) => Remap::Linked { file_id: id },
            Some(1) => Remap::Ghost { ghost_id: id },
            Some(2) => Remap::Procfs { pid: id },
            Some(remap_type) => Remap::Unknown { remap_type, id },
        }
    }
}

message! {
    /// `ghost_file_entry`: a file that had no name left anywhere.
    pub struct GhostFileEntry {
        /// Its owner.
        #[prost(uint32, required, tag = "1")]
        pub uid: u32,
        /// Its group.
        #[prost(uint32, required, tag = "2")]
        pub gid: u32,
        /// Its type and permissions, as `st_mode`.
        #[prost(uint32, required, tag = "3")]
        pub mode: u32,
        /// The device it was on, in the kernel's form; see [`GhostFileEntry::device`]. Since CRIU 0.3.
        #[prost(uint32, optional, tag = "4")]
        pub dev: Option<u32>,
        /// Its inode number. Since CRIU 0.3.
        #[prost(uint64, optional, tag = "5")]
        pub ino: Option<u64>,
        /// The device that it is, in the form of `stat` and not in that of `dev`. Since CRIU 1.3.
        #[prost(uint32, optional, tag = "6")]
        pub rdev: Option<u32>,
        /// When its content last changed. Since CRIU 2.0.
        #[prost(message, optional, tag = "8")]
        pub mtim: Option<Timeval>,
        /// Whether the content follows in chunks, without the holes. Since CRIU 3.3.
        #[prost(bool, tag = "9")]
        pub chunks: bool,
        /// Its size in bytes. Since CRIU 3.3.
        #[prost(uint64, optional, tag = "10")]
        pub size: Option<u64>,
        /// Where it points, if it is a symbolic link. Since CRIU 3.14.
        #[prost(bytes = "vec", optional, tag = "11")]
        pub symlink_target: Option<Vec<u8>>,
    }
}

impl GhostFileEntry {
    /// The device it was on, as `(major, minor)`.
    pub fn device(&self) -> Option<(u32, u32)> {
        self.dev.map(super::split_device)
    }
}

message! {
    /// `timeval`: a time since 1970.
    #[derive(Copy)]
    pub struct Timeval {
        /// Seconds.
        #[prost(uint64, required, tag = "1")]
        pub tv_sec: u64,
        /// Microseconds.
        #[prost(uint64, required, tag = "2")]
        pub tv_usec: u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::sealed::Sealed;

    #[track_caller]
    fn check(bytes: &[u8], expected: Remap) {
        assert_eq!(RemapFilePathEntry::decode(bytes).unwrap().remap(), expected);
    }

    #[test]
    fn a_recorded_type_says_what_the_id_is() {
        check(&[8, 12, 16, 13, 24, 0], Remap::Linked { file_id: 13 });
        check(&[8, 12, 16, 13, 24, 1], Remap::Ghost { ghost_id: 13 });
        check(&[8, 12, 16, 13, 24, 2], Remap::Procfs { pid: 13 });
        check(&[8, 12, 16, 13, 24, 3], Remap::Unknown { remap_type: 3, id: 13 });
        check(&[8, 12, 16, 13, 24, 0x80, 2], Remap::Unknown { remap_type: 256, id: 13 });
    }

    #[test]
    fn without_a_type_bit_31_marks_a_ghost() {
        check(&[8, 12, 16, 13], Remap::Linked { file_id: 13 });
        check(&[8, 12, 16, 0x8d, 0x80, 0x80, 0x80, 8], Remap::Ghost { ghost_id: 13 });
    }

    #[test]
    fn with_a_type_bit_31_is_part_of_the_id() {
        check(&[8, 12, 16, 0x8d, 0x80, 0x80, 0x80, 8, 24, 0], Remap::Linked { file_id: 0x8000_000d });
        check(&[8, 12, 16, 0x8d, 0x80, 0x80, 0x80, 8, 24, 1], Remap::Ghost { ghost_id: 0x8000_000d });
    }

    #[test]
    fn a_ghost_has_its_device_in_the_kernels_form() {
        let ghost = GhostFileEntry::decode(&[32, 0x81, 0x80, 0x80, 0x7f, 66, 2, 8, 9, 90, 1, 0xff][..]).unwrap();
        assert_eq!(ghost.device(), Some((254, 1)));
        assert_eq!(ghost.mtim, Some(Timeval { tv_sec: 9, tv_usec: 0 }));
        assert_eq!(ghost.symlink_target, Some(vec![0xff]));
        assert_eq!(GhostFileEntry::default().device(), None);
    }
}
