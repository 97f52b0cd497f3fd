// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The machine's own root file system on LVM, whose device number can be another one after each boot.

use machine::Kernel;

use crate::case::{Case, Cases, Today};
use crate::root::Root;
use crate::scene::Scene;

inventory::submit!(Cases(&[
    Case {
        name: "on a root file system on LVM links are removed after a reboot, whatever number the volume has",
        test: renumbered,
        today: Today::Passes,
    },
    Case {
        name: "a copy of the root file system that has the root's number after a reboot is left alone",
        test: copied,
        today: Today::Passes,
    },
]));

const ROOT: Root = Root {
    disks: &[("system", 192), ("other", 192)],
    // No udev makes device nodes here.
    script: "printf 'activation {\\n udev_sync = 0\\n udev_rules = 0\\n}\\n' > /etc/lvm/lvmlocal.conf
             vgcreate --quiet vg /dev/vdd
             lvcreate --quiet --name root --size 160M vg
             mkfs.ext4 -q /dev/vg/root",
    device: "/dev/vg/root",
};

/// A volume that is activated before the root, so that it gets the root's number.
const EARLIER: &str = "vgcreate --quiet a /dev/vde
                       lvcreate --quiet --name copy --size 160M a";

fn renumbered() {
    let mut scene = ROOT.booted(Kernel::V6_1);
    scene.run(
        "mkdir /srv/one /srv/two
         dump 4.3 $(start_tree deleted /srv/one/file) /srv/images.1
         dump 4.3 $(start_tree deleted /srv/two/file) /srv/images.2
         touch /srv/one/link_remap.1",
    );
    let number = number(&mut scene);
    scene.reboot();
    let removed = scene.run("$gc /srv/images.1");
    assert!(removed.ends_with("1 object: 1 removed.\n"), "{removed}");
    assert_eq!(scene.run("ls /srv/one"), "file.keep\nlink_remap.1\n");
    scene.run(EARLIER);
    scene.reboot();
    assert_ne!(self::number(&mut scene), number, "void: the number is the same");
    let removed = scene.run("$gc /srv/images.2");
    assert!(removed.ends_with("1 object: 1 removed.\n"), "{removed}");
    assert_eq!(scene.run("ls /srv/two; $gc --show /srv/images.2 | tail -n 1"), "file.keep\nNothing is left.\n");
}

/// Trees with mounts of their own name a file system by its device number. The copy, a backup perhaps, has the same
/// UUID and the same inodes.
fn copied() {
    let mut scene = ROOT.booted(Kernel::V6_1);
    scene.run("dump 4.3 $(start_container /srv/root end session deleted /tmp/file) /srv/images");
    let before = number(&mut scene);
    scene.run(EARLIER);
    scene.run("sync; dd if=/dev/vg/root of=/dev/a/copy bs=1M; e2fsck -fy /dev/a/copy || [ $? = 1 ]");
    scene.reboot();
    assert_eq!(scene.run("mountpoint --devno /dev/a/copy"), before, "void: the copy has another number");
    let ended = scene.finish("$gc /srv/images");
    let copy = scene.run("mount -o ro,noload /dev/a/copy /mnt; ls /mnt/srv/root/tmp");
    assert!(copy.contains("link_remap."), "the copy has lost its link: {}", ended.stdout);
    assert!(ended.stdout.ends_with("1 object: 1 removed.\n"), "{}{}", ended.stdout, ended.stderr);
    assert_eq!(scene.run("ls /srv/root/tmp"), "file.keep\n");
}

/// The device number of the root file system.
fn number(scene: &mut Scene) -> String {
    scene.run("mountpoint --fs-devno /")
}
