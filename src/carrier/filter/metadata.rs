// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a runtime's metadata says about the network namespace, checked against the system.
//!
//! A path is a name, and names are reused: `/run/netns/blue` may be another namespace today, and `/proc/4711/ns/net`
//! that of another process. So a namespace counts only if what the path names existed before the images were written.

use std::path::{Component, Path};

use crate::causes::with_causes;
use crate::checkpoint::Checkpoint;
use crate::host::Host;
use crate::locate::context::{Context, Trust};
use crate::system::netns::{self, NetNamespace};
use crate::system::way;
use crate::time::Timestamp;

/// The network namespaces that metadata names.
#[derive(Debug, Default)]
pub(super) struct Named {
    /// Those that this host's engine names and that are still the same ones.
    pub(super) by_engine: Vec<NetNamespace>,
    /// The same of strangers: they tie nothing.
    pub(super) by_strangers: Vec<NetNamespace>,
    /// Where a name leads that was to lead to one of them.
    pub(super) lost: Lost,
}

/// What became of a name that no longer leads to the namespace of the images.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lost {
    /// Every name leads where it should, or there is none.
    #[default]
    None,
    /// It is gone: an engine takes it away with the namespace.
    Name,
    /// It leads to another namespace, or nobody can tell where: the one of the images may live on without it.
    Namespace,
}

/// The network namespaces that metadata names. Why one that the engine names is not used, the notes say.
pub(super) fn network_namespaces(
    host: &Host,
    checkpoint: &Checkpoint,
    metadata: &Context,
    notes: &mut Vec<String>,
) -> Named {
    let mut named = Named::default();
    for recorded in &metadata.network_namespaces {
        let (path, file) = (&recorded.value, &recorded.file);
        match (open(host, path, checkpoint.times.first().or(checkpoint.written)), recorded.trust) {
            (Ok(namespace), Trust::Host) => named.by_engine.push(namespace),
            (Ok(namespace), Trust::Stranger) => named.by_strangers.push(namespace),
            (Err(unusable), trust) => {
                named.lost = named.lost.max(unusable.lost);
                if trust == Trust::Host {
                    let why = unusable.why;
                    notes.push(format!("{file} names the network namespace {}, {why}", path.display()));
                }
            }
        }
    }
    named
}

/// Why a namespace that metadata names is not used.
#[derive(Debug, PartialEq, Eq)]
struct Unusable {
    lost: Lost,
    /// The end of a sentence about its path.
    why: String,
}

/// What metadata of strangers says about the network namespace. It ties nothing, but the user may know that it is true.
pub(super) fn words_of_strangers(metadata: &Context) -> Vec<String> {
    let strangers = metadata.network_namespaces.iter().filter(|recorded| recorded.trust == Trust::Stranger);
    strangers
        .map(|recorded| {
            let (path, file) = (recorded.value.display(), &recorded.file);
            format!(
                "{file} names the network namespace {path}, but may not come from this host's engine: if this is \
                 expected, add --netns {path}"
            )
        })
        .collect()
}

/// Opens the namespace at the path.
fn open(host: &Host, path: &Path, written: Option<Timestamp>) -> Result<NetNamespace, Unusable> {
    let unusable = |lost: Lost, why: &str| Unusable { lost, why: why.to_owned() };
    // /var/run is a link of root's to /run; one that others can replace would be their word.
    let found = match way::find(path) {
        Ok(found) => found,
        Err(error) if error.is_not_found() => return Err(unusable(Lost::Name, "which no longer exists")),
        Err(error) => {
            return Err(unusable(Lost::Namespace, &format!("which cannot be used: {}", with_causes(&error))));
        }
    };
    let namespace = match netns::open_found(found, path) {
        Ok(namespace) => namespace,
        Err(netns::Error::NotANetNamespace { .. }) => {
            return Err(unusable(Lost::Name, "which no longer exists there"));
        }
        Err(error) => return Err(unusable(Lost::Namespace, &format!("which cannot be used: {error}"))),
    };
    let process = process_of(path);
    let since = match process {
        Some(pid) => host.processes().get(pid).map(|process| process.started),
        None => Some(namespace.since),
    };
    let is_older = since.is_some_and(|since| written.is_some_and(|written| since <= written.latest()));
    match process {
        _ if is_older => Ok(namespace),
        // The process has ended, and another one has its pid.
        Some(_) => Err(unusable(Lost::Name, NEWER)),
        None => Err(unusable(Lost::Namespace, NEWER)),
    }
}

const NEWER: &str = "but that name now refers to a namespace newer than the images";

/// The process whose namespace a path names.
fn process_of(path: &Path) -> Option<u32> {
    let mut components = path.components().filter(|component| *component != Component::RootDir);
    let first = components.next()?;
    (first.as_os_str() == "proc").then(|| components.next()?.as_os_str().to_str()?.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_below_proc_names_a_process() {
        assert_eq!(process_of(Path::new("/proc/4711/ns/net")), Some(4711));
        assert_eq!(process_of(Path::new("//proc/./1/ns/net")), Some(1));
        for path in ["/proc/self/ns/net", "/run/netns/4711", "/proc", "proc"] {
            assert_eq!(process_of(Path::new(path)), None, "{path}");
        }
    }

    #[test]
    fn what_is_gone_or_younger_than_the_images_is_not_used() {
        let host = Host::look(crate::host::Wanted::default());
        let why = |path: &str, written| open(&host, Path::new(path), written).map(|_| ()).unwrap_err().why;
        assert_eq!(why("/run/netns/no-such", None), "which no longer exists");
        assert_eq!(why("/dev/null", None), "which no longer exists there");
        let own = format!("/proc/{}/ns/net", std::process::id());
        assert!(why(&own, Some(Timestamp::new(1000, 0))).contains("newer than the images"));
        assert!(why(&own, None).contains("newer than the images"));
    }
}
