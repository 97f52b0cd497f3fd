// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which checkpoints may have left an object, by their outlines alone. Pure. It only leaves out those that cannot have.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::entry::Entry;
use super::{Object, is_same_connection};
use crate::checkpoint::{Condition, Lock, Outline, PathEnd};

/// What CRIU's links are called.
const LINK: &[u8] = b"link_remap.";
/// What CRIU adds to the name of a file, beside the number of a ghost file.
const SUFFIXES: [&[u8]; 3] = [b".cr_link", b".criu-sk-ghost", b".ghost"];
/// What the tables of nftables begin with.
const TABLE: &str = "CRIU-";

/// The checkpoints, by their positions, that may have left it.
pub(super) fn candidates(entries: &[Entry], object: &Object) -> Vec<usize> {
    which(entries, |entry| may_be_of(entry, object))
}

/// The checkpoints that name a file of this name, wherever.
pub(super) fn by_name(entries: &[Entry], object: &Object) -> Vec<usize> {
    let Object::Name { path, .. } = object else { return Vec::new() };
    let Some(name) = path.file_name().map(OsStrExt::as_bytes) else { return Vec::new() };
    which(entries, |entry| names(entry.outline(), name, |end, name| end.name() == name))
}

fn which(entries: &[Entry], is_meant: impl Fn(&Entry) -> bool) -> Vec<usize> {
    entries.iter().enumerate().filter(|(_, entry)| is_meant(entry)).map(|(at, _)| at).collect()
}

fn may_be_of(entry: &Entry, object: &Object) -> bool {
    let outline = entry.outline();
    match object {
        Object::Name { device, inode, path } => {
            entry.records((*device, *inode))
                || is_interrupted_dump_of(outline, path)
                || names(outline, path.as_os_str().as_bytes(), PathEnd::is_end_of)
        }
        Object::Table { name, .. } => may_have_table(outline, name),
        Object::Chain { .. } => matches!(outline.lock, Lock::Iptables | Lock::Unknown),
        Object::Rule { connection, .. } => outline.connections.iter().any(|own| is_same_connection(own, connection)),
        // A dump that was interrupted leaves its tree running, and a restore that was killed a part of it.
        Object::Process { pid } => {
            let is_tied = u32::try_from(*pid).is_ok_and(|pid| entry.processes.contains(&pid));
            is_tied || outline.has_restore_log || outline.condition == Condition::Incomplete
        }
        Object::Directory { path } => outline.has_restore_log || entry.is_above(path),
    }
}

/// Of an interrupted dump the log may know links that no image names.
fn is_interrupted_dump_of(outline: &Outline, path: &Path) -> bool {
    let name = path.file_name().map(OsStrExt::as_bytes).unwrap_or_default();
    outline.condition == Condition::Incomplete && name.starts_with(LINK)
}

/// Whether the outline has a link of this path, or a file that CRIU gives such a name.
fn names(outline: &Outline, path: &[u8], is_meant: impl Fn(&PathEnd, &[u8]) -> bool) -> bool {
    let original = without_suffix(path);
    outline.links.iter().any(|link| is_meant(link, path))
        || outline.originals.iter().any(|file| is_meant(file, original))
}

/// The file from whose name CRIU made this one: `NAME.cr.4.ghost`, `NAME.cr.4.ghost.cr_link`.
fn without_suffix(path: &[u8]) -> &[u8] {
    let Some(rest) = SUFFIXES.iter().find_map(|suffix| path.strip_suffix(*suffix)) else { return path };
    let rest = rest.strip_suffix(b".ghost").unwrap_or(rest);
    let digits = rest.iter().rev().take_while(|byte| byte.is_ascii_hexdigit()).count();
    rest[..rest.len() - digits].strip_suffix(b".cr.").unwrap_or(rest)
}

/// A table is named by the run id, or a part of it, and before 4.1 by a pid, which an outline does not tell.
fn may_have_table(outline: &Outline, name: &str) -> bool {
    if !matches!(outline.lock, Lock::Nftables | Lock::Unknown) {
        return false;
    }
    match (&outline.run_id, name.strip_prefix(TABLE)) {
        (Some(run_id), Some(id)) => !id.is_empty() && run_id.starts_with(id),
        (None, Some(id)) => id.bytes().all(|byte| byte.is_ascii_digit()),
        (_, None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_crius_leads_to_the_file() {
        for (name, original) in [
            ("/a/b.cr.1f.ghost", "/a/b"),
            ("/a/b.cr.1f.ghost.cr_link", "/a/b"),
            ("/a/b.cr_link", "/a/b"),
            ("/a/s.criu-sk-ghost", "/a/s"),
            ("/a/plain", "/a/plain"),
            ("/a/x.ghost", "/a/x"),
        ] {
            assert_eq!(without_suffix(name.as_bytes()), original.as_bytes(), "{name}");
        }
    }

    #[test]
    fn a_table_is_of_the_dump_whose_run_id_it_has() {
        let outline =
            |run_id: Option<&str>, lock| Outline { run_id: run_id.map(str::to_owned), lock, ..Outline::default() };
        let id = "0123abcd-0123-4567-89ab-0123456789ab";
        let own = outline(Some(id), Lock::Nftables);
        assert!(may_have_table(&own, &format!("CRIU-{id}")) && may_have_table(&own, &format!("CRIU-{}", &id[..21])));
        assert!(!may_have_table(&own, "CRIU-77") && !may_have_table(&own, "CRIU-") && !may_have_table(&own, "x"));
        assert!(!may_have_table(&outline(Some(id), Lock::Iptables), &format!("CRIU-{id}")));
        assert!(may_have_table(&outline(None, Lock::Nftables), "CRIU-77"));
    }
}
