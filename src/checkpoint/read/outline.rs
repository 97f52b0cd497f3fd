// SPDX-License-Identifier: Apache-2.0 OR MIT
//! An outline of a checkpoint: enough to know, among thousands, whether it can have left an object, and read in a small part
//! of the time. It decides nothing: whoever finds a checkpoint by it reads the images.
//!
//! The same reader reads the same images, without those of the tasks and their memory. `files.img`, which can be large, is
//! read only if a remap or a connection leads there, or if the dump came to no end.

use std::collections::HashSet;

use criu_images::{ImageKind, NetworkLock, Remap};

use super::super::problem::ReadError;
use super::Reader;
use super::files::Files;
use crate::checkpoint::budget::Fact;
use crate::checkpoint::{FileRecord, RemapRecord, RestoreEvidence, RunId};
use crate::connection::Connection;
use crate::locate::Images;
use crate::mounts;
use crate::time::Timestamp;

/// What an outline tells of a checkpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outline {
    /// The run id, where the inventory or the log has one.
    pub run_id: Option<String>,
    /// When the images were written.
    pub written: Option<Timestamp>,
    /// What the images can be used for.
    pub condition: Condition,
    /// What shows that a restore succeeded.
    pub restored: Option<RestoreEvidence>,
    /// Whether a restore left its log.
    pub has_restore_log: bool,
    /// How the network was locked.
    pub lock: Lock,
    /// The link remaps that the images name, by the ends of their paths.
    pub links: Vec<PathEnd>,
    /// The files that remaps and sockets stand for, in the same way: CRIU makes other names from theirs.
    pub originals: Vec<PathEnd>,
    /// The connections that the dump can have locked one by one.
    pub connections: Vec<Connection>,
}

/// What images can be used for, as far as an outline tells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Condition {
    /// The dump came to its end, and no image that was read is cut.
    Whole,
    /// An image is missing or cut, or CRIU took back what the dump had done.
    #[default]
    Incomplete,
    /// They are of a pre-dump, which leaves nothing.
    PreDump,
}

/// How a dump locked the network.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Lock {
    /// It did not.
    Nothing,
    /// With rules and chains of iptables.
    Iptables,
    /// With a table of nftables.
    Nftables,
    /// The images do not tell.
    #[default]
    Unknown,
}

/// The end of a path as the tree saw it: what is below its last mount point. Wherever the mount is now, the path ends so.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PathEnd(Vec<u8>);

impl PathEnd {
    /// That of a whole path.
    pub fn of_path(path: &[u8]) -> Self {
        PathEnd(path.strip_prefix(b"/").unwrap_or(path).to_owned())
    }

    /// The last component.
    pub fn name(&self) -> &[u8] {
        self.0.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
    }

    /// Whether a path of this host ends so.
    pub fn is_end_of(&self, path: &[u8]) -> bool {
        let before = path.strip_suffix(self.0.as_slice());
        before.is_some_and(|before| before.is_empty() || before.ends_with(b"/"))
    }
}

/// Reads the outline.
pub fn outline(images: &Images) -> Result<Outline, ReadError> {
    let mut reader = Reader::new(images);
    let inventory = reader.inventory()?;
    let remaps: Vec<RemapRecord> = reader.all(0, Fact::Remap)?;
    let wanted = remapped(&remaps);
    let is_needed = !remaps.is_empty() || inventory.is_none() || !images.ids(ImageKind::TcpStream).is_empty();
    let files = if is_needed { reader.files(&wanted, &remaps)? } else { Files::default() };
    let end = reader.end_of_dump()?;
    let restores = reader.restores(None)?;
    let log = if end.is_none() { reader.dump_log(inventory.as_ref())? } else { super::dump_log::DumpLog::default() };
    let is_rolled_back = end.is_none() && reader.rollback(&log, inventory.as_ref(), images.absence()).is_some();
    let ends = Ends { mountpoints: reader.mountpoints(&remaps, &files)? };
    let has = |kind: ImageKind| !images.ids(kind).is_empty() || matches!(images.image(&kind.file_name(0)), Ok(Some(_)));
    let entry = inventory.as_ref().map(|inventory| &inventory.entry);
    let says_pre_dump = entry.is_some_and(|entry| entry.img_version == 0 || entry.pre_dump_mode.is_some());
    let condition = if says_pre_dump && remaps.is_empty() && !has(ImageKind::Pstree) {
        Condition::PreDump
    } else if entry.is_some() && !is_rolled_back && reader.problems.is_empty() && has(ImageKind::Pstree) {
        Condition::Whole
    } else {
        Condition::Incomplete
    };
    let run_id = entry.and_then(|entry| RunId::new(entry.dump_criu_run_id.as_deref()?)).or(log.facts.run_id.clone());
    let closes = entry.is_some_and(|entry| entry.tcp_close == Some(true));
    let logged = log.facts.locked.iter().map(|locked| locked.connection);
    let connections = files.sockets.iter().filter(|_| !closes).map(|socket| socket.connection).chain(logged).collect();
    Ok(Outline {
        run_id: run_id.map(|id| id.text),
        written: reader.times.last().map(|written| written.said),
        condition,
        restored: restores.succeeded,
        has_restore_log: restores.has_log,
        lock: entry.map_or(Lock::Unknown, |entry| Lock::of(entry.network_lock())),
        links: ends.links(&remaps, &files),
        originals: ends.originals(&remaps, &files),
        connections,
    })
}

