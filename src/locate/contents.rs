// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The relevant content of an archive: the images that criu-gc reads, CRIU's logs and statistics, and the metadata of
//! runtimes.
//!
//! Memory pages, contents of files and queues, and files that are not CRIU's are skipped.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use criu_images::ImageKind;

use super::blobs::{self, Blob, Blobs};
use super::surroundings::MARKERS;
use super::tree::{self, Kept, KeptFile, Tree, Written, split};
use super::{metadata, pod};
use crate::archive::{ArchiveError, Entries, Entry, EntryKind, Limit, Source};
use crate::record;
use crate::system::author::Author;
use crate::time::Timestamp;

/// No log is kept that is larger.
const LOG_LIMIT: u64 = 64 * 1024 * 1024;
/// What a name takes in memory, beside its bytes.
const NAME: u64 = 128;

/// What an archive holds that matters.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub(super) tree: Tree,
    /// What of it could not be used, in sentences.
    pub(super) notes: Vec<String>,
}

/// What an archive holds that may hold images: files, the blobs of container images, and other archives.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) contents: Contents,
    pub(super) blobs: Blobs,
    /// By their paths.
    pub(super) archives: BTreeMap<Vec<u8>, Result<Held, ArchiveError>>,
}

/// Archives in an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Inner {
    Read,
    Ignore,
}

/// Reads an archive to its end, and those in it.
pub(super) fn read_all(entries: &mut Entries<'_>, origin: Origin) -> Result<Held, ArchiveError> {
    read_held(entries, origin, Inner::Read)
}

fn read_held(entries: &mut Entries<'_>, origin: Origin, inner: Inner) -> Result<Held, ArchiveError> {
    let mut held = Held::default();
    while let Some(entry) = entries.next()? {
        if entry.kind == EntryKind::File && blobs::is_blob(&entry.path) {
            if let Some(blob) = blob(entries, origin, &mut held.contents.notes)? {
                held.blobs.add(entry.path, blob);
            }
        } else if entry.kind == EntryKind::File && inner == Inner::Read && pod::is_archive(&entry.path) {
            held.contents.add_place(&entry, entries)?;
            let archive = read_inner(entries, origin);
            if let Some(archive) = archive.transpose() {
                held.archives.insert(entry.path, archive);
            }
        } else {
            held.contents.take(&entry, entries, origin)?;
        }
    }
    Ok(held)
}

/// What the archive holds that is the entry given last; `None` if it is none.
fn read_inner(entries: &mut Entries<'_>, origin: Origin) -> Result<Option<Held>, ArchiveError> {
    let head = entries.head()?;
    if head.compression().is_none() {
        return Ok(None);
    }
    let mut inner = entries.inner(head)?;
    let held = read_held(&mut inner, origin, Inner::Ignore)?;
    inner.finish()?;
    Ok(Some(held))
}

/// Reads the layer of an image to its end.
pub(super) fn read(entries: &mut Entries<'_>, origin: Origin) -> Result<Contents, ArchiveError> {
    let mut contents = Contents::default();
    while let Some(entry) = entries.next()? {
        contents.take(&entry, entries, origin)?;
    }
    Ok(contents)
}

/// What a blob of an image is: a document, or a layer. `None` for anything else.
fn blob(entries: &mut Entries<'_>, origin: Origin, notes: &mut Vec<String>) -> Result<Option<Blob>, ArchiveError> {
    let head = entries.head()?;
    if head.compression().is_some() {
        let mut inner = entries.inner(head)?;
        let layer = read(&mut inner, origin)?;
        inner.finish()?;
        notes.extend(layer.notes);
        return Ok(Some(Blob::Layer(layer.tree)));
    }
    if head.is_document() && entries.stored() <= blobs::DOCUMENT_LIMIT {
        return Ok(Some(Blob::Document(entries.document(head)?)));
    }
    Ok(None)
}

