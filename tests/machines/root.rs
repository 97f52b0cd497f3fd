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
