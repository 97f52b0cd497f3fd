// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The kernel's mount table, read from the text of `/proc/PID/mountinfo` (proc_pid_mountinfo(5)). Pure.

use std::io::{self, BufRead};

/// A mount as the kernel lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostMount {
    /// The kernel's id of the mount: unique among the mounts of now, used again after an unmount.
    pub id: u32,
    /// Id of the mount that this one is mounted on.
    pub parent: u32,
    /// Device number of the filesystem, `(major, minor)`; major 0 is an anonymous number, used again after unmount.
    pub device: (u32, u32),
    /// The directory within the filesystem that is mounted; followed by `//deleted` if it was deleted since.
    pub root: Vec<u8>,
    /// Where it is mounted.
    pub mountpoint: Vec<u8>,
    /// Whether this mount, or the filesystem as a whole, is read-only.
    pub is_read_only: bool,
    /// Filesystem type.
    pub fstype: Vec<u8>,
    /// What was mounted: a device, `tmpfs`, `overlay`, …
    pub source: Vec<u8>,
    /// Options of the filesystem (not of the mount), comma-separated and with the kernel's escapes, among them
    /// `\054` for a comma within an option.
    pub options: Vec<u8>,
}

/// The mounts of a table, and how many of its lines could not be understood.
pub fn parse(mountinfo: &[u8]) -> (Vec<HostMount>, usize) {
    let mut mounts = Vec::new();
    let mut not_understood = 0;
    for line in mountinfo.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        match parse_line(line) {
            Some(mount) => mounts.push(mount),
            None => not_understood += 1,
        }
    }
    (mounts, not_understood)
}

/// What a line tells without being decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Brief<'a> {
    /// The kernel's id of the mount.
    pub id: u32,
    /// Where it is mounted, as it is written.
    pub mountpoint: &'a [u8],
    /// Device number of the filesystem.
    pub device: (u32, u32),
    /// Filesystem type, as it is written.
    pub fstype: &'a [u8],
    /// What was mounted, as it is written.
    pub source: &'a [u8],
}

/// Reads a table line by line, hands over the mounts that are wanted, and gives the id of the first mount. Nothing else
/// is kept: whoever owns a mount namespace says how many lines its table has, and how long they are.
pub fn read(
    mut table: impl BufRead,
    mut is_wanted: impl FnMut(Brief<'_>) -> bool,
    mut each: impl FnMut(HostMount),
) -> io::Result<Option<u32>> {
    let mut first = None;
    let mut line = Vec::new();
    while table.read_until(b'\n', &mut line)? > 0 {
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        first = first.or_else(|| number(text.split(|byte| *byte == b' ').next()?));
        if brief(text).is_some_and(&mut is_wanted) {
            parse_line(text).into_iter().for_each(&mut each);
        }
        line.clear();
    }
    Ok(first)
}

fn brief(line: &[u8]) -> Option<Brief<'_>> {
    let mut fields = line.split(|byte| *byte == b' ');
    let id = number(fields.next()?)?;
    let device = device(fields.nth(1)?)?;
    let mountpoint = fields.nth(1)?;
    let mut after = fields.skip(1).skip_while(|field| *field != b"-").skip(1);
    let (fstype, source) = (after.next()?, after.next()?);
    Some(Brief { id, mountpoint, device, fstype, source })
}

/// The value of an option of a filesystem; `name` ends in `=`.
pub fn option<'a>(options: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    options.split(|byte| *byte == b',').find_map(|each| each.strip_prefix(name))
}

fn parse_line(line: &[u8]) -> Option<HostMount> {
    let fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let separator = 6 + fields.get(6..)?.iter().position(|field| *field == b"-")?;
    let options = fields.get(separator + 3).copied().unwrap_or_default();
    Some(HostMount {
        id: number(fields[0])?,
        parent: number(fields[1])?,
        device: device(fields[2])?,
        root: unescape(fields[3]),
        mountpoint: unescape(fields[4]),
        is_read_only: has_option(fields[5], b"ro") || has_option(options, b"ro"),
        fstype: unescape(fields.get(separator + 1)?),
        source: unescape(fields.get(separator + 2)?),
        options: options.to_vec(),
    })
}

fn has_option(options: &[u8], option: &[u8]) -> bool {
    options.split(|byte| *byte == b',').any(|each| each == option)
}

fn number(field: &[u8]) -> Option<u32> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

fn device(field: &[u8]) -> Option<(u32, u32)> {
    let colon = field.iter().position(|byte| *byte == b':')?;
    Some((number(&field[..colon])?, number(&field[colon + 1..])?))
}

