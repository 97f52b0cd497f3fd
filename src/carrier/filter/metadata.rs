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

/// The network namespaces that this host's engine names, as far as they are still the same ones. Why one is not, the
/// notes say.
pub(super) fn network_namespaces(
    host: &Host,
    checkpoint: &Checkpoint,
    metadata: &Context,
    notes: &mut Vec<String>,
) -> Vec<NetNamespace> {
    let mut found = Vec::new();
    for recorded in &metadata.network_namespaces {
        let (path, file) = (&recorded.value, &recorded.file);
        if recorded.trust == Trust::Stranger {
            continue;
        }
        match open(host, path, checkpoint.times.first().or(checkpoint.written)) {
            Ok(namespace) => found.push(namespace),
            Err(why) => notes.push(format!("{file} names the network namespace {}, {why}", path.display())),
        }
    }
    found
}

/// The network namespaces that metadata of strangers names, as far as they can be the same ones. They tie nothing.
pub(super) fn of_strangers(host: &Host, checkpoint: &Checkpoint, metadata: &Context) -> Vec<NetNamespace> {
    let strangers = metadata.network_namespaces.iter().filter(|recorded| recorded.trust == Trust::Stranger);
    let written = checkpoint.times.first().or(checkpoint.written);
    strangers.filter_map(|recorded| open(host, &recorded.value, written).ok()).collect()
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

/// Opens the namespace at the path; the error is the end of a sentence about it.
fn open(host: &Host, path: &Path, written: Option<Timestamp>) -> Result<NetNamespace, String> {
    // /var/run is a link of root's to /run; one that others can replace would be their word.
    let found = match way::find(path) {
        Ok(found) => found,
        Err(error) if error.is_not_found() => return Err("which no longer exists".to_owned()),
        Err(error) => return Err(format!("which cannot be used: {}", with_causes(&error))),
    };
    let namespace = match netns::open_found(found, path) {
        Ok(namespace) => namespace,
        Err(netns::Error::NotANetNamespace { .. }) => return Err("which no longer exists there".to_owned()),
        Err(error) => return Err(format!("which cannot be used: {error}")),
    };
    let since = match process_of(path) {
        Some(pid) => host.processes().get(pid).map(|process| process.started),
        None => Some(namespace.since),
    };
    let is_older = since.is_some_and(|since| written.is_some_and(|written| since <= written.latest()));
    if is_older {
        Ok(namespace)
    } else {
        Err("but that name now refers to a namespace newer than the images".to_owned())
    }
}

/// The process by which a path names a namespace.
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
        let why = |path: &str, written| open(&host, Path::new(path), written).map(|_| ()).unwrap_err();
        assert_eq!(why("/run/netns/no-such", None), "which no longer exists");
        assert_eq!(why("/dev/null", None), "which no longer exists there");
        let own = format!("/proc/{}/ns/net", std::process::id());
        assert!(why(&own, Some(Timestamp::new(1000, 0))).contains("newer than the images"));
        assert!(why(&own, None).contains("newer than the images"));
    }
}
