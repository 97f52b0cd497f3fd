// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which part of a mount table matters to a checkpoint, and how much of it is held.
//!
//! A table belongs to the owner of its mount namespace, so its lines are read one by one, and the total held from all
//! tables is bounded.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io::{self, BufRead};
use std::path::PathBuf;

use super::MountNamespace;
use crate::host::namespace::Kind;
use crate::system::mountinfo::{self, HostMount, volume_of};

/// Which mounts are looked for.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Device numbers.
    pub devices: BTreeSet<(u32, u32)>,
    /// Those of them that are a tmpfs's, which lives for as long as anything keeps it.
    pub tmpfs: BTreeSet<(u32, u32)>,
    /// Volumes of device mapper, by name.
    pub volumes: HashSet<Vec<u8>>,
    /// Upper directories of overlays, as the options of a mount have them.
    pub uppers: HashSet<Vec<u8>>,
    /// The directories of a filesystem that have to be shown, and those above them.
    pub roots: HashSet<Vec<u8>>,
    /// Whether all other mounts are looked for as well.
    pub extent: Extent,
}

/// How much of the mount tables is looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Extent {
    /// What the other fields name.
    #[default]
    Named,
    /// Every mount.
    Every,
}

/// The files of namespaces that are mounted somewhere: `nsfs` in a mount table.
#[derive(Debug, Clone)]
pub(in crate::host) struct Pin {
    /// The namespace in whose table the mount is; `None` for the tool's own.
    pub(in crate::host) within: Option<MountNamespace>,
    pub(in crate::host) mountpoint: PathBuf,
    pub(in crate::host) root: Vec<u8>,
}

/// What was read of one table.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) mounts: Vec<HostMount>,
    pub(super) pins: Vec<Pin>,
    /// Its first mount, which identifies the namespace.
    pub(super) first: Option<u32>,
    /// Whether more of its mounts would have mattered than are kept.
    pub(super) is_cut: bool,
}

/// Reads tables, and bounds what is kept of all of them together: whoever owns a mount namespace can have any number of
/// mounts in it, and of copies of it.
#[derive(Debug)]
pub(super) struct TableReader<'a> {
    wanted: &'a Wanted,
    /// How many files of each namespace are kept already.
    pins: HashMap<Vec<u8>, usize>,
    /// How many more mounts may be kept.
    left: usize,
}

/// How many mounts of one directory are kept of a namespace, and how many mounts of one file of a namespace of all of
/// them: whoever owns a mount namespace can have any number.
const SAME_ROOT_LIMIT: usize = 8;
/// No more mounts are kept of all namespaces together.
const MOST_MOUNTS: usize = 200_000;

impl<'a> TableReader<'a> {
    pub(super) fn new(wanted: &'a Wanted) -> Self {
        TableReader { wanted, pins: HashMap::new(), left: MOST_MOUNTS }
    }

    /// What of a table matters.
    pub(super) fn read(&mut self, text: impl BufRead, within: Option<&MountNamespace>) -> io::Result<Table> {
        let mut table = Table::default();
        let mut kept: HashMap<((u32, u32), Vec<u8>), usize> = HashMap::new();
        let wanted = self.wanted;
        let is_own = within.is_none();
        let may_matter = |brief: mountinfo::Brief<'_>| {
            let is_volume = || !wanted.volumes.is_empty() && brief.source.starts_with(b"/dev/");
            brief.fstype == b"nsfs"
                || wanted.extent == Extent::Every
                || brief.fstype == b"overlay"
                || wanted.devices.contains(&brief.device)
                || is_own && wanted.is_on_disk(brief.device)
                || is_volume()
        };
        table.first = mountinfo::read(text, may_matter, |mount| {
            if mount.fstype == b"nsfs" {
                if Kind::ALL.into_iter().any(|kind| kind.number(&mount.root).is_some()) && self.keeps_pin(&mount.root) {
                    let mountpoint = crate::host::path(&mount.mountpoint);
                    table.pins.push(Pin { within: within.cloned(), mountpoint, root: mount.root });
                }
            } else if wanted.extent == Extent::Every {
                self.keep(mount, &mut table);
            } else if wanted.is_about(&mount) || is_own && wanted.may_be_renumbered(&mount) {
                // What shows none of the directories says only that the filesystem is mounted.
                let root = if wanted.roots.contains(&mount.root) { mount.root.clone() } else { Vec::new() };
                let count = kept.entry((mount.device, root)).or_default();
                *count += 1;
                if *count <= SAME_ROOT_LIMIT {
                    self.keep(mount, &mut table);
                }
            }
        })?;
        Ok(table)
    }

    fn keep(&mut self, mount: HostMount, table: &mut Table) {
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                table.mounts.push(mount);
            }
            None => table.is_cut = true,
        }
    }

    /// Whether one more mount of this namespace's file is kept: a few ways to it are enough.
    fn keeps_pin(&mut self, root: &[u8]) -> bool {
        match self.pins.get_mut(root) {
            Some(count) => {
                *count += 1;
                *count <= SAME_ROOT_LIMIT
            }
            None => self.pins.insert(root.to_owned(), 1).is_none(),
        }
    }
}

impl Wanted {
    /// Looks for what the other names as well.
    pub fn add(&mut self, other: Wanted) {
        let Wanted { devices, tmpfs, volumes, uppers, roots, extent } = other;
        if extent == Extent::Every {
            self.extent = extent;
        }
        self.devices.extend(devices);
        self.volumes.extend(volumes);
        self.tmpfs.extend(tmpfs);
        self.uppers.extend(uppers);
        self.roots.extend(roots);
    }

