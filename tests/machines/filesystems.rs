// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The machine's own root file system of other types than ext4.

use crate::case::{Case, Cases, Today};
use crate::root::{self, Root};

inventory::submit!(Cases(&[
    Case {
        name: "on a root file system of XFS links are removed at once and after a reboot",
        test: xfs,
        today: Today::Passes,
    },
    Case {
        name: "on a root file system of btrfs links are removed at once and after a reboot",
        test: btrfs,
        today: Today::Passes,
    },
]));

fn xfs() {
    root::assert_cleans(&Root { disks: &[("system", 320)], script: "mkfs.xfs -q /dev/vdd", device: "/dev/vdd" });
}

fn btrfs() {
    root::assert_cleans(&Root { disks: &[("system", 256)], script: "mkfs.btrfs --quiet /dev/vdd", device: "/dev/vdd" });
}
