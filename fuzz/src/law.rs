// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The law: no step of a plan leads out of the checkpoint's scope, whoever wrote its images.
//!
//! The scope is told here once more, from the entries and by other means than the tool's: on filesystems a name
//! `link_remap.N` of an entry N that a remap entry calls linked, below a directory that the images' mount of the file
//! shows, on the filesystem that it names; in the packet filter what has the run id or pid, or the addresses, of the
//! images. What a step's identity rests on is in `law/ground.rs`.

mod ground;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

use criu_gc::internals::carrier::name::{self, FileMount, NameAct};
use criu_gc::internals::carrier::{FoundFile, NameQuery, Presence, Query};
use criu_gc::internals::checkpoint::{self, Checkpoint};
use criu_gc::internals::kind::{self, GhostFile, LinkRemap, Residue};
use criu_gc::internals::locate::Images;
use criu_gc::internals::mounts::{
    Base, Finder, HostMount, HostMounts, Location, MountHints, MountNamespace, Place, Vanished,
};
use criu_gc::internals::plan::{self, Answer, Policy, Verdict};
use criu_gc::internals::probe::{Finding, Survey};
use criu_gc::internals::system::dir::FileIdentity;
use criu_gc::internals::system::filesystem::FilesystemId;
use criu_gc::internals::system::mountinfo::volume_of;
use criu_gc::internals::time::Timestamp;
use criu_images::{MntEntry, Remap};

/// Reads the images, plans with everything found where it can be, and checks each step.
pub fn no_step_leads_out_of_scope(images: &Images) {
    let Ok(checkpoint) = checkpoint::read(images) else { return };
    no_step_of_checkpoint_leads_out_of_scope(&checkpoint);
}

/// The same for a checkpoint that was read, from images or from a record that stands for them.
pub fn no_step_of_checkpoint_leads_out_of_scope(checkpoint: &Checkpoint) {
    // Long before any dump, and while this one ran.
    let times = [Some(Timestamp::new(1, 0)), checkpoint.began];
    times.into_iter().flatten().for_each(|changed| check(checkpoint, changed));
}

/// Everything that is found was changed last at this time.
fn check(checkpoint: &Checkpoint, changed: Timestamp) {
    let claims = kind::named_by_images(checkpoint);
    let host = host(checkpoint);
    let (mut survey, hints) = (Survey::default(), MountHints::default());
    let mut finder = Finder::new(&host, &hints);
    for residue in claims.residues {
        check_residue(checkpoint, &residue);
        let Query::Name(query) = residue.query() else { continue };
        // It is a place of this machine's own control groups.
        if query.mount == FileMount::ControlGroup {
            continue;
        }
        let location = name::location_of(checkpoint, &query, &mut finder);
        let is_gone = matches!(location, Location::Vanished(Vanished::Tmpfs(_)));
        assert!(!is_gone, "not every mount namespace was looked at: {residue:?}");
        for place in places(&location) {
            check_place(checkpoint, &query, &place, &host);
            let presence = Presence::File(found(&residue, &query, place, changed));
            survey.findings.push(Finding { residue: residue.clone(), presence });
        }
    }
    let findings = survey.findings.len();
    let plan = plan::decide(checkpoint, survey, &Policy::default());
    assert_eq!(plan.items().len(), findings);
    for item in plan.items().iter().filter(|item| item.verdict == Verdict::Remove) {
        let (Query::Name(query), Presence::File(file)) = (item.finding.residue.query(), &item.finding.presence) else {
            panic!("not a file: {item:?}");
        };
        assert!(query.act != NameAct::RemoveEmpty, "nobody asked for it: {item:?}");
        check_place(checkpoint, &query, &file.place, &host);
        ground::check(checkpoint, item, &host);
        let is_proven = item.record == Some(Answer::Same);
        let is_of_restore = matches!(item.finding.residue, Residue::GhostFile(_));
        assert!(
            checkpoint.restores.succeeded.is_none() || is_proven || is_of_restore,
            "the images were restored since"
        );
    }
}

/// An entry of the images calls it linked, or the entry right after it is of the file that it stands for; and another names
/// it so.
fn check_link(checkpoint: &Checkpoint, link: &LinkRemap) {
    let is_linked = |remap: Remap| matches!(remap, Remap::Linked { file_id } if file_id == link.id);
    let is_named = checkpoint.remaps.iter().any(|record| is_linked(record.entry.remap()));
    assert!(is_named || has_shape(checkpoint, link), "{link:?}");
    let entry = &checkpoint.files[&link.id].entry;
    assert!(entry.name == link.link || [b"/", entry.name.as_slice()].concat() == link.link, "{link:?}");
    assert!(!entry.ext && entry.size.is_none() && entry.mode.is_none() && entry.mount_id().is_none(), "{link:?}");
}

