// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Records what a dump has just left, in a file next to the images and in the store. It writes nothing else.
//!
//! It runs at CRIU's `post-dump`: all images are written, the tree is still frozen, the links and locks exist, and CRIU
//! waits (`cr_dump_finish` in `criu/cr-dump.c`). At `pre-resume` it notes a restore (`restore.rs`).

mod make;
mod repeat;
mod restore;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use crate::carrier::Query;
use crate::carrier::filter::ProbeError;
use crate::checkpoint::{self, NetworkScope};
use crate::host::Host;
use crate::kind::{self, LeftBy};
use crate::locate::{Images, LocateError};
use crate::probe::{self, Hints, Search};
use crate::record::FILE_NAME;
use crate::record::document::Document;
use crate::record::facts::ImagesDirectory;
use crate::record::fields::Device;
use crate::record::store::{RecordStore, StoreError, Stored};
use crate::system::dir::{Directory, FileError};
use crate::system::netns::{self, NetNamespace};
use crate::system::replace;

pub(crate) use restore::note;
pub use restore::{Noted, Restore};

/// A dump that CRIU has just finished, with a tree that is still frozen.
///
/// ```no_run
/// # fn on_post_dump(images: &std::path::Path, root_task: u32) -> Result<(), criu_gc::Error> {
/// // In the handler of CRIU's notification "post-dump", before the reply:
/// let recorded = criu_gc::record(&criu_gc::Dump::new(images).root_task(root_task))?;
/// # let _ = recorded;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Dump {
    images: PathBuf,
    work_dir: Option<PathBuf>,
    root_task: Option<u32>,
    store: Option<RecordStore>,
}

/// What was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recorded {
    /// The name of the file in the images directory.
    pub file_name: &'static str,
    /// The number of link remaps in it.
    pub links: usize,
    /// The number of connections, lock tables and lock chains in it.
    pub locks: usize,
    /// Sentences about what could not be recorded.
    pub not_recorded: Vec<String>,
    /// What is still to be stored.
    unstored: Option<Unstored>,
}

/// A record that is next to the images, and not in the store yet.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Unstored {
    store: RecordStore,
    document: Document,
    text: Vec<u8>,
}

/// Why a dump could not be recorded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordError {
    #[error(transparent)]
    Locate(#[from] LocateError),
    #[error(transparent)]
    Images(#[from] checkpoint::ReadError),
    #[error("CRIU does not name the root task")]
    NoRootTask,
    #[error(transparent)]
    Namespace(#[from] netns::Error),
    #[error(transparent)]
    Probe(#[from] ProbeError),
    #[error("the record cannot be encoded")]
    Encode(#[from] serde_json::Error),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Dump {
    /// The dump in this images directory.
    pub fn new(images: impl Into<PathBuf>) -> Self {
        Dump { images: images.into(), work_dir: None, root_task: None, store: None }
    }

    /// The directory with CRIU's log and statistics, if it is not the images directory.
    #[must_use]
    pub fn work_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.work_dir = Some(directory.into());
        self
    }

    /// The root task of the tree. It is necessary if the tree has its own network namespace.
    #[must_use]
    pub fn root_task(mut self, pid: u32) -> Self {
        self.root_task = Some(pid);
        self
    }

    /// Where a second copy of the record will outlive the images: see [`Recorded::store`].
    #[must_use]
    pub fn record_store(mut self, store: RecordStore) -> Self {
        self.store = Some(store);
        self
    }
}

/// Stores the record, if the dump left anything and a store was named.
pub(crate) fn store(recorded: &Recorded) -> Result<Option<Stored>, RecordError> {
    let Some(Unstored { store, document, text }) = &recorded.unstored else { return Ok(None) };
    Ok(Some(store.put(document, text)?))
}

/// Writes the record next to the images.
pub(crate) fn record(dump: &Dump) -> Result<Recorded, RecordError> {
    let images = Images::open(&dump.images, dump.work_dir.as_deref())?;
    let document = document(&images, dump)?;
    let text = serde_json::to_vec_pretty(&document)?;
    // The same directory: CRIU names it by a descriptor.
    replace::replace(&Directory::open(&dump.images)?, OsStr::new(FILE_NAME), &text)?;
    Ok(Recorded::of(document, text, dump.store.clone()))
}

fn document(images: &Images, dump: &Dump) -> Result<Document, RecordError> {
    let checkpoint = checkpoint::read(images)?;
    let mut claims = kind::named_by_images(&checkpoint);
    // A ghost file that is there is an earlier restore's.
    claims.residues.retain(|residue| residue.left_by() == LeftBy::Dump);
    let (namespace, hints) = match checkpoint.network_scope() {
        NetworkScope::Criu => (Some(netns::current()?), Vec::new()),
        NetworkScope::Own => {
            let pid = dump.root_task.ok_or(RecordError::NoRootTask)?;
            let path = PathBuf::from(format!("/proc/{pid}/ns/net"));
            (Some(netns::open(&path)?), vec![path])
        }
        NetworkScope::Unknown => (None, Vec::new()),
    };
    let hints = Hints { namespaces: hints, search: Search::Named, ..Hints::default() };
    let host = Host::look(probe::wanted(&checkpoint, &claims));
    let survey = probe::objects(&host, &checkpoint, claims, &hints, BTreeSet::new())?;
    let is_locked = survey.findings.iter().any(|finding| matches!(finding.residue.query(), Query::Filter(_)));
    let namespace: Option<&NetNamespace> = namespace.as_ref().filter(|_| is_locked);
    let directory =
        images.directory_and_inode().map(|(_, (device, inode))| ImagesDirectory { device: Device(device), inode });
    Ok(make::document(&target(&dump.images), directory, &checkpoint, &survey, namespace))
}

/// The directory behind the name that CRIU gives it, `/proc/PID/fd/N`.
fn target(directory: &Path) -> PathBuf {
    fs::read_link(directory).unwrap_or_else(|_| directory.to_owned())
}

impl Recorded {
    fn of(document: Document, text: Vec<u8>, store: Option<RecordStore>) -> Self {
        let network = document.network.as_ref();
        Recorded {
            file_name: FILE_NAME,
            links: document.links.len(),
            locks: network.map_or(0, |each| each.connections.len() + each.tables.len() + each.chains.len()),
            not_recorded: document.not_recorded.clone(),
            unstored: store.filter(|_| names_anything(&document)).map(|store| Unstored { store, document, text }),
        }
    }
}

/// Whether the dump left something, or may have.
fn names_anything(document: &Document) -> bool {
    !document.links.is_empty() || document.network.is_some() || !document.not_recorded.is_empty()
}
