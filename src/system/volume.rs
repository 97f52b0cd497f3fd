// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The number of a device-mapper volume: the next free one at each activation.

use std::fs;
use std::path::Path;

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
