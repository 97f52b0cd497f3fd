// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Every call that changes what a directory holds. Each takes a name that was checked.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{AtFlags, RenameFlags};
use rustix::io::{Errno, retry_on_intr};

use super::Directory;
use super::error::{FileError, failed};

/// A name that may be removed. The only call that removes one takes nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Name<'a>(&'a OsStr);

impl<'a> Name<'a> {
    /// The name itself.
    pub fn as_os_str(self) -> &'a OsStr {
        self.0
    }

    /// The name, if it is one component and passes the check of whoever is going to remove it.
    pub fn checked(name: &'a OsStr, is_expected: impl FnOnce(&[u8]) -> bool) -> Option<Self> {
        let bytes = name.as_bytes();
        let is_component = !matches!(bytes, b"" | b"." | b"..") && !bytes.contains(&b'/');
        (is_component && is_expected(bytes)).then_some(Name(name))
    }
}

/// What became of a name that was to be another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renamed {
    /// It is.
    Yes,
    /// There is no such name.
    Gone,
    /// The other name exists.
    NameTaken,
}

impl Directory {
    /// Removes the entry of this name, which must not be a directory. `false` where it was gone already.
    pub fn unlink(&self, name: Name<'_>) -> Result<bool, FileError> {
        match retry_on_intr(|| rustix::fs::unlinkat(&self.fd, name.0, AtFlags::empty())) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(source) => Err(failed("remove", &self.path.join(name.0))(source)),
        }
    }

    /// Gives an entry another name in the same directory, unless that exists.
    pub fn rename_back(&self, name: Name<'_>, to: &OsStr) -> Result<Renamed, FileError> {
        debug_assert!(!to.as_bytes().contains(&b'/'));
        let rename = || rustix::fs::renameat_with(&self.fd, name.0, &self.fd, to, RenameFlags::NOREPLACE);
        match retry_on_intr(rename) {
            Ok(()) => Ok(Renamed::Yes),
            Err(Errno::NOENT) => Ok(Renamed::Gone),
            Err(Errno::EXIST) => Ok(Renamed::NameTaken),
            Err(source) => Err(failed("rename", &self.path.join(name.0))(source)),
        }
    }

    /// Removes the directory of this name, which must be empty. `false` where it was gone already.
    pub fn remove_directory(&self, name: Name<'_>) -> Result<bool, FileError> {
        match retry_on_intr(|| rustix::fs::unlinkat(&self.fd, name.0, AtFlags::REMOVEDIR)) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(source) => Err(failed("remove", &self.path.join(name.0))(source)),
        }
    }
}
