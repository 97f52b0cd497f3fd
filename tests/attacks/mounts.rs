// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Mounts in the images that are not what they say, or are not where they say.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;

use criu_images::{FsType, MntEntry};
use handmade::Checkpoint;

use crate::attack::{Attack, Attacks, Fate};

const NO_ROOT: Fate = Fate::NotKnown("is on mount 77, whose root is ");

/// The file lies on a mount of the tree's root directory, which this changes.
fn put_on_mount(checkpoint: &mut Checkpoint, change: impl FnOnce(&mut MntEntry)) {
    checkpoint.mount_at("/");
    change(&mut checkpoint.mounts[0]);
}

fn set_root(checkpoint: &mut Checkpoint, root: &[u8]) {
    put_on_mount(checkpoint, |mount| mount.root = root.to_vec());
}

fn put_on_overlay(checkpoint: &mut Checkpoint, options: &str) {
    put_on_mount(checkpoint, |mount| {
        mount.fstype = FsType::Overlayfs.into();
        mount.root_dev = 4095;
        mount.options = options.into();
    });
}

inventory::submit!(Attacks(attacks));

fn attacks() -> Vec<Attack> {
    let attack = Attack::of_images;
    vec![
        attack(
            "a mount that the images do not have",
            Fate::NotKnown("is on mount 78, which the images do not contain"),
            |c| {
                c.mount_at("/");
                c.original_entry().mnt_id = Some(78);
            },
        ),
        attack("two mounts with one id", Fate::NotKnown("has the id of another mount"), |c| {
            c.mount_at("/");
            c.mounts.push(c.mounts[0].clone());
        }),
        attack("a link outside the mount of its file", Fate::NotKnown("has its link remap outside its mount"), |c| {
            c.mount_at("/elsewhere");
        }),
        attack(
            "a mount point whose name begins as the file's",
            Fate::NotKnown("has its link remap outside its mount"),
            |c| {
                let data = c.data();
                c.mount_at(&data.to_str().expect("a name")[..data.as_os_str().len() - 1]);
            },
        ),
        attack("a mount point that leads up", Fate::NotKnown("has its link remap outside its mount"), |c| {
            let data = c.data();
            c.mount_at(&format!("{}/../elsewhere", data.display()));
        }),
        attack(
            "a mount point that is the link itself, of a user's file",
            Fate::NotKnown("has its link remap outside its mount"),
            |c| {
                let (link, precious) = (c.link(), c.data().join("precious"));
                c.mount_at(link.to_str().expect("a name"));
                let device = std::fs::metadata(&precious).expect("a file").dev();
                let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
                c.mounts[0].root_dev = (major << 20) | minor;
                c.mounts[0].root = precious.as_os_str().as_bytes().to_vec();
            },
        ),
        attack("a mount of a root that leads up", NO_ROOT, |c| set_root(c, b"/data/../elsewhere")),
        attack("a mount of a relative root", NO_ROOT, |c| set_root(c, b"data")),
        attack("a mount of an empty root", NO_ROOT, |c| set_root(c, b"")),
        attack("a mount of a root with a NUL", NO_ROOT, |c| set_root(c, b"/data\0")),
        attack("a mount of a root with an empty component", NO_ROOT, |c| set_root(c, b"/data//x")),
        attack("a mount of a namespace's file", NO_ROOT, |c| set_root(c, b"net:[4026531840]")),
        attack("a mount of a deleted root", Fate::NotKnown("had been deleted"), |c| {
            put_on_mount(c, |mount| mount.deleted = true)
        }),
        attack("a mount that a plugin dumped", Fate::NotKnown("a CRIU plugin dumped its mount"), |c| {
            put_on_mount(c, |mount| mount.with_plugin = true);
        }),
        attack(
            "a mount of which there is only a key",
            Fate::NotKnown("the images give only the key of its mount"),
            |c| {
                put_on_mount(c, |mount| {
                    mount.ext_mount = true;
                    mount.root = b"/etc".to_vec();
                });
            },
        ),
        attack("an anonymous device number that nothing has", Fate::NotKnown("is not mounted on this host"), |c| {
            put_on_mount(c, |mount| mount.root_dev = 4095);
        }),
        attack("an overlay whose upper directory leads up", Fate::NotKnown("cannot be reached: "), |c| {
            let top = c.data().with_file_name("data");
            put_on_overlay(c, &format!("lowerdir=/l,upperdir={}/../../../..,workdir=/w", top.display()));
        }),
        attack("an overlay whose upper directory is relative", Fate::NotKnown("cannot be reached: "), |c| {
            put_on_overlay(c, "lowerdir=/l,upperdir=etc,workdir=/w");
        }),
        attack("an overlay without an upper directory", Fate::NotKnown("cannot be reached: "), |c| {
            put_on_overlay(c, "lowerdir=/l")
        }),
        attack("an overlay whose upper directory is /etc", Fate::NotKnown("not found, but"), |c| {
            put_on_overlay(c, "lowerdir=/l,upperdir=/etc,workdir=/w");
        }),
        attack("a link on the kernel's own proc", Fate::Nothing, |c| {
            put_on_mount(c, |mount| mount.fstype = FsType::Proc.into())
        }),
        attack("a link on a tmpfs of the tree's own", Fate::Nothing, |c| {
            put_on_mount(c, |mount| {
                mount.fstype = FsType::Tmpfs.into();
                mount.root_dev = 4095;
            });
        }),
    ]
}
