// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Link remaps of an interrupted dump that no image names: the log leads to their directories. Read-only.
//!
//! CRIU buffers its images, and a dump that is killed loses the last entries of each. The log is not buffered. A name
//! `link_remap.N` in one of its directories is the dump's if it was made while the log was written, and either a process of
//! the tree still has the file open, or the file has another name beside the link. All others are counted, and told.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::checkpoint::{Checkpoint, Detail, LinkCounts, LogFile, LoggedLink};
use crate::evidence::Evidence;
use crate::host::{self, Host};
use crate::system::author::Author;
use crate::system::dir::{Directory, FileError, FileIdentity, InodeId, Reach};
use crate::time::{SLACK, Timestamp};
use crate::tree::LiveTask;

/// No more links of neither kind are named.
const NAMED: usize = 3;

/// Adds the links that the log leads to, and how many there are of each kind.
pub(crate) fn add_links(host: &Host, tree: &[LiveTask], checkpoint: &mut Checkpoint) {
    let Some(search) = Search::new(host, tree, checkpoint) else { return };
    let places: Vec<PathBuf> = vec![search.root.clone()];
    let paths: Vec<&Path> = places.iter().map(PathBuf::as_path).collect();
    let Some((links, counts)) = host::answer(&paths, move || search.look()) else { return };
    checkpoint.logged_links = links;
    checkpoint.link_counts = Some(counts);
}

/// Whether no image is younger than the log: the directory may have been used by another dump since. Nobody but root can
/// have taken away what shows more.
fn is_last(log: &LogFile, checkpoint: &Checkpoint) -> bool {
    let last = checkpoint.written.map(|images| images.minus(SLACK));
    let is_older = log.written.is_some_and(|ended| last.is_none_or(|last| last <= ended));
    is_older && checkpoint.absence == Author::Trusted
}

/// What is looked for, and where.
struct Search {
    root: PathBuf,
    log: Arc<str>,
    directories: Vec<(Vec<u8>, u64, u64)>,
    /// Whether the log leads to each link that the dump made.
    is_complete: bool,
    span: (Timestamp, Timestamp),
    /// The links that images name.
    named: BTreeSet<Vec<u8>>,
    /// The files that the tree has open.
    open: HashMap<InodeId, Vec<u8>>,
}

impl Search {
    /// Nothing without a log that only root can have written.
    fn new(host: &Host, tree: &[LiveTask], checkpoint: &Checkpoint) -> Option<Self> {
        let log = checkpoint.log_file.as_ref().filter(|log| log.author == Author::Trusted)?;
        let files = &checkpoint.log.files;
        let root = match (checkpoint.has_own_mount_namespace(), tree.first()) {
            (true, Some(task)) => host.processes().get(task.pid)?.root(),
            (true, None) => return None,
            (false, _) => PathBuf::from("/"),
        };
        let shaped = checkpoint.remaps.iter().chain(&checkpoint.shaped);
        let named = shaped.filter_map(|remap| checkpoint.files.get(&remap.entry.remap_id));
        Some(Search {
            root,
            log: log.name.as_str().into(),
            directories: files.directories.iter().cloned().collect(),
            is_complete: files.detail == Detail::DeletedFiles && is_last(log, checkpoint),
            span: (log.born.or(checkpoint.began)?, log.written?),
            named: named.map(|file| file.entry.name.clone()).collect(),
            open: checkpoint.held.clone(),
        })
    }

    fn look(&self) -> (Vec<LoggedLink>, LinkCounts) {
        let mut links = Vec::new();
        let mut counts = LinkCounts { is_complete: self.is_complete, ..LinkCounts::default() };
        let mut seen = BTreeSet::new();
        for (directory, line, offset) in &self.directories {
            let evidence = Evidence { image: Arc::clone(&self.log), record: *line, offset: *offset };
            let found = self.opened(directory).and_then(|(directory, path)| match seen.insert(path.clone()) {
                true => self.look_in(&directory, &path, &evidence, &mut counts),
                false => Ok(Vec::new()),
            });
            match found {
                Ok(found) => links.extend(found),
                Err(_) => counts.is_complete = false,
            }
        }
        counts.by_log = links.len();
        (links, counts)
    }

    /// The directory, or if it is gone the nearest above, where CRIU makes the link then.
    fn opened(&self, path: &[u8]) -> Result<(Directory, Vec<u8>), FileError> {
        let root = Directory::open(&self.root)?;
        let mut relative = Path::new(OsStr::from_bytes(path)).strip_prefix("/").unwrap_or(Path::new("")).to_owned();
        loop {
            match root.below(&relative, Reach::AcrossMounts) {
                Ok(directory) => {
                    let path = Path::new("/").join(&relative).as_os_str().as_bytes().to_vec();
                    return Ok((directory.reopened()?, path));
                }
                Err(error) if error.is_not_found() && relative.parent().is_some() => drop(relative.pop()),
                Err(error) => return Err(error),
            }
        }
    }

    fn look_in(
        &self,
        directory: &Directory,
        path: &[u8],
        evidence: &Evidence,
        counts: &mut LinkCounts,
    ) -> Result<Vec<LoggedLink>, FileError> {
        let names = directory.names()?;
        let mut links = Vec::new();
        let mut others: Option<HashSet<InodeId>> = None;
        for name in &names {
            let Some(id) = number(name) else { continue };
            let Some(file) = directory.entry(OsStr::from_bytes(name))? else { continue };
            let full = [path.strip_suffix(b"/").unwrap_or(path), b"/", name].concat();
            counts.on_disk += 1;
            if self.named.contains(&full) {
                counts.by_images += 1;
                continue;
            }
            let mut has_other_name = || {
                let others = others.get_or_insert_with(|| other_names(directory, &names));
                others.contains(&file.id())
            };
            let original = self.open.get(&file.id()).cloned();
            if self.is_of_span(&file) && (original.is_some() || has_other_name()) {
                let (inode, changed, evidence) = (file.inode, file.changed, evidence.clone());
                links.push(LoggedLink { id, path: full, original, inode, changed, evidence });
            } else if counts.others.len() < NAMED {
                counts.others.push(full);
            }
        }
        Ok(links)
    }

    /// Whether the link can have been made while the log was written: that changed the inode, which has another name.
    fn is_of_span(&self, file: &FileIdentity) -> bool {
        let is_directory = file.mode & 0o170_000 == 0o040_000;
        !is_directory && file.links >= 2 && self.span.0 <= file.changed && file.changed.minus(SLACK) <= self.span.1
    }
}

/// The number in `link_remap.N`, as CRIU writes it.
fn number(name: &[u8]) -> Option<u32> {
    let digits = std::str::from_utf8(name.strip_prefix(b"link_remap.")?).ok()?;
    let number: u32 = digits.parse().ok()?;
    (number.to_string() == digits).then_some(number)
}

/// The files in the directory that have names which are none of link remaps.
fn other_names(directory: &Directory, names: &[Vec<u8>]) -> HashSet<InodeId> {
    let others = names.iter().filter(|name| number(name).is_none());
    others.filter_map(|name| Some(directory.entry(OsStr::from_bytes(name)).ok()??.id())).collect()
}