/// The ids of all files that remaps are about.
fn remapped(remaps: &[RemapRecord]) -> HashSet<u32> {
    super::files::wanted_files(remaps, &std::collections::HashMap::new())
}

impl Lock {
    fn of(lock: NetworkLock) -> Self {
        match lock {
            NetworkLock::Iptables => Lock::Iptables,
            NetworkLock::Nftables => Lock::Nftables,
            NetworkLock::Skip => Lock::Nothing,
            NetworkLock::Unknown(_) | _ => Lock::Unknown,
        }
    }
}

impl Reader<'_> {
    /// The mount points of all mount namespaces, if a name needs them.
    fn mountpoints(&mut self, remaps: &[RemapRecord], files: &Files) -> Result<Vec<Vec<u8>>, ReadError> {
        let mut mountpoints = Vec::new();
        if remaps.is_empty() && files.shaped.is_empty() && files.deleted_sockets.is_empty() {
            return Ok(mountpoints);
        }
        for namespace in self.images.ids(ImageKind::Mountpoints) {
            self.records(namespace, |mount: criu_images::MntEntry, _, _, budget| {
                budget.charge(Fact::Id, mount.mountpoint.len())?;
                mountpoints.extend(mounts::readings_of_mountpoint(&mount));
                Ok(())
            })?;
        }
        Ok(mountpoints)
    }
}

/// From paths of the tree to their ends.
struct Ends {
    mountpoints: Vec<Vec<u8>>,
}

impl Ends {
    fn of(&self, name: &[u8]) -> PathEnd {
        let name = name.strip_prefix(b".").filter(|name| name.starts_with(b"/")).unwrap_or(name);
        let name = name.strip_prefix(b"/").unwrap_or(name);
        let below = |mountpoint: &Vec<u8>| {
            let rest = name.strip_prefix(mountpoint.strip_prefix(b"/")?)?;
            let rest = if mountpoint == b"/" { rest } else { rest.strip_prefix(b"/")? };
            (!rest.is_empty()).then_some(rest)
        };
        let shortest = self.mountpoints.iter().filter_map(below).min_by_key(|rest| rest.len());
        PathEnd(shortest.unwrap_or(name).to_owned())
    }

    fn links(&self, remaps: &[RemapRecord], files: &Files) -> Vec<PathEnd> {
        let link = |remap: &RemapRecord| match remap.entry.remap() {
            Remap::Linked { file_id } => Some(match files.files.get(&file_id) {
                Some(file) => self.of(&file.entry.name),
                // `files.img` is cut; CRIU gives the link this name.
                None => PathEnd(format!("link_remap.{file_id}").into_bytes()),
            }),
            Remap::Ghost { .. } | Remap::Procfs { .. } | Remap::Unknown { .. } | _ => None,
        };
        remaps.iter().chain(&files.shaped).filter_map(link).collect()
    }

    fn originals(&self, remaps: &[RemapRecord], files: &Files) -> Vec<PathEnd> {
        let name = |file: &FileRecord| self.of(&file.entry.name);
        let remapped = remaps.iter().chain(&files.shaped).filter_map(|remap| files.files.get(&remap.entry.orig_id));
        let sockets = files.deleted_sockets.iter().filter_map(|socket| socket.entry.path());
        remapped.map(name).chain(sockets.map(|path| self.of(&path))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_path_is_what_is_below_the_last_mount_point() {
        let ends = Ends { mountpoints: vec![b"/".to_vec(), b"/dev/shm".to_vec(), b"/data".to_vec()] };
        for (name, end) in [
            ("/srv/link_remap.4", "srv/link_remap.4"),
            ("dev/shm/link_remap.4", "link_remap.4"),
            ("/data2/a", "data2/a"),
            ("./data/a/b", "a/b"),
        ] {
            assert_eq!(ends.of(name.as_bytes()), PathEnd(end.into()), "{name}");
        }
        assert_eq!(Ends { mountpoints: Vec::new() }.of(b"/dev/shm/x"), PathEnd(b"dev/shm/x".to_vec()));
    }

    #[test]
    fn a_path_ends_so_at_a_component() {
        let end = PathEnd(b"a/link_remap.4".to_vec());
        assert!(end.is_end_of(b"/x/a/link_remap.4") && end.is_end_of(b"a/link_remap.4"));
        assert!(!end.is_end_of(b"/xa/link_remap.4") && !end.is_end_of(b"/x/a/link_remap.45"));
        assert_eq!(end.name(), b"link_remap.4");
    }
}
