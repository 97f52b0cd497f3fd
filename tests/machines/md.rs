// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The machine's own root file system on an array of two disks.

use crate::case::{Case, Cases, Today};
use crate::root::{self, Root};

inventory::submit!(Cases(&[Case {
    name: "on a root file system on md links are removed at once and after a reboot",
    test: mirrored,
    today: Today::Passes,
}]));

const ROOT: Root = Root {
    disks: &[("left", 128), ("right", 128)],
    script: "mdadm --quiet --create /dev/md0 --run --assume-clean --level 1 --raid-devices 2 /dev/vdd /dev/vde
             mdadm --detail --scan >> /etc/mdadm/mdadm.conf
             mkfs.ext4 -q /dev/md0",
    device: "/dev/md0",
};

fn mirrored() {
    root::assert_cleans(&ROOT);
}
