// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The initial file system of a machine: busybox, a script, and the modules for the disks and the agent's port.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::error::Error;
use crate::program;
use crate::tree::{create, file, remove, write};

/// Its first program.
pub(crate) const SCRIPT: &str = include_str!("../../../tests/machine/guest/initramfs");

/// What it loads, as far as it is not built in.
const MODULES: [&str; 4] = ["virtio_pci", "virtio_blk", "virtio_console", "ext4"];

/// Writes the archive for the kernel whose modules are in the tree.
pub(crate) fn make(tree: &Path, release: &str, busybox: &Path, archive: &Path) -> Result<(), Error> {
    let directory = archive.with_extension("tree");
    for part in ["bin", "modules"] {
        let path = directory.join(part);
        create(&path)?;
    }
    let program = directory.join("bin/busybox");
    fs::copy(busybox, &program).map_err(file("write", &program))?;
    let init = directory.join("init");
    write(&init, SCRIPT)?;
    for path in [&init, &program] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).map_err(file("make executable", path))?;
    }
    modules(&tree.join("usr/lib/modules").join(release), &directory.join("modules"))?;
    let line = format!("find . | cpio --quiet -o -H newc > '{}'", archive.display());
    program::output(Command::new("sh").args(["-c", &line]).current_dir(&directory))?;
    remove(&directory)
}

/// Copies the modules, plain, with a list `order` in which each comes after those that it needs.
fn modules(from: &Path, to: &Path) -> Result<(), Error> {
    let list = from.join("modules.dep");
    let dependencies = fs::read_to_string(&list).map_err(file("read", &list))?;
    let mut order = String::new();
    for module in in_order(&dependencies, &MODULES) {
        let source = from.join(&module);
        let name = stem(&module).to_owned() + ".ko";
        let target = to.join(&name);
        match module.ends_with(".xz") {
            true => {
                let line = format!("xz -dc '{}' > '{}'", source.display(), target.display());
                program::output(Command::new("sh").args(["-c", &line]))?;
            }
            false => drop(fs::copy(&source, &target).map_err(file("read", &source))?),
        }
        order += &format!("/modules/{name}\n");
    }
    write(&to.join("order"), &order)
}

/// The files of the modules and of all that they need, as `modules.dep` has them, in the order of loading. A module
/// that the list does not have is built in.
fn in_order(dependencies: &str, wanted: &[&str]) -> Vec<String> {
    let mut order: Vec<String> = Vec::new();
    for name in wanted {
        let line = dependencies.lines().find(|line| line.split_once(':').is_some_and(|(file, _)| stem(file) == *name));
        let Some((file, needs)) = line.and_then(|line| line.split_once(':')) else { continue };
        // The list has what is to be loaded first at the end.
        for file in needs.split_whitespace().rev().chain([file]) {
            if !order.iter().any(|known| known == file) {
                order.push(file.to_owned());
            }
        }
    }
    order
}

/// The name of a module's file, without its ending, as `lsmod` prints it.
fn stem(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.split('.').next().unwrap_or(name).replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_come_after_those_that_they_need() {
        let dependencies = "kernel/d/virtio_ring.ko:\nkernel/d/virtio.ko: kernel/d/virtio_ring.ko\n\
            kernel/d/virtio-blk.ko.xz: kernel/d/virtio.ko kernel/d/virtio_ring.ko\n";
        let expected = ["kernel/d/virtio_ring.ko", "kernel/d/virtio.ko", "kernel/d/virtio-blk.ko.xz"];
        assert_eq!(in_order(dependencies, &["ext4", "virtio_blk", "virtio"]), expected);
        assert_eq!(stem(expected[2]), "virtio_blk");
    }
}
