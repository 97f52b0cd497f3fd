// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Volumes of device mapper. A volume keeps its name, while its device number is the next free one each time that it is
//! activated.

use std::fs;
use std::path::Path;

/// The name of the volume that a mount with this source is of; `None` if it is of something else.
///
/// LVM gives the volume `data` of the group `vg` the two paths `/dev/mapper/vg-data` and `/dev/vg/data`.
pub fn name(source: &[u8]) -> Option<Vec<u8>> {
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

/// The device number, major and minor, that the volume with this name has now.
pub fn number(name: &[u8]) -> Option<(u32, u32)> {
    let devices = fs::read_dir("/sys/class/block").ok()?;
    devices.filter_map(|entry| Some(entry.ok()?.path())).find(|device| has_name(device, name)).and_then(|device| {
        let text = fs::read_to_string(device.join("dev")).ok()?;
        let (major, minor) = text.trim_end().split_once(':')?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    })
}

fn has_name(device: &Path, name: &[u8]) -> bool {
    fs::read(device.join("dm/name")).is_ok_and(|found| found.strip_suffix(b"\n") == Some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_paths_of_a_volume_give_its_name() {
        assert_eq!(name(b"/dev/mapper/vg-data").unwrap(), b"vg-data");
        assert_eq!(name(b"/dev/vg/data").unwrap(), b"vg-data");
        assert_eq!(name(b"/dev/my-vg/a-b").unwrap(), b"my--vg-a--b");
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
            assert_eq!(name(source.as_bytes()), None, "{source}");
        }
    }
}
