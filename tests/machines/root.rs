// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Machines whose root file system is on LVM, on md, or of another type.

use machine::Kernel;

use crate::scene::Scene;

const FUNCTIONS: &str = include_str!("root.sh");

/// What a root file system is on.
pub(crate) struct Root {
    /// Disks to add: their names and sizes in MiB. The first is `/dev/vdd`.
    pub(crate) disks: &'static [(&'static str, u32)],
    /// A script that makes the file system.
    pub(crate) script: &'static str,
    /// Where the file system is.
    pub(crate) device: &'static str,
}

impl Root {
    /// A machine that runs on it.
    pub(crate) fn booted(&self, kernel: Kernel) -> Scene {
        let mut scene = Scene::new(kernel);
        for (name, megabytes) in self.disks {
            scene.hardware.add_disk(name, *megabytes).expect("a disk");
        }
        scene.boot();
        scene.run(&format!("{FUNCTIONS}\n{}\nmake_root {}", self.script, self.device));
        scene.hardware.add_argument(&format!("machine.root={}", self.device));
        scene.reboot();
        assert_eq!(scene.run("[ / -ef /proc/1/root ]; findmnt --noheadings --output SOURCE /"), self.mounted());
        scene
    }

    /// The device as the kernel's mount table names it.
    fn mounted(&self) -> String {
        let mapper = self.device.strip_prefix("/dev/vg/").map(|volume| format!("/dev/mapper/vg-{volume}"));
        mapper.unwrap_or_else(|| self.device.to_owned()) + "\n"
    }
}

/// Dumps of two trees, of which the second has mounts of its own. Beside each link lies a file with the name of one.
const DUMPS: &str = "mkdir -p /srv/data /srv/root/tmp
     touch /srv/data/link_remap.1 /srv/root/tmp/link_remap.1
     dump 4.3 $(start_tree deleted /srv/data/file) /srv/images
     dump 4.3 $(start_container /srv/root end session deleted /tmp/file) /srv/images.container";

/// Checks that links on the root file system are removed without an option, and nothing else: at once, and after a
/// reboot.
pub(crate) fn assert_cleans(root: &Root) {
    let mut scene = root.booted(Kernel::V6_1);
    scene.run(DUMPS);
    assert_cleaned(&mut scene);
    scene.run(&format!("rm -r /srv/*\n{DUMPS}"));
    scene.reboot();
    assert_cleaned(&mut scene);
}

#[track_caller]
fn assert_cleaned(scene: &mut Scene) {
    for images in ["/srv/images", "/srv/images.container"] {
        let ended = scene.finish(&format!("$gc {images}"));
        assert!(ended.stdout.ends_with("1 object: 1 removed.\n"), "{}{}", ended.stdout, ended.stderr);
    }
    let names = scene.run("ls -1 /srv/data /srv/root/tmp");
    assert_eq!(names, "/srv/data:\nfile.keep\nlink_remap.1\n\n/srv/root/tmp:\nfile.keep\nlink_remap.1\n");
    let shown = scene.run("$gc --show /srv/images /srv/images.container");
    assert_eq!(shown.matches("Nothing is left.").count(), 2, "{shown}");
}