/// No remap connects either of the two, and the file lies below the directory of the link.
fn has_shape(checkpoint: &Checkpoint, link: &LinkRemap) -> bool {
    let mut shaped = checkpoint.shaped.iter().filter(|record| record.entry.remap_id == link.id);
    let (Some(only), None) = (shaped.next(), shaped.next()) else { return false };
    let (entry, original) = (&checkpoint.files[&link.id].entry, &checkpoint.files[&only.entry.orig_id].entry);
    let end = format!("/link_remap.{}", link.id);
    let directory = entry.name.strip_suffix(end.as_bytes());
    entry.flags == 0
        && original.mode.is_some()
        && directory
            .is_some_and(|directory| original.name.strip_prefix(directory).is_some_and(|rest| rest.starts_with(b"/")))
        && !checkpoint.remaps.iter().any(|record| record.entry.orig_id == only.entry.orig_id)
}

/// An entry of the images calls it a ghost, and another names the file beside it.
fn check_ghost(checkpoint: &Checkpoint, ghost: &GhostFile) {
    let original = checkpoint.remaps.iter().find_map(|record| match record.entry.remap() {
        Remap::Ghost { ghost_id } if ghost_id == ghost.id => {
            checkpoint.files.get(&record.entry.orig_id).filter(|file| {
                let beside = [file.entry.name.as_slice(), format!(".cr.{ghost_id:x}.ghost").as_bytes()].concat();
                beside == ghost.name || [b"/", beside.as_slice()].concat() == ghost.name
            })
        }
        _ => None,
    });
    assert!(original.is_some_and(|file| !file.entry.ext), "{ghost:?}");
    assert_eq!(checkpoint.ghosts[&ghost.id].entry.mode, ghost.mode, "{ghost:?}");
}

fn check_place(checkpoint: &Checkpoint, query: &NameQuery, place: &Place, host: &HostMounts) {
    let (_, name) = place.split();
    let (name, id) = (name.as_bytes(), query.shape.id);
    let is_link = name
        .strip_prefix(format!("link_remap.{id}").as_bytes())
        .is_some_and(|rest| rest.is_empty() || rest.strip_prefix(b".").is_some_and(|hex| !hex.is_empty()));
    let is_ghost = name.ends_with(format!(".cr.{id:x}.ghost").as_bytes());
    assert!(is_link || is_ghost, "{place:?}");
    let is_normal = |component: Component<'_>| matches!(component, Component::Normal(_));
    assert!(place.relative.components().all(is_normal), "{place:?}");
    let bytes = place.relative.as_os_str().as_bytes();
    assert!(!bytes.contains(&0) && !bytes.windows(2).any(|pair| pair == b"//"), "{place:?}");
    let mount = || &mount_of(checkpoint, query).unwrap_or_else(|| panic!("on no mount: {place:?}")).entry;
    match &place.base {
        Base::Root(root) | Base::PerhapsRoot(root) => {
            assert!(root == Path::new("/") && !checkpoint.has_own_mount_namespace_of(query), "{place:?}");
            assert_eq!(root.join(&place.relative), Path::new(OsStr::from_bytes(&query.path)));
        }
        Base::Mount { namespace, mountpoint, id, .. } => {
            let all = |namespace: &Option<MountNamespace>| match namespace {
                None => host.own.clone(),
                Some(namespace) => host
                    .others
                    .iter()
                    .filter(|(other, _)| other == namespace)
                    .flat_map(|(_, all)| all.clone())
                    .collect(),
            };
            let is_it = |shown: &HostMount| shown.id == *id && OsStr::from_bytes(&shown.mountpoint) == mountpoint;
            let shown = all(namespace).into_iter().find(is_it).unwrap_or_else(|| panic!("no mount: {place:?}"));
            check_filesystem(mount(), &shown);
            let inside = Path::new(OsStr::from_bytes(&shown.root)).join(&place.relative);
            check_below_root(mount(), &inside);
        }
        Base::Upper { directory: upper, .. } => {
            let option = [b"upperdir=", upper.as_os_str().as_bytes()].concat();
            assert!(contains_unescaped(&mount().options, &option), "{place:?}");
            assert!(upper.is_absolute() && upper.components().skip(1).all(is_normal), "{place:?}");
            check_below_root(mount(), &Path::new("/").join(&place.relative));
        }
        Base::Device { device, .. } => {
            assert_eq!(*device, mount().device());
            assert!(device.0 != 0, "an anonymous device: {place:?}");
            check_below_root(mount(), &Path::new("/").join(&place.relative));
        }
        Base::Recorded(_) | Base::Named(_) => panic!("nobody named anything: {place:?}"),
    }
}