impl Contents {
    /// Takes what matters of an entry of `entries`, the last one that it gave. What is too large to be of use is noted.
    fn take(&mut self, entry: &Entry, entries: &mut Entries<'_>, origin: Origin) -> Result<(), ArchiveError> {
        let (place, name) = split(&entry.path);
        let wanted = Interest::of(name);
        if wanted == Interest::Nothing {
            return Ok(());
        }
        self.add_place(entry, entries)?;
        let kept = match (&entry.kind, wanted) {
            (EntryKind::Directory, Interest::Name) => return Ok(()),
            (_, Interest::Name | Interest::Nothing) => Kept::Name,
            (EntryKind::File, Interest::UpTo(limit)) if entries.stored() > limit => {
                let path = String::from_utf8_lossy(&entry.path);
                self.notes.push(format!("{path} in the archive is not used: it is larger than {limit} bytes"));
                return Ok(());
            }
            (EntryKind::File, _) => Kept::File(origin.file(entries.content(entry)?, entry)),
            (EntryKind::HardLink(target), _) => {
                let (place, name) = split(target);
                self.tree.file(place, name).cloned().unwrap_or(Kept::NoFile)
            }
            (EntryKind::Directory | EntryKind::Other, _) => Kept::NoFile,
        };
        self.tree.insert(place, name, kept);
        Ok(())
    }

    /// Adds the directory of an entry and those above it, and counts what the entry's name takes.
    fn add_place(&mut self, entry: &Entry, entries: &Entries<'_>) -> Result<(), ArchiveError> {
        if entry.path.len() > Limit::PATH {
            return Err(Limit::Path.into());
        }
        entries.keep(entry.path.len() as u64 + NAME)?;
        let directory = if entry.kind == EntryKind::Directory { &entry.path } else { split(&entry.path).0 };
        for new in self.tree.new_directories(directory) {
            entries.keep(new.len() as u64 + NAME)?;
            self.tree.add_directory(new);
        }
        Ok(())
    }
}

/// What is wanted of an entry, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Interest {
    /// Its content.
    Content,
    /// Its content, up to so many bytes.
    UpTo(u64),
    /// That it is there.
    Name,
    Nothing,
}

impl Interest {
    fn of(name: &[u8]) -> Self {
        match ImageKind::from_file_name(OsStr::from_bytes(name)) {
            Some((kind, _)) if kind.has_payload() => return Interest::Name,
            Some(_) => return Interest::Content,
            None => {}
        }
        let is = |names: &[&str]| names.iter().any(|known| known.as_bytes() == name);
        if criu_images::is_interface_addresses_file_name(OsStr::from_bytes(name)) {
            Interest::Content
        } else if is(&["dump.log", "restore.log"]) {
            Interest::UpTo(LOG_LIMIT)
        } else if is(&metadata::FILES) {
            Interest::UpTo(metadata::SIZE_LIMIT)
        } else if is(&MARKERS) || is(&[record::FILE_NAME]) || tree::is_whiteout(name) {
            Interest::Name
        } else {
            Interest::Nothing
        }
    }
}

/// Where files come from that are kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin {
    author: Author,
    changed: Timestamp,
}

impl Origin {
    pub(super) fn of(source: &Source) -> Self {
        Origin { author: source.author(), changed: source.changed() }
    }

    /// What a header says can be anything; so it can make a file less trusted or older than its archive, and never more
    /// or younger.
    fn file(self, content: Vec<u8>, entry: &Entry) -> KeptFile {
        let written = Written { said: entry.modified.min(self.changed), until: self.changed };
        let author = self.author.or(Author::of_owner(entry.owner, entry.mode));
        KeptFile { content: content.into(), written, author }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Seek;
    use std::path::Path;

    use super::*;
    use crate::archive::Meter;

    /// What is kept of an archive with these entries: path, type, where a link leads, mode.
    fn kept(entries: &[(&str, tar::EntryType, &str, u32)]) -> Result<Tree, ArchiveError> {
        let mut builder = tar::Builder::new(tempfile::tempfile().unwrap());
        for (path, kind, target, mode) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_mode(*mode);
            header.set_mtime(5);
            header.set_uid(0);
            header.set_gid(0);
            if target.is_empty() {
                builder.append_data(&mut header, path, std::io::empty()).unwrap();
            } else {
                builder.append_link(&mut header, path, target).unwrap();
            }
        }
        let mut file = builder.into_inner().unwrap();
        file.rewind().unwrap();
        let source = Source::of(file, Path::new("a.tar")).unwrap();
        let meter = Meter::new(&|_| {});
        let mut entries = Entries::open(&source, &meter)?;
        read(&mut entries, Origin::of(&source)).map(|contents| contents.tree)
    }

