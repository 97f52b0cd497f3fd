// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Whether the owner of a file can be trusted: this depends on who serves or brought its filesystem.
//!
//! An inode is owned by root because the filesystem says so. A user who serves one (FUSE), or who had one mounted from
//! a stick (udisks), can claim any owner. So can the creator of a mount that changes owners (an idmapped one). A mount
//! in another mount namespace may come from the root of a user namespace. A filesystem that root mounted without
//! `nosuid` can be trusted: a set-user-id file on it already has root's power. A `nosuid` overlay shows the owners of
//! its layers.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, StatxFlags};
use rustix::io::Errno;

use super::author::Author;
use super::mountinfo::unescape;

/// A mount, as far as it matters for the trust in its owners.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mount {
    id: u64,
    device: (u32, u32),
    mountpoint: Vec<u8>,
    /// Options of the mount itself.
    flags: Vec<u8>,
    fstype: Vec<u8>,
    /// Options of the filesystem.
    options: Vec<u8>,
}

/// Which mount an open file is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MountKey {
    /// The kernel's id; 0 where it does not tell (before 5.8).
    id: u64,
    device: (u32, u32),
}

/// The tables that are asked, one after the other: where this process has another root directory, its own does not list
/// the mount that holds it. Ids are the same in all of them.
const TABLES: [&str; 2] = ["/proc/self/mountinfo", "/proc/1/mountinfo"];

/// The mount of an open file.
pub(super) fn mount_of(file: &impl AsFd) -> Result<MountKey, Errno> {
    let stat = rustix::fs::statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)?;
    let id = if stat.stx_mask & StatxFlags::MNT_ID.bits() != 0 { stat.stx_mnt_id } else { 0 };
    Ok(MountKey { id, device: (stat.stx_dev_major, stat.stx_dev_minor) })
}

impl Author {
    /// Who may have written an open file, or taken an entry away from an open directory.
    pub fn of(file: &impl AsFd) -> Result<Self, Errno> {
        Ok(Self::by_attributes(file)?.or(author(file)?))
    }
}

/// Who says what the owners are on the filesystem of an open file.
fn author(file: &impl AsFd) -> Result<Author, Errno> {
    Ok(author_on(mount_of(file)?))
}

/// The same of a mount.
pub(super) fn author_on(key: MountKey) -> Author {
    let mut of_filesystem = None;
    for table in TABLES {
        let Ok(file) = File::open(table) else { continue };
        let Ok(found) = search(BufReader::new(file), key) else { continue };
        match found {
            MountMatch::Mount(mount) if mount.is_layered() => {
                return File::open(table)
                    .map_or(Author::Anybody, |file| author_of_layers(BufReader::new(file), &mount));
            }
            MountMatch::Mount(mount) => return mount.author(),
            MountMatch::Filesystem(author) => of_filesystem = of_filesystem.or(Some(author)),
            MountMatch::Nothing => {}
        }
    }
    // Neither the mount nor its filesystem is one of this host's.
    of_filesystem.unwrap_or(Author::Anybody)
}

enum MountMatch {
    /// The very mount.
    Mount(Mount),
    /// Not the mount, but others of its filesystem, with the trust in their owners.
    Filesystem(Author),
    Nothing,
}

/// Reads a table line by line: it can be long.
fn search(mut table: impl BufRead, key: MountKey) -> io::Result<MountMatch> {
    let mut found = MountMatch::Nothing;
    let mut line = Vec::new();
    loop {
        line.clear();
        if table.read_until(b'\n', &mut line)? == 0 {
            return Ok(found);
        }
        let Some(mount) = Mount::parse(line.strip_suffix(b"\n").unwrap_or(&line)) else { continue };
        if key.id != 0 && mount.id == key.id {
            return Ok(MountMatch::Mount(mount));
        }
        if mount.device == key.device {
            let known = if let MountMatch::Filesystem(author) = found { author } else { Author::Trusted };
            found = MountMatch::Filesystem(known.or(mount.author()));
        }
    }
}

/// Who says what the owners are on the layers of an overlay: of each, whoever says so on the mount that holds its path.
fn author_of_layers(mut table: impl BufRead, overlay: &Mount) -> Author {
    let Some(layers) = overlay.layers() else { return Author::Anybody };
    let mut holders: Vec<(usize, Author)> = vec![(0, Author::Anybody); layers.len()];
    let mut line = Vec::new();
    loop {
        line.clear();
        match table.read_until(b'\n', &mut line) {
            Ok(0) => break,
            Ok(_) => {}
            Err(_) => return Author::Anybody,
        }
        let Some(mount) = Mount::parse(line.strip_suffix(b"\n").unwrap_or(&line)) else { continue };
        let depth = mount.mountpoint.len();
        let held = layers.iter().zip(&mut holders).filter(|(layer, _)| is_below(layer, &mount.mountpoint));
        // Of mounts of one place the last covers the others.
        for (_, holder) in held.filter(|(_, (deepest, _))| depth >= *deepest) {
            *holder = (depth, mount.author());
        }
    }
    holders.into_iter().map(|(_, author)| author).fold(Author::Trusted, Author::or)
}