fn check_filesystem(mount: &MntEntry, shown: &HostMount) {
    if shown.fstype == b"overlay" {
        let upper = shown.options.split(|byte| *byte == b',').find(|option| option.starts_with(b"upperdir="));
        assert!(mount.options.split(|byte| *byte == b',').any(|option| Some(option) == upper), "{mount:?} {shown:?}");
    } else if volume_of(&mount.source).is_none_or(|name| volume_of(&shown.source) != Some(name)) {
        assert_eq!(mount.device(), shown.device, "{mount:?} {shown:?}");
    }
}

/// A path within a filesystem lies below the directory of it that the mount of the images showed.
fn check_below_root(mount: &MntEntry, inside: &Path) {
    let readings = [mount.root.clone(), unescape(&mount.root)];
    let is_below = |root: &Vec<u8>| inside.starts_with(Path::new(OsStr::from_bytes(root)));
    assert!(readings.iter().any(is_below), "{} is not below {mount:?}", inside.display());
}

/// Without the two escapes that CRIU leaves.
fn unescape(path: &[u8]) -> Vec<u8> {
    let mut unescaped = Vec::new();
    let mut rest = path;
    while let Some((first, tail)) = rest.split_first() {
        let (byte, after) = match (rest.strip_prefix(b"\\012"), rest.strip_prefix(b"\\043")) {
            (Some(after), _) => (b'\n', after),
            (_, Some(after)) => (b'#', after),
            _ => (*first, tail),
        };
        unescaped.push(byte);
        rest = after;
    }
    unescaped
}

fn contains_unescaped(options: &[u8], option: &[u8]) -> bool {
    let unescaped = criu_gc::internals::system::mountinfo::unescape(options);
    [options, &unescaped].iter().any(|text| text.windows(option.len()).any(|window| window == option))
}

/// The images name each residue, and its name is one that CRIU gives.
fn check_residue(checkpoint: &Checkpoint, residue: &Residue) {
    match residue {
        Residue::LinkRemap(link) => check_link(checkpoint, link),
        Residue::GhostFile(ghost) => check_ghost(checkpoint, ghost),
        Residue::LockedConnection(lock) => {
            let is_logged = || checkpoint.log.locked.iter().any(|logged| logged.connection == lock.connection);
            let is_socket = checkpoint.sockets.iter().any(|socket| socket.connection == lock.connection);
            assert!(is_socket || checkpoint.is_interrupted() && is_logged(), "{lock:?}");
        }
        Residue::LockTable(table) => {
            for name in &table.names {
                let rest = name.as_str().strip_prefix("CRIU-").unwrap_or_else(|| panic!("{name:?}"));
                let is_id = checkpoint.run_id().is_some_and(|id| id.text.starts_with(rest) && rest.len() >= 21);
                let is_pid = checkpoint.real_root_pid().is_some_and(|pid| pid.to_string() == rest);
                assert!(is_id || is_pid, "{name:?}");
            }
        }
        Residue::LockChain(_) => {}
        // Only a restore that did not end well leaves them.
        Residue::GhostDirectory(_) | Residue::BindSource(_) | Residue::ControlGroup(_) => {
            assert!(!checkpoint.restores.broken().is_empty(), "{residue:?}");
        }
        // Recognised by their whole shape, wherever they lie.
        Residue::HalfRestored(_) | Residue::ControlGroupYard(_) | Residue::DeadSocket(_) | Residue::StalePidFile(_) => {
        }
        Residue::ParkedFile(_)
        | Residue::TemporaryDirectory(_)
        | Residue::UnfinishedCache(_)
        | Residue::ReopenedName(_) => panic!("no claim of a gc: {residue:?}"),
    }
}

/// The mount of the images that a name is on.
fn mount_of<'a>(checkpoint: &'a Checkpoint, query: &NameQuery) -> Option<&'a checkpoint::MountRecord> {
    match query.mount {
        FileMount::Id(id) => checkpoint.mounts.get(&id),
        _ => None,
    }
}