    const FILE: tar::EntryType = tar::EntryType::Regular;

    #[test]
    fn only_what_is_read_is_kept() {
        let tree = kept(&[
            ("c/inventory.img", FILE, "", 0o600),
            ("c/pages-1.img", FILE, "", 0o600),
            ("c/tcp-stream-1f.img", FILE, "", 0o600),
            ("c/ghost-file-1.img", FILE, "", 0o600),
            ("etc/passwd", FILE, "", 0o600),
        ])
        .unwrap();
        assert!(matches!(tree.file(b"c", b"inventory.img"), Some(Kept::File(_))));
        assert!(matches!(tree.file(b"c", b"tcp-stream-1f.img"), Some(Kept::Name)));
        assert!(matches!(tree.file(b"c", b"ghost-file-1.img"), Some(Kept::Name)));
        assert_eq!(tree.names(b"c"), [b"ghost-file-1.img".as_slice(), b"inventory.img", b"tcp-stream-1f.img"]);
        assert_eq!(tree.names(b""), [b"c"]);
    }

    #[test]
    fn the_last_entry_of_a_name_counts() {
        let link = tar::EntryType::Symlink;
        let is_file = |entries: &[_]| matches!(kept(entries).unwrap().file(b"", b"files.img"), Some(Kept::File(_)));
        let (file, other) = (("files.img", FILE, "", 0o600), ("./files.img", link, "/etc/shadow", 0o777));
        assert!(is_file(&[other, file]));
        assert!(!is_file(&[file, other]));
    }

    #[test]
    fn a_hard_link_is_what_it_leads_to() {
        let hard = tar::EntryType::Link;
        let entries = [
            ("a/files.img", FILE, "", 0o600),
            ("b/files.img", hard, "./a/files.img", 0o600),
            ("b/core-1.img", hard, "a/pages-1.img", 0o600),
            ("b/core-2.img", hard, "b/core-2.img", 0o600),
        ];
        let tree = kept(&entries).unwrap();
        assert!(matches!(tree.file(b"b", b"files.img"), Some(Kept::File(_))));
        assert!(matches!(tree.file(b"b", b"core-1.img"), Some(Kept::NoFile)));
        assert!(matches!(tree.file(b"b", b"core-2.img"), Some(Kept::NoFile)));
    }

    /// What a header says can only take trust away, and is never later than the archive.
    #[test]
    fn a_header_adds_no_trust() {
        let file = |mode| match kept(&[("files.img", FILE, "", mode)]).unwrap().file(b"", b"files.img") {
            Some(Kept::File(file)) => file.clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!(file(0o644).author, Author::Trusted);
        assert_eq!(file(0o666).author, Author::Anybody);
        assert_eq!(file(0o644).written.said, Timestamp::new(5, 0));
        assert!(file(0o644).written.until > Timestamp::new(1_000_000_000, 0));
    }

    #[test]
    fn paths_that_take_memory_are_limited() {
        let path = format!("{}files.img", "x/".repeat(2100));
        let error = kept(&[(&path, FILE, "", 0o600)]).unwrap_err();
        assert!(matches!(error, ArchiveError::Limit(Limit::Path)), "{error}");
        // Each takes sixteen times its length, for the directories above it.
        let paths: Vec<String> = (0..2000).map(|at| format!("{at}/{}files.img", "x/".repeat(1900))).collect();
        let entries: Vec<_> = paths.iter().map(|path| (path.as_str(), FILE, "", 0o600)).collect();
        let error = kept(&entries).unwrap_err();
        assert!(matches!(error, ArchiveError::Limit(Limit::Kept)), "{error}");
    }
}
