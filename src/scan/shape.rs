// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which names CRIU gives to files, and which only look like one. Pure.

use rustix::fs::FileType;

use crate::system::dir::FileIdentity;

/// What a name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// `link_remap.N`: a hard link that a dump made for a restore.
    LinkRemap(u32),
    /// `NAME.cr.N.ghost`: a file that a restore made and had no time to remove.
    Ghost(u32),
    /// `NAME.cr_link`: a second name of such a file.
    SecondName,
    /// `NAME.criu-sk-ghost`: a file of a user that a restore moved aside.
    Parked,
    /// A directory or a file that CRIU makes for a moment.
    Temporary,
    /// It begins like a link remap, and CRIU never writes what follows.
    LookAlike,
}

const LINK_REMAP: &[u8] = b"link_remap.";
const GHOST: &[u8] = b".ghost";
const SECOND_NAME: &[u8] = b".cr_link";
const PARKED: &[u8] = b".criu-sk-ghost";
/// What the names of temporary directories begin with; the kinds of residue know the rest.
const TEMPORARY: [&[u8]; 5] = [b".criu.", b"cr-tmpfs.", b"crtools-put-root.", b"proc.crtools", b"criu.kdat.tmp"];

/// Whether a name is one of these.
pub(super) fn is_wanted(name: &[u8]) -> bool {
    Shape::of(name).is_some()
}

impl Shape {
    /// What a name says; `None` if CRIU has nothing to do with it.
    pub(super) fn of(name: &[u8]) -> Option<Self> {
        if let Some(number) = name.strip_prefix(LINK_REMAP) {
            return Some(decimal(number).map_or(Shape::LookAlike, Shape::LinkRemap));
        }
        if TEMPORARY.iter().any(|start| name.starts_with(start)) {
            return Some(Shape::Temporary);
        }
        if has_stem(name, PARKED) {
            return Some(Shape::Parked);
        }
        if has_stem(name, SECOND_NAME) {
            return Some(Shape::SecondName);
        }
        ghost(name).map(Shape::Ghost)
    }

    /// Why what has the name is not what CRIU makes; `None` if it may be.
    pub(super) fn objection(self, identity: &FileIdentity) -> Option<&'static str> {
        let is_directory = identity.file_type() == FileType::Directory;
        match (self, identity.file_type()) {
            (Shape::LookAlike, _) => Some("CRIU writes only a decimal number after link_remap."),
            (Shape::Temporary, _) => None,
            // A program may have a symbolic link open, and CRIU gives that another name too.
            (Shape::Ghost(_) | Shape::SecondName | Shape::Parked, FileType::Symlink) => Some("it is a symbolic link"),
            (Shape::LinkRemap(_) | Shape::SecondName | Shape::Parked, _) if is_directory => Some("it is a directory"),
            (
                Shape::LinkRemap(_) | Shape::Ghost(_) | Shape::SecondName | Shape::Parked,
                FileType::RegularFile
                | FileType::Symlink
                | FileType::Directory
                | FileType::Fifo
                | FileType::Socket
                | FileType::CharacterDevice
                | FileType::BlockDevice
                | FileType::Unknown,
            ) => None,
        }
    }
}

fn has_stem(name: &[u8], suffix: &[u8]) -> bool {
    name.strip_suffix(suffix).is_some_and(|stem| !stem.is_empty())
}

/// CRIU prints the number without zeros before it.
fn decimal(text: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(text).ok()?;
    text.parse().ok().filter(|number: &u32| number.to_string() == text)
}

/// The number in `NAME.cr.N.ghost`, which is hexadecimal.
fn ghost(name: &[u8]) -> Option<u32> {
    let name = std::str::from_utf8(name.strip_suffix(GHOST)?).ok()?;
    let (stem, number) = name.rsplit_once(".cr.")?;
    let number = u32::from_str_radix(number, 16).ok().filter(|found| format!("{found:x}") == number)?;
    (!stem.is_empty()).then_some(number)
}

/// Whether a name is that of a link remap or of a ghost with this number, as the last guard of a removal asks.
pub(super) fn is_own(name: &[u8], id: u32) -> bool {
    match Shape::of(name) {
        Some(Shape::LinkRemap(number) | Shape::Ghost(number)) => number == id,
        Some(Shape::SecondName) => id == 0,
        Some(Shape::Parked | Shape::Temporary | Shape::LookAlike) | None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_criu_are_told_from_others() {
        for (name, expected) in [
            ("link_remap.7", Some(Shape::LinkRemap(7))),
            ("link_remap.0", Some(Shape::LinkRemap(0))),
            ("link_remap.4294967295", Some(Shape::LinkRemap(u32::MAX))),
            ("link_remap.4294967296", Some(Shape::LookAlike)),
            ("link_remap.07", Some(Shape::LookAlike)),
            ("link_remap.old", Some(Shape::LookAlike)),
            ("link_remap.", Some(Shape::LookAlike)),
            ("link_remap", None),
            ("my_link_remap.7", None),
            ("data.cr.1f.ghost", Some(Shape::Ghost(31))),
            ("data.cr.01.ghost", None),
            ("data.cr.1F.ghost", None),
            ("data.ghost", None),
            (".cr.1.ghost", None),
            ("a.cr.x.cr.2.ghost", Some(Shape::Ghost(2))),
            ("data.cr_link", Some(Shape::SecondName)),
            (".cr_link", None),
            ("s.criu-sk-ghost", Some(Shape::Parked)),
            (".criu.mntns.AbC123", Some(Shape::Temporary)),
            ("criu.kdat.tmp", Some(Shape::Temporary)),
            ("criu.kdat", None),
            ("", None),
        ] {
            assert_eq!(Shape::of(name.as_bytes()), expected, "{name}");
        }
    }

    #[test]
    fn the_last_guard_lets_only_the_number_of_the_name_pass() {
        assert!(is_own(b"link_remap.7", 7) && is_own(b"x.cr.a.ghost", 10) && is_own(b"x.cr_link", 0));
        assert!(!is_own(b"link_remap.7", 8) && !is_own(b"link_remap.x", 0) && !is_own(b"x.criu-sk-ghost", 0));
    }
}
