// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What was in the way of a dump that failed: a link of its log, looked at on the host, and whose it may be. Read-only.
//!
//! The result is notes for people. No object is found or removed because of them.

mod claimants;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use self::claimants::{Around, Claimant, Claims, claimants};
use crate::checkpoint::{Checkpoint, Obstacle};
use crate::host::{self, Host};
use crate::locate::{Context, Given};
use crate::record::store::RecordStore;
use crate::system::author::Author;
use crate::system::dir::{Directory, FileError, FileIdentity, Reach};

/// The most other names of a file that a note lists.
const NAMES: usize = 3;
/// No more names of a directory are looked at.
const LOOKED_AT: usize = 10_000;

/// Sentences about the links that the log of a failed dump names.
pub(crate) fn notes(
    host: &Host,
    given: &Given,
    checkpoint: &Checkpoint,
    metadata: &Context,
    store: &RecordStore,
) -> Vec<String> {
    let images = given.directory_and_inode().map(|(directory, _)| directory.path().to_owned());
    let around = Around { images, store: store.clone() };
    let Some(log) = checkpoint.log_file.as_ref().filter(|_| checkpoint.log.failed.is_some()) else { return Vec::new() };
    let about = |obstacle: &Obstacle| {
        let said = format!("{}: the dump failed because {}", log.name, words(obstacle));
        if log.author != Author::Trusted {
            return format!("{said}; users other than root may have written this log, so criu-gc does not look there");
        }
        let Some(root) = root(host, checkpoint, metadata) else { return said };
        let (place, obstacle, around) = (root.clone(), obstacle.clone(), around.clone());
        match host::answer(&[&root], move || looked_at(&place, &obstacle, &around)) {
            Some(looked) => format!("{said}; {looked}"),
            None => format!("{said}; its filesystem does not answer"),
        }
    };
    checkpoint.log.obstacles.iter().map(about).collect()
}

/// What is where the link was. Logs of errors only do not name it: then it is one of those in the directory of the file.
fn looked_at(root: &Path, Obstacle { link, original }: &Obstacle, around: &Around) -> String {
    if let Some(link) = link {
        return LinkSight::at(root, link, around).words();
    }
    let directory = path(original.as_deref().unwrap_or_default()).parent().unwrap_or(Path::new("")).to_owned();
    let links = Directory::open(root).and_then(|root| links_in(&root, &directory)).unwrap_or_default();
    match &links[..] {
        [] => "no link remap is in its directory now".to_owned(),
        [only] => format!("{} is the only link there; {}", lossy(only), LinkSight::at(root, only, around).words()),
        [..] => {
            let names: Vec<String> = links.iter().take(NAMES).map(|link| lossy(link)).collect();
            let all = root.join(&directory).join("link_remap");
            format!(
                "it may be one of {}, for example {}; to list them: ls -li {}.*",
                links.len(),
                names.join(", "),
                shell(&all)
            )
        }
    }
}

/// The link remaps in a directory, by their paths below the root.
fn links_in(root: &Directory, directory: &Path) -> Result<Vec<Vec<u8>>, FileError> {
    let names = root.below(directory, Reach::AcrossMounts)?.reopened()?.names()?;
    let links = names.into_iter().filter(|name| name.starts_with(b"link_remap."));
    Ok(links.map(|name| [b"/", directory.join(OsStr::from_bytes(&name)).as_os_str().as_bytes()].concat()).collect())
}

/// A path of the log, below the root directory.
fn path(name: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(name.strip_prefix(b"/").unwrap_or(name)))
}

fn words(Obstacle { link, original }: &Obstacle) -> String {
    match (link, original) {
        (Some(link), Some(original)) => {
            format!("{}, the link that it needs for {}, already exists", lossy(link), lossy(original))
        }
        (Some(link), None) => format!("{}, a link that it needs, already exists", lossy(link)),
        (None, Some(original)) => format!("the link remap that it needs for {} already exists", lossy(original)),
        (None, None) => "a link that it needs already exists".to_owned(),
    }
}

/// The root directory that the log's paths start at: that of the tree if it still runs, else what the engine names, else
/// the host's own.
fn root(host: &Host, checkpoint: &Checkpoint, metadata: &Context) -> Option<PathBuf> {
    let process = checkpoint.log.root_pid.and_then(|pid| host.processes().get(pid));
    let is_older = |started| checkpoint.written.is_none_or(|written| started <= written);
    if let Some(process) = process.filter(|process| is_older(process.started)) {
        return Some(process.root());
    }
    match metadata.own_root() {
        Some(root) => Some(root.to_owned()),
        None => (!checkpoint.has_own_mount_namespace()).then(|| PathBuf::from("/")),
    }
}