trait Namespaces {
    fn has_own_mount_namespace_of(&self, query: &NameQuery) -> bool;
}

impl Namespaces for Checkpoint {
    /// A file with a mount of its own in the images is never looked for by its path on the host alone.
    fn has_own_mount_namespace_of(&self, query: &NameQuery) -> bool {
        mount_of(self, query).is_some()
    }
}

fn places(location: &Location) -> Vec<Place> {
    match location {
        Location::At(places) => places.clone(),
        Location::Either(readings) => readings.concat(),
        Location::Vanished(_) | Location::Unreachable(_) => Vec::new(),
    }
}

/// The file as the images say it is.
fn found(residue: &Residue, query: &NameQuery, place: Place, changed: Timestamp) -> FoundFile {
    let (mode, modified) = match residue {
        Residue::LinkRemap(link) => (link.mode, None),
        Residue::GhostFile(ghost) => (Some(ghost.mode), ghost.modified),
        Residue::GhostDirectory(_) | Residue::BindSource(_) | Residue::ControlGroup(_) => (Some(0o040_600), None),
        Residue::LockedConnection(_)
        | Residue::LockTable(_)
        | Residue::LockChain(_)
        | Residue::HalfRestored(_)
        | Residue::ControlGroupYard(_)
        | Residue::DeadSocket(_)
        | Residue::StalePidFile(_)
        | Residue::ParkedFile(_)
        | Residue::TemporaryDirectory(_)
        | Residue::UnfinishedCache(_)
        | Residue::ReopenedName(_) => panic!("no name: {residue:?}"),
    };
    let identity = FileIdentity {
        device: (254, 1),
        inode: u64::from(query.shape.id),
        mode: mode.unwrap_or(0o100_644),
        owner: 0,
        links: 1,
        size: query.size.unwrap_or_default(),
        allocated: 0,
        born: None,
        changed,
        modified: modified.unwrap_or(changed),
        mount_id: 0,
    };
    let is_empty_directory = query.act == NameAct::RemoveEmpty;
    let filesystem = FilesystemId::default();
    FoundFile { place, filesystem, directory: identity, identity, beside: None, is_empty_directory }
}

/// The mounts of a host: its own filesystem, a directory of it elsewhere, a tmpfs, an overlay, another namespace, and
/// a mount for each of the images, under the number that they name. Every other device has been mounted since before the
/// dump. There may be more namespaces.
fn host(checkpoint: &Checkpoint) -> HostMounts {
    let mount = |id, device, root: &str, mountpoint: &str, fstype: &str, source: &str, options: &str| HostMount {
        id,
        parent: 1,
        device,
        root: root.into(),
        mountpoint: mountpoint.into(),
        is_read_only: false,
        fstype: fstype.into(),
        source: source.into(),
        options: options.into(),
    };
    let upper = "rw,lowerdir=/l,upperdir=/var/lib/c1/upper,workdir=/w";
    let mut own = vec![
        mount(1, (254, 1), "/", "/", "ext4", "/dev/vda1", "rw"),
        mount(2, (254, 1), "/srv/data", "/mnt", "ext4", "/dev/vda1", "rw"),
        mount(3, (0, 25), "/", "/dev/shm", "tmpfs", "tmpfs", "rw,size=65536k"),
        mount(4, (0, 40), "/", "/var/lib/c1/merged", "overlay", "overlay", upper),
    ];
    let of_images = checkpoint.mounts.values().take(MOUNTS_OF_IMAGES).zip(10..);
    own.extend(of_images.map(|(record, id)| shown(&record.entry, id)));
    let lasting = own.iter().map(|mount| mount.device).filter(|(_, minor)| minor % 2 == 1).collect();
    let tmpfs = mount(9, (0, 25), "/srv", "/data", "tmpfs", "tmpfs", "rw,size=65536k");
    HostMounts { own, others: vec![(MountNamespace::imagined(77), vec![tmpfs])], lasting, ..HostMounts::default() }
}

/// How many mounts of the images the host has.
const MOUNTS_OF_IMAGES: usize = 16;

/// A mount of this host that can pass for one of the images.
fn shown(mount: &MntEntry, id: u32) -> HostMount {
    HostMount {
        id,
        parent: 1,
        device: mount.device(),
        root: b"/".to_vec(),
        mountpoint: format!("/mnt/{id}").into(),
        is_read_only: false,
        fstype: mount.fsname.clone().unwrap_or_else(|| b"ext4".to_vec()),
        source: mount.source.clone(),
        options: mount.options.clone(),
    }
}
