// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who may have written a file, or removed one from a directory.
//!
//! There is one rule, in two parts: what owner and mode say, and whether the filesystem can be trusted about them
//! (`origin.rs`, which puts them together: `Author::of`).

use std::os::fd::AsFd;

use rustix::fs::{FileType, Stat};
use rustix::io::Errno;

/// Who may have written something.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Author {
    /// Nobody but root, or the user who runs this.
    #[default]
    Trusted,
    /// One other user.
    User(u32),
    /// One of several others.
    Anybody,
}

impl Author {
    /// Who may have written an open file, or taken an entry away from an open directory, as far as owner and mode tell.
    pub(super) fn by_attributes(file: &impl AsFd) -> Result<Self, Errno> {
        Ok(Self::of_stat(&rustix::fs::fstat(file)?))
    }

    /// The same of what was looked at already.
    pub(super) fn of_stat(stat: &Stat) -> Self {
        Self::of_owner(stat.st_uid, stat.st_mode)
    }

    /// Who may have written a file with this owner and mode; of a directory with the sticky bit, who may have taken
    /// something away.
    pub fn of_owner(uid: u32, mode: u32) -> Self {
        Self::of_mode(uid, mode, rustix::process::geteuid().as_raw())
    }

    /// A group that may write is others, whichever it is: programs that run as no known user are often given the group
    /// 0. An access control list shows in the mode of the group.
    fn of_mode(uid: u32, mode: u32, own: u32) -> Self {
        const OTHERS_WRITE: u32 = 0o022;
        const STICKY: u32 = 0o1000;
        let is_sticky = FileType::from_raw_mode(mode) == FileType::Directory && mode & STICKY != 0;
        if mode & OTHERS_WRITE != 0 && !is_sticky {
            Author::Anybody
        } else if uid == 0 || uid == own {
            Author::Trusted
        } else {
            Author::User(uid)
        }
    }

    /// Who may have written one of two things.
    #[must_use]
    pub fn or(self, other: Author) -> Author {
        match (self, other) {
            (Author::Trusted, one) | (one, Author::Trusted) => one,
            (Author::User(one), Author::User(other)) if one == other => self,
            _ => Author::Anybody,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owner_and_mode_tell_the_author() {
        let author = |uid, mode| Author::of_mode(uid, mode, 1000);
        assert_eq!(author(0, 0o100_644), Author::Trusted);
        assert_eq!(author(1000, 0o100_600), Author::Trusted);
        assert_eq!(author(1001, 0o100_644), Author::User(1001));
        assert_eq!(author(0, 0o100_664), Author::Anybody, "whatever the group");
        assert_eq!(author(0, 0o100_666), Author::Anybody);
        assert_eq!(author(1001, 0o100_622), Author::Anybody);
        assert_eq!(author(0, 0o101_666), Author::Anybody, "a sticky file");
    }

    #[test]
    fn from_a_sticky_directory_only_its_owner_takes_what_others_have_there() {
        let author = |uid, mode| Author::of_mode(uid, mode, 1000);
        assert_eq!(author(0, 0o041_777), Author::Trusted);
        assert_eq!(author(0, 0o040_777), Author::Anybody);
        assert_eq!(author(0, 0o040_775), Author::Anybody);
        assert_eq!(author(0, 0o040_755), Author::Trusted);
        assert_eq!(author(1001, 0o041_777), Author::User(1001));
    }

    #[test]
    fn of_several_authors_the_least_trusted_counts() {
        assert_eq!(Author::Trusted.or(Author::Trusted), Author::Trusted);
        assert_eq!(Author::Trusted.or(Author::User(7)), Author::User(7));
        assert_eq!(Author::User(7).or(Author::User(7)), Author::User(7));
        assert_eq!(Author::User(7).or(Author::User(8)), Author::Anybody);
        assert_eq!(Author::Anybody.or(Author::Trusted), Author::Anybody);
    }
}
