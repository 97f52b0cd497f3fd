// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who may have written a file: whose word its content is.

use std::os::fd::AsFd;

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
    /// Who may have written an open file, as far as its owner and mode tell (an access control list shows in the mode of
    /// the group).
    pub fn of(file: &impl AsFd) -> Result<Self, Errno> {
        let stat = rustix::fs::fstat(file)?;
        Ok(Self::of_owner(stat.st_uid, stat.st_gid, stat.st_mode))
    }

    /// Who may have written a file with this owner, group and mode.
    pub fn of_owner(uid: u32, gid: u32, mode: u32) -> Self {
        Self::of_mode(uid, gid, mode, rustix::process::geteuid().as_raw())
    }

    fn of_mode(uid: u32, gid: u32, mode: u32, own: u32) -> Self {
        const GROUP_WRITES: u32 = 0o020;
        const OTHERS_WRITE: u32 = 0o002;
        let group_writes = mode & GROUP_WRITES != 0 && gid != 0;
        if mode & OTHERS_WRITE != 0 || group_writes {
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
        let author = |uid, gid, mode| Author::of_mode(uid, gid, mode, 1000);
        assert_eq!(author(0, 0, 0o100_644), Author::Trusted);
        assert_eq!(author(0, 0, 0o100_664), Author::Trusted);
        assert_eq!(author(1000, 1000, 0o100_600), Author::Trusted);
        assert_eq!(author(1001, 1001, 0o100_644), Author::User(1001));
        assert_eq!(author(0, 27, 0o100_664), Author::Anybody);
        assert_eq!(author(0, 0, 0o100_666), Author::Anybody);
        assert_eq!(author(1001, 1001, 0o100_622), Author::Anybody);
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
