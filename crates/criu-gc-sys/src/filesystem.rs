// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The UUID of a filesystem.

use std::fmt;
use std::os::fd::AsFd;

use rustix::io::Errno;
use rustix::ioctl::{Getter, Opcode, ioctl, opcode};

/// The UUID of a filesystem, as its superblock has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Uuid(pub [u8; 16]);

impl fmt::Display for Uuid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            let dash = if matches!(index, 4 | 6 | 8 | 10) { "-" } else { "" };
            write!(formatter, "{dash}{byte:02x}")?;
        }
        Ok(())
    }
}

/// `struct fsuuid2` of `linux/fs.h`.
#[repr(C)]
struct FsUuid2 {
    length: u8,
    uuid: [u8; 16],
}

/// `FS_IOC_GETFSUUID`.
const GET_UUID: Opcode = opcode::read::<FsUuid2>(0x15, 0);

/// The UUID of the filesystem that an open file is on (`FS_IOC_GETFSUUID`, Linux 6.9). The file has to be open for
/// reading: a descriptor with `O_PATH` is refused. `None` where the filesystem has none, or the kernel does not tell.
///
/// A tmpfs has a random one for each mount, an overlay the one of its upper directory (`trusted.overlay.uuid`).
///
/// # Errors
/// Those of `ioctl`, except that the request is unknown.
///
/// # Examples
/// ```
/// let root = std::fs::File::open("/")?;
/// if let Some(uuid) = criu_gc_sys::filesystem_uuid(&root)? {
///     println!("{uuid}");
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn filesystem_uuid(file: impl AsFd) -> Result<Option<Uuid>, Errno> {
    // SAFETY: the request reads nothing from us and writes one `struct fsuuid2`, for which any bytes are valid. Another
    // driver than a filesystem's would have to have the same number, with the same size, to mean something else by it.
    let request = unsafe { Getter::<GET_UUID, FsUuid2>::new() };
    // SAFETY: as above.
    match unsafe { ioctl(file, request) } {
        Ok(FsUuid2 { length: 16, uuid }) if uuid != [0; 16] => Ok(Some(Uuid(uuid))),
        Ok(_) | Err(Errno::NOTTY | Errno::OPNOTSUPP | Errno::INVAL) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_is_printed_with_its_dashes() {
        let bytes = std::array::from_fn(|index| u8::try_from(index).unwrap() * 16 + 1);
        assert_eq!(Uuid(bytes).to_string(), "01112131-4151-6171-8191-a1b1c1d1e1f1");
    }

    #[test]
    fn what_has_no_filesystem_of_its_own_has_no_uuid() {
        assert_eq!(filesystem_uuid(std::fs::File::open("/proc/self/stat").unwrap()), Ok(None));
    }

    #[test]
    fn one_filesystem_has_one_uuid() {
        let place = tempfile::tempdir().unwrap();
        let uuid = |path: &std::path::Path| filesystem_uuid(std::fs::File::open(path).unwrap()).unwrap();
        std::fs::write(place.path().join("file"), "").unwrap();
        assert_eq!(uuid(place.path()), uuid(&place.path().join("file")));
    }
}