fn is_below(path: &[u8], directory: &[u8]) -> bool {
    Path::new(OsStr::from_bytes(path)).starts_with(OsStr::from_bytes(directory))
}

impl Mount {
    fn parse(line: &[u8]) -> Option<Self> {
        let fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
        let separator = 6 + fields.get(6..)?.iter().position(|field| *field == b"-")?;
        let device = std::str::from_utf8(fields[2]).ok()?.split_once(':')?;
        Some(Mount {
            id: std::str::from_utf8(fields[0]).ok()?.parse().ok()?,
            device: (device.0.parse().ok()?, device.1.parse().ok()?),
            mountpoint: unescape(fields[4]),
            flags: fields[5].to_vec(),
            fstype: unescape(fields.get(separator + 1)?),
            options: fields.get(separator + 3).map(|options| options.to_vec()).unwrap_or_default(),
        })
    }

    fn author(&self) -> Author {
        let is_fuse = self.fstype == b"fuse" || self.fstype == b"fuseblk" || self.fstype.starts_with(b"fuse.");
        let server = if is_fuse { self.server() } else { Author::Trusted };
        let is_mapped = has_option(&self.flags, b"idmapped");
        let is_brought = self.device.0 != 0 && has_option(&self.flags, b"nosuid") && is_brought(self.device);
        if is_mapped || is_brought || self.is_layered() { Author::Anybody } else { server }
    }

    /// Whether the owners are those of other filesystems, for which root does not vouch.
    fn is_layered(&self) -> bool {
        self.fstype == b"overlay" && has_option(&self.flags, b"nosuid")
    }

    /// The directories that an overlay shows; `None` if one of them is not an absolute path.
    fn layers(&self) -> Option<Vec<Vec<u8>>> {
        const WORDS: [&[u8]; 4] = [b"lowerdir=", b"lowerdir+=", b"datadir+=", b"upperdir="];
        let options = self.options.split(|byte| *byte == b',');
        let values = options.filter_map(|option| WORDS.iter().find_map(|word| option.strip_prefix(*word)));
        let paths = values.flat_map(|value| value.split(|byte| *byte == b':')).filter(|path| !path.is_empty());
        let layers: Vec<Vec<u8>> = paths.map(unescape).collect();
        let is_plain = |layer: &Vec<u8>| {
            layer.starts_with(b"/")
                && !layer.split(|byte| *byte == b'/').any(|name| name == b"..")
                && !layer.contains(&b'\\')
        };
        (!layers.is_empty() && layers.iter().all(is_plain)).then_some(layers)
    }

    /// Who mounted a FUSE filesystem, and so serves it.
    fn server(&self) -> Author {
        let user = self.options.split(|byte| *byte == b',').find_map(|option| option.strip_prefix(b"user_id="));
        let user = user.and_then(|user| std::str::from_utf8(user).ok()?.parse().ok());
        user.map_or(Author::Anybody, |user| Author::of_owner(user, 0))
    }
}

fn has_option(options: &[u8], option: &[u8]) -> bool {
    options.split(|byte| *byte == b',').any(|each| each == option)
}

/// Whether a block device is one that people carry about, or make of a file, or has one of these below it. A fixed disk
/// is root's, also where it is mounted `nosuid` for good measure. An unknown one counts as brought.
fn is_brought(device: (u32, u32)) -> bool {
    let link = PathBuf::from(format!("/sys/dev/block/{}:{}", device.0, device.1));
    std::fs::canonicalize(link).map_or(true, |place| is_brought_at(&place, LAYERS))
}

/// How many devices may lie upon one another (LUKS on LVM on RAID).
const LAYERS: u32 = 8;