/// The name of the volume of device mapper that a mount with this source is of; `None` if it is of something else. A
/// volume keeps its name, and not its device number.
///
/// LVM gives the volume `data` of the group `vg` the two paths `/dev/mapper/vg-data` and `/dev/vg/data`.
pub fn volume_of(source: &[u8]) -> Option<Vec<u8>> {
    /// Directories of `/dev` that are no volume group, and may hold block devices.
    const OTHERS: [&[u8]; 8] = [b"block", b"cciss", b"disk", b"ida", b"loop", b"md", b"rd", b"zvol"];
    let mut components = source.strip_prefix(b"/dev/")?.split(|byte| *byte == b'/');
    let (group, volume) = (components.next()?, components.next()?);
    if group.is_empty() || volume.is_empty() || components.next().is_some() || OTHERS.contains(&group) {
        return None;
    }
    if group == b"mapper" {
        return Some(volume.to_vec());
    }
    // dm_build_dm_name of LVM: one dash parts the names, so those within are doubled.
    let escape = |name: &[u8]| name.iter().flat_map(|byte| vec![*byte; if *byte == b'-' { 2 } else { 1 }]).collect();
    let parts: [Vec<u8>; 2] = [escape(group), escape(volume)];
    Some(parts.join(&b'-'))
}

/// Undoes the kernel's octal escapes (`\040` for a space, and so on); anything else stays as it is.
pub fn unescape(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, tail)) = rest.split_first() {
        match (first, tail) {
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..]) => {
                bytes.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = after;
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_with_optional_fields_and_escapes_is_read() {
        let line =
            br"36 35 98:0 /mnt1/a\040b /mnt2/x\134y rw,noatime master:1 shared:7 - ext3 /dev/root ro,errors=continue";
        let (mounts, not_understood) = parse(line);
        assert_eq!(not_understood, 0);
        assert_eq!(
            mounts,
            [HostMount {
                id: 36,
                parent: 35,
                device: (98, 0),
                root: b"/mnt1/a b".to_vec(),
                mountpoint: br"/mnt2/x\y".to_vec(),
                is_read_only: true,
                fstype: b"ext3".to_vec(),
                source: b"/dev/root".to_vec(),
                options: b"ro,errors=continue".to_vec(),
            }]
        );
    }

    #[test]
    fn an_empty_source_is_two_spaces_in_a_row() {
        let (mounts, not_understood) = parse(b"24 1 0:6 / /y rw - tmpfs  ro,size=4k\n");
        assert_eq!(not_understood, 0);
        assert_eq!(mounts[0].source, b"");
        assert_eq!(mounts[0].options, b"ro,size=4k");
        assert!(mounts[0].is_read_only);
    }

    #[test]
    fn of_a_long_table_only_what_is_wanted_is_decoded() {
        let table = b"21 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n22 21 0:4 / /x\\040y rw - nsfs nsfs rw\nz\n";
        let mut seen = Vec::new();
        let mut mounts = Vec::new();
        let is_wanted = |brief: Brief<'_>| {
            seen.push((brief.id, brief.mountpoint.to_vec(), brief.device));
            brief.fstype == b"nsfs"
        };
        let first = read(&table[..], is_wanted, |mount| mounts.push(mount.mountpoint)).unwrap();
        assert_eq!(seen, [(21, b"/".to_vec(), (8, 1)), (22, b"/x\\040y".to_vec(), (0, 4))]);
        assert_eq!((first, mounts), (Some(21), vec![b"/x y".to_vec()]));
    }

    #[test]
    fn a_line_that_makes_no_sense_is_counted() {
        assert_eq!(parse(b"x y z\n\n1 2 0:a / / rw - a b c\n1 2 3:4 / / rw shared:1 ext4 b c\n"), (Vec::new(), 3));
    }

    #[test]
    fn both_paths_of_a_volume_give_its_volume_of() {
        assert_eq!(volume_of(b"/dev/mapper/vg-data").unwrap(), b"vg-data");
        assert_eq!(volume_of(b"/dev/vg/data").unwrap(), b"vg-data");
        assert_eq!(volume_of(b"/dev/my-vg/a-b").unwrap(), b"my--vg-a--b");
    }

    #[test]
    fn other_sources_are_of_no_volume() {
        for source in [
            "/dev/sda1",
            "/dev/mapper/",
            "/dev/disk/by-uuid/7",
            "/dev/md/root",
            "tmpfs",
            "/mapper/vg-data",
            "/dev/a/b/c",
        ] {
            assert_eq!(volume_of(source.as_bytes()), None, "{source}");
        }
    }
}