    /// Whether something that is looked for was on a disk, and this is a disk too.
    fn is_on_disk(&self, device: (u32, u32)) -> bool {
        device.0 != 0 && self.devices.iter().any(|(major, _)| *major != 0)
    }

    /// Whether a mount shows a directory that is looked for, on a disk: disks get other numbers when a machine restarts.
    fn may_be_renumbered(&self, mount: &HostMount) -> bool {
        self.is_on_disk(mount.device) && self.roots.contains(&mount.root)
    }

    fn is_about(&self, mount: &HostMount) -> bool {
        self.devices.contains(&mount.device)
            || volume_of(&mount.source).is_some_and(|name| self.volumes.contains(&name))
            || mount.fstype == b"overlay"
                && mountinfo::option(&mount.options, b"upperdir=").is_some_and(|upper| self.uppers.contains(upper))
    }
}

impl Pin {
    pub(in crate::host) fn describe(&self) -> String {
        let place = self.mountpoint.display();
        match &self.within {
            None => format!("mounted at {place}"),
            Some(namespace) => format!("mounted at {place} in {}", namespace.describe()),
        }
    }
}

/// The mounted network namespaces by their numbers: one place each, the tool's own namespace first.
pub(in crate::host) fn network_pins(pins: &[Pin]) -> BTreeMap<u64, Vec<&Pin>> {
    let mut found: BTreeMap<u64, Vec<&Pin>> = BTreeMap::new();
    for pin in pins {
        if let Some(number) = Kind::Network.number(&pin.root) {
            found.entry(number).or_default().push(pin);
        }
    }
    for pins in found.values_mut() {
        pins.sort_by_key(|pin| pin.within.is_some());
        pins.truncate(SAME_ROOT_LIMIT);
    }
    found
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const TABLE: &[u8] = br"21 1 8:1 / / rw - ext4 /dev/sda1 rw
22 21 8:1 /srv /mnt rw - ext4 /dev/sda1 rw
23 21 0:4 net:[4026532178] /run/netns/a\040b rw shared:7 - nsfs nsfs rw
24 21 0:4 mnt:[4026532179] /run/x rw - nsfs nsfs rw
25 21 0:9 / /t rw - tmpfs tmpfs rw
26 21 0:40 / /o rw - overlay overlay rw,lowerdir=/l,upperdir=/u,workdir=/w
";

    fn read(text: &[u8], wanted: &Wanted) -> Table {
        TableReader::new(wanted).read(text, None).unwrap()
    }

    fn wanted(device: (u32, u32)) -> Wanted {
        let (uppers, roots) = ([b"/u".to_vec()].into(), [b"/srv".to_vec()].into());
        Wanted { devices: [device].into(), uppers, roots, ..Wanted::default() }
    }

    #[test]
    fn only_mounts_of_what_is_wanted_are_kept() {
        let mountpoints = |device| -> Vec<Vec<u8>> {
            read(TABLE, &wanted(device)).mounts.into_iter().map(|mount| mount.mountpoint).collect()
        };
        assert_eq!(mountpoints((8, 1)), [b"/".to_vec(), b"/mnt".to_vec(), b"/o".to_vec()]);
        assert_eq!(mountpoints((0, 9)), [b"/t".to_vec(), b"/o".to_vec()]);
    }

    #[test]
    fn mounted_namespaces_are_told_apart_by_their_kind() {
        let pins = read(TABLE, &Wanted::default()).pins;
        let networks: Vec<u64> = network_pins(&pins).into_keys().collect();
        assert_eq!((pins.len(), networks), (2, vec![4_026_532_178]));
        assert_eq!(pins[0].mountpoint, Path::new("/run/netns/a b"));
    }

    #[test]
    fn of_a_million_mounts_of_one_directory_a_few_are_kept() {
        let text: String = (0..5000).map(|id| format!("{id} 1 8:1 /srv /m{id} rw - ext4 /dev/sda1 rw\n")).collect();
        assert_eq!(read(text.as_bytes(), &wanted((8, 1))).mounts.len(), SAME_ROOT_LIMIT);
    }

    #[test]
    fn of_many_mounts_of_one_namespaces_file_a_few_are_kept_in_all_tables_together() {
        let line = |id: u32| format!("{id} 1 0:4 net:[4026532178] /m{id} rw - nsfs nsfs rw\n");
        let text: String = (0..5000).map(line).collect();
        let wanted = Wanted::default();
        let mut reader = TableReader::new(&wanted);
        let mut count = || reader.read(text.as_bytes(), None).unwrap().pins.len();
        assert_eq!((count(), count()), (SAME_ROOT_LIMIT, 0));
    }

    #[test]
    fn a_table_of_which_not_all_is_kept_is_cut() {
        let text: String = (0..5).map(|id| format!("{id} 1 8:1 /srv /m{id} rw - ext4 /dev/sda1 rw\n")).collect();
        let wanted = wanted((8, 1));
        let mut reader = TableReader { left: 4, ..TableReader::new(&wanted) };
        let table = reader.read(text.as_bytes(), None).unwrap();
        assert!(table.is_cut && table.mounts.len() == 4);
        assert!(!read(text.as_bytes(), &wanted).is_cut);
    }
}