fn is_brought_at(place: &Path, layers: u32) -> bool {
    let is_on_usb = place.components().any(|component| component.as_os_str().as_encoded_bytes().starts_with(b"usb"));
    // Of a partition the directory above is that of the whole disk.
    let is_loop = place.ancestors().take(2).any(|each| each.join("loop").exists());
    let is_removable = place
        .ancestors()
        .take(2)
        .any(|each| std::fs::read(each.join("removable")).is_ok_and(|removable| removable.first() == Some(&b'1')));
    if is_on_usb || is_loop || is_removable {
        return true;
    }
    let below = std::fs::read_dir(place.join("slaves")).into_iter().flatten().flatten();
    below.into_iter().any(|each| {
        layers == 0 || std::fs::canonicalize(each.path()).map_or(true, |place| is_brought_at(&place, layers - 1))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn author(line: &str) -> Author {
        Mount::parse(line.as_bytes()).unwrap().author()
    }

    #[test]
    fn a_user_who_serves_a_filesystem_says_who_owns_what() {
        let fuse = |kind: &str, user: &str| {
            author(&format!("7 1 0:50 / /mnt rw,nosuid,nodev - {kind} sshfs rw,{user}group_id=0,allow_other"))
        };
        for kind in ["fuse", "fuse.sshfs"] {
            assert_eq!(fuse(kind, "user_id=12345,"), Author::User(12345));
            assert_eq!(fuse(kind, "user_id=0,"), Author::Trusted);
            assert_eq!(fuse(kind, ""), Author::Anybody);
        }
        assert_eq!(fuse("fusectl", ""), Author::Trusted);
    }

    #[test]
    fn an_overlay_without_set_user_id_is_the_word_of_its_layers() {
        let table = b"1 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
            2 1 0:50 / /media/a\\040b rw,nosuid,nodev - fuse x rw,user_id=5,group_id=0\n\
            3 1 0:51 / /media/a\\040b/own rw - tmpfs x rw\n";
        let of_layers = |flags: &str, options: &str| {
            let line = format!("9 1 0:60 / /merged {flags} - overlay overlay rw,{options}");
            author_of_layers(&table[..], &Mount::parse(line.as_bytes()).unwrap())
        };
        for (options, author) in [
            ("lowerdir=/a:/b,upperdir=/c,workdir=/d", Author::Trusted),
            ("lowerdir=/a:/media/a\\040b/c,upperdir=/c,workdir=/d", Author::User(5)),
            ("lowerdir+=/a,lowerdir+=/media/a\\040b", Author::User(5)),
            ("lowerdir=/a::/media/a\\040b", Author::User(5)),
            ("lowerdir=/media/a\\040b/own/c", Author::Trusted),
            ("lowerdir=c:/a", Author::Anybody),
            ("lowerdir=/a/../media", Author::Anybody),
            ("xino=off", Author::Anybody),
        ] {
            assert_eq!(of_layers("rw,nosuid", options), author, "{options}");
        }
        assert_eq!(author("9 1 0:60 / /merged rw - overlay overlay rw,lowerdir=/a"), Author::Trusted);
        assert_eq!(author("9 1 0:60 / /merged rw,nosuid - overlay overlay rw,lowerdir=/a"), Author::Anybody);
    }

    #[test]
    fn a_mount_that_changes_owners_says_nothing() {
        assert_eq!(author("7 1 8:1 / /mnt rw,relatime,idmapped shared:1 - ext4 /dev/sda1 rw"), Author::Anybody);
    }

    #[test]
    fn nosuid_alone_takes_no_trust_from_what_the_kernel_keeps_itself() {
        assert_eq!(author("7 1 0:23 / /run rw,nosuid,nodev - tmpfs tmpfs rw"), Author::Trusted);
        // There is no such device, so nobody can tell what it is.
        assert_eq!(author("7 1 259:1048575 / /mnt rw,nosuid - ext4 /dev/x rw"), Author::Anybody);
        assert_eq!(author("7 1 259:1048575 / /mnt rw - ext4 /dev/x rw"), Author::Trusted);
    }

    #[test]
    fn a_mount_that_is_not_in_the_table_is_judged_by_its_filesystem() {
        let table =
            b"7 1 0:50 / /a rw - fuse x rw,user_id=5\n8 1 0:51 / /b rw - tmpfs x rw\n9 1 0:50 / /c rw - tmpfs x rw\n";
        let found = |id, device| match search(&table[..], MountKey { id, device }).unwrap() {
            MountMatch::Mount(mount) => Some((true, mount.author())),
            MountMatch::Filesystem(author) => Some((false, author)),
            MountMatch::Nothing => None,
        };
        assert_eq!(found(8, (0, 51)), Some((true, Author::Trusted)));
        assert_eq!(found(70, (0, 50)), Some((false, Author::User(5))));
        assert_eq!(found(0, (0, 51)), Some((false, Author::Trusted)));
        assert_eq!(found(70, (0, 52)), None);
    }

    #[test]
    fn the_filesystem_of_this_test_is_the_hosts_own() {
        assert_eq!(super::author(&tempfile::tempfile().unwrap()), Ok(Author::Trusted));
    }
}