/// What has the name of the link now.
enum LinkSight {
    Gone,
    Unknown(FileError),
    Found(Box<LinkFound>),
}

struct LinkFound {
    path: PathBuf,
    file: FileIdentity,
    /// Other names of the file in its directory.
    names: Vec<Vec<u8>>,
    claimants: Vec<Claimant>,
}

impl LinkSight {
    fn at(root: &Path, link: &[u8], around: &Around) -> Self {
        match LinkFound::look(root, link, around) {
            Ok(Some(found)) => LinkSight::Found(Box::new(found)),
            Ok(None) => LinkSight::Gone,
            Err(error) if error.is_no_directory() => LinkSight::Gone,
            Err(error) => LinkSight::Unknown(error),
        }
    }

    fn words(&self) -> String {
        match self {
            LinkSight::Gone => "it is gone now".to_owned(),
            LinkSight::Unknown(error) => error.to_string(),
            LinkSight::Found(found) => found.words(),
        }
    }
}

impl LinkFound {
    fn look(root: &Path, link: &[u8], around: &Around) -> Result<Option<Self>, FileError> {
        let relative = path(link);
        let (Some(parent), Some(name)) = (relative.parent(), relative.file_name()) else { return Ok(None) };
        let top = Directory::open(root)?;
        let directory = top.below(parent, Reach::AcrossMounts)?;
        let Some(file) = directory.entry(name)? else { return Ok(None) };
        // A tree without a root directory of its own has the host's paths.
        let shown = if is_same(&top, Path::new("/")) { Path::new("/") } else { root };
        let names = other_names(&directory.reopened()?, name, &file)?;
        let claimants = claimants(link, &file, around);
        Ok(Some(LinkFound { path: shown.join(relative), file, names, claimants }))
    }

    fn words(&self) -> String {
        let FileIdentity { device: (major, minor), inode, owner, links, size, .. } = self.file;
        let file = format!("inode {inode} on device {major}:{minor}, {size} bytes, owner {owner}, names: {links}");
        let names: Vec<String> = self.names.iter().map(|name| lossy(name)).collect();
        let names = if names.is_empty() { String::new() } else { format!(", also {} there", names.join(", ")) };
        format!("it is {file}{names}; {}", self.whose())
    }

    /// Whose it may be, and the command that shows it.
    fn whose(&self) -> String {
        let Some(Claimant { path, claims }) = self.claimants.first() else {
            let directory = self.path.parent().unwrap_or(Path::new("/"));
            return format!(
                "no checkpoint beside this one names it: perhaps one that was deleted left it. To look at it: ls -li {}; \
                 find {} -xdev -inum {}",
                shell(&self.path),
                shell(directory),
                self.file.inode
            );
        };
        let shows = format!("criu-gc -D {} --show", shell(path));
        match claims {
            Claims::Recorded => format!("the record of the dump in {} has this inode; {shows}", path.display()),
            Claims::Store => format!("the record {} has this inode; {shows}", path.display()),
            Claims::Named => {
                format!("it is probably of the checkpoint in {}, which names this link; {shows}", path.display())
            }
            Claims::PathOnly => {
                format!("the checkpoint in {} names this link, but the file changed after it; {shows}", path.display())
            }
        }
    }
}

fn is_same(one: &Directory, path: &Path) -> bool {
    let other = Directory::open(path).and_then(|other| other.identity());
    one.identity().is_ok_and(|one| other.is_ok_and(|other| one.is_same_inode(&other) && one.mount_id == other.mount_id))
}

fn other_names(directory: &Directory, name: &OsStr, file: &FileIdentity) -> Result<Vec<Vec<u8>>, FileError> {
    if file.links < 2 {
        return Ok(Vec::new());
    }
    let is_other = |other: &Vec<u8>| {
        let entry = directory.entry(OsStr::from_bytes(other)).ok().flatten();
        other.as_slice() != name.as_bytes() && entry.is_some_and(|entry| entry.is_same_inode(file))
    };
    Ok(directory.names()?.into_iter().take(LOOKED_AT).filter(is_other).take(NAMES).collect())
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A path as a word of a shell.
fn shell(path: &Path) -> String {
    let text = path.to_string_lossy();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._+-:@%,=".contains(&byte);
    if text.bytes().all(is_plain) { text.into_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}
