// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Link remaps on a block device that is mounted nowhere any more.

use std::fs;
use std::path::{Path, PathBuf};

use testkit::{Criu, TestHost, Word, wait_until};

use crate::case::{Case, Cases};
use crate::container_links::{Dump, assert_is_at, assert_not_known};
use crate::disk::Disk;
use crate::places::{images_of, link_in};

inventory::submit!(Cases::with_each_criu(&[
    Case { name: "a link remap on a device that is mounted nowhere is removed", test: unmounted },
    Case { name: "a link remap on an XFS that is mounted nowhere is removed", test: xfs },
    Case { name: "a link remap on another subvolume of a mounted btrfs is removed", test: subvolume },
    Case { name: "a link remap on a btrfs that was mounted anew is removed where the user says", test: btrfs },
    Case { name: "--save copies the file of a link remap on a device that is mounted nowhere", test: saved },
    Case { name: "a link remap on a device that somebody else works on is kept", test: in_use },
    Case { name: "a device with errors is not looked into, and not one byte of it changes", test: damaged },
    Case { name: "a device that only a user's images name is not looked into", test: named_by_a_user },
    Case { name: "a link remap in a large directory of a device is removed", test: large_directory },
    Case { name: "a link remap on a device whose journal has to be replayed is not known", test: crashed },
    Case { name: "a link remap on an XFS whose log has to be replayed is not known", test: crashed_xfs },
]));

fn unmounted(criu: &Criu) {
    assert_removes_from(criu, "ext4", 16);
}

fn xfs(criu: &Criu) {
    assert_removes_from(criu, "xfs", 320);
}

fn assert_removes_from(criu: &Criu, fstype: &'static str, megabytes: u64) {
    let host = TestHost::new();
    let disk = Disk::mounted(&host, fstype, megabytes);
    let dump = dump_on(criu, &host, &disk);
    let content = disk.content();
    let lines = dump.tool().show();
    assert!(disk.content() == content, "--show changed the device");
    let place = format!("(at {}/link_remap.", disk.place());
    assert!(lines[0].starts_with("Link remap: /data/link_remap.") && lines[0].contains(&place), "{lines:#?}");
    let removed = dump.tool().run(&[]);
    assert_eq!(removed.code(), 0, "{}{}", removed.stdout, removed.stderr);
    disk.await_unmount();
    disk.assert_is_clean();
    let content = disk.content();
    dump.tool().assert_finds_nothing();
    disk.await_unmount();
    assert!(disk.content() == content, "a run with nothing to do changed the device");
    disk.release();
}

/// What the tree had of it, and what the host has, are different subvolumes in their options.
fn subvolume(criu: &Criu) {
    let host = TestHost::new();
    let (disk, volume) = make_btrfs_with_subvolume(&host);
    let dump = Dump::with_volume(criu, &host, &volume);
    assert_is_at(&dump.tool().assert_removes_everything_since(&dump.before), &volume);
    host.run("umount", &[&disk.mountpoint]);
    disk.release();
}

fn make_btrfs_with_subvolume(host: &TestHost) -> (Disk<'_>, PathBuf) {
    let disk = Disk::mounted(host, "btrfs", 128);
    let volume = disk.mountpoint.join("volume");
    host.run("btrfs", &[&"-q", &"subvolume", &"create", &volume]);
    (disk, volume)
}

/// Its device numbers are anonymous, new with each mount, and its images do not tell which device it is on.
fn btrfs(criu: &Criu) {
    let host = TestHost::new();
    let (disk, volume) = make_btrfs_with_subvolume(&host);
    let dump = Dump::with_volume(criu, &host, &volume);
    let link = link_in(&host.path(&volume));
    host.run("umount", &[&disk.mountpoint]);
    assert_not_known(&dump.tool(), "is not mounted on this host");
    host.run("mount", &[&disk.node, &disk.mountpoint]);
    let tool = dump.tool().option("--external", format!("mnt[/data]:{}", volume.display()));
    let removed = tool.run(&[]);
    assert_eq!(removed.code(), 0, "{}{}", removed.stdout, removed.stderr);
    assert!(!link.exists(), "{}", removed.stdout);
    host.run("umount", &[&disk.mountpoint]);
    disk.release();
}

fn saved(criu: &Criu) {
    let host = TestHost::new();
    let disk = Disk::mounted(&host, "ext4", 16);
    let dump = dump_on(criu, &host, &disk);
    let directory = host.dir().join("saved");
    let removed = dump.tool().option("--save", directory.clone()).run(&[]);
    assert_eq!(removed.code(), 0, "{}{}", removed.stdout, removed.stderr);
    let files = fs::read_dir(&directory).expect("a directory").flatten();
    let sizes: Vec<u64> = files
        .filter(|file| file.file_name() != "manifest.jsonl")
        .map(|file| file.metadata().expect("a file").len())
        .collect();
    assert_eq!(sizes, [41]);
    disk.await_unmount();
    disk.assert_is_clean();
    disk.release();
}

fn in_use(criu: &Criu) {
    let host = TestHost::new();
    let disk = Disk::mounted(&host, "ext4", 16);
    let dump = dump_on(criu, &host, &disk);
    let mut user = host.spawn("sh", &[&"-c", &"exec 5<\"$0\"; exec sleep 1000", &disk.node]);
    let user_pid = wait_until(|| user_of(&host, &disk.node)).expect("a user of the device");
    let content = disk.content();
    let kept = dump.tool().run(&[]);
    assert_eq!(kept.code(), 1, "{}{}", kept.stdout, kept.stderr);
    let why = format!("process {user_pid} has {} open, so it is not mounted writable", disk.node.display());
    assert!(kept.stdout.contains(&why), "{}", kept.stdout);
    assert!(disk.content() == content, "a device in use was changed");
    host.run("kill", &[&user_pid]);
    user.wait().expect("a child");
    let removed = dump.tool().run(&[]);
    assert_eq!(removed.code(), 0, "{}{}", removed.stdout, removed.stderr);
    disk.await_unmount();
    disk.assert_is_clean();
    disk.release();
}

/// The kernel writes such an error into the superblock, also of what is mounted read-only, or panics.
fn damaged(criu: &Criu) {
    const STATE: usize = 1024 + 0x3a;
    const CHECKSUM: usize = 4;
    let host = TestHost::new();
    let disk = Disk::mounted(&host, "ext4", 16);
    let dump = dump_on(criu, &host, &disk);
    let good = disk.content();
    let number = |program: &str, words: &[Word<'_>], key: &str| -> usize {
        let said = host.run(program, words).stdout;
        let line = said.lines().find_map(|line| line.trim().strip_prefix(key).map(str::to_owned)).expect("a line");
        line.split_whitespace().next().and_then(|number| number.parse().ok()).expect("a number")
    };
    let size = number("dumpe2fs", &[&"-h", &disk.node], "Block size:");
    let block = number("debugfs", &[&"-R", &"blocks /", &disk.node], "");
    let mut damaged = good.clone();
    damaged[(block + 1) * size - CHECKSUM] ^= 0xff;
    let mut marked = good.clone();
    marked[STATE] |= 2;
    let damages = [(damaged, "wrong checksum"), (marked, "says that it has errors")];
    assert_removes_once_undamaged(&dump, &disk, &good, damages);
    disk.assert_is_clean();
    disk.release();
}

/// With each of these contents the link on the disk is not known, and the disk is left as it is; with the good one the
/// link is removed.
#[track_caller]
pub(crate) fn assert_removes_once_undamaged(
    dump: &Dump<'_>,
    disk: &Disk<'_>,
    good: &[u8],
    damages: [(Vec<u8>, &str); 2],
) {
    for (content, why) in damages {
        disk.put_back(&content);
        assert_not_known(&dump.tool(), why);
        assert!(disk.content() == content, "the device was changed");
    }
    disk.put_back(good);
    let removed = dump.tool().run(&[]);
    assert_eq!(removed.code(), 0, "{removed}");
    disk.await_unmount();
}

fn named_by_a_user(criu: &Criu) {
    let host = TestHost::new();
    let disk = Disk::mounted(&host, "ext4", 16);
    let dump = dump_on(criu, &host, &disk);
    let content = disk.content();
    let own = |user| {
        for image in fs::read_dir(images_of(&host)).expect("a directory").flatten() {
            std::os::unix::fs::chown(image.path(), Some(user), Some(user)).expect("an owner");
        }
    };
    own(1000);
    assert_not_known(&dump.tool(), "users other than root may have written the images");
    assert!(disk.content() == content, "the device was changed");
    own(0);
    let removed = dump.tool().run(&[]);
    assert_eq!(removed.code(), 0, "{removed}");
    disk.await_unmount();
    disk.assert_is_clean();
    disk.release();
}

/// So large that it has an index, and blocks in more than one place.
fn large_directory(criu: &Criu) {
    let host = TestHost::new();
    let disk = Disk::mounted(&host, "ext4", 64);
    assert_removes_among(criu, &host, disk, 3_000);
}

/// A link in a directory with so many other names, below a root directory with as many.
pub(crate) fn assert_removes_among(criu: &Criu, host: &TestHost, disk: Disk<'_>, count: u32) {
    let deep = disk.mountpoint.join("deep");
    host.run("mkdir", &[&deep]);
    let make = "cd \"$0\"; for at in $(seq $1); do : > $at-a-name-that-takes-some-room; : > ../$at; done";
    host.run("sh", &[&"-c", &make, &deep, &count.to_string()]);
    let dump = Dump::with_volume(criu, host, &deep);
    let link = link_in(&host.path(&deep));
    host.run("umount", &[&disk.mountpoint]);
    disk.await_unmount();
    let content = disk.content();
    let lines = dump.tool().show();
    assert!(lines[0].contains("/deep/link_remap.") && lines[0].ends_with("; to be removed)"), "{lines:#?}");
    assert!(disk.content() == content, "--show changed the device");
    let removed = dump.tool().run(&[]);
    assert_eq!(removed.code(), 0, "{removed}");
    disk.await_unmount();
    host.run("mount", &[&disk.node, &disk.mountpoint]);
    assert!(!link.exists(), "{removed}");
    host.run("umount", &[&disk.mountpoint]);
    disk.await_unmount();
    disk.release();
}

fn crashed(criu: &Criu) {
    assert_not_known_before_replay(criu, "ext4", 16);
}

fn crashed_xfs(criu: &Criu) {
    assert_not_known_before_replay(criu, "xfs", 320);
}

/// What only the journal holds does not show, and must not be taken for gone.
fn assert_not_known_before_replay(criu: &Criu, fstype: &'static str, megabytes: u64) {
    let host = TestHost::new();
    let disk = Disk::mounted(&host, fstype, megabytes);
    let dump = Dump::with_volume(criu, &host, &disk.mountpoint);
    // Writes the content of the file and the journal, and no name to its place yet.
    host.run("sync", &[&disk.mountpoint.join("one.keep"), &disk.mountpoint]);
    // As the power failure finds it.
    let content = disk.content();
    host.run("umount", &[&disk.mountpoint]);
    disk.await_unmount();
    assert!(disk.content() != content, "void: nothing was in the journal only");
    disk.put_back(&content);
    assert_not_known(&dump.tool(), "has not been replayed");
    assert!(disk.content() == content, "the device was changed");
    host.run("mount", &[&disk.node, &disk.mountpoint]);
    link_in(&host.path(&disk.mountpoint));
    host.run("umount", &[&disk.mountpoint]);
    disk.await_unmount();
    let removed = dump.tool().run(&[]);
    assert_eq!(removed.code(), 0, "{}{}", removed.stdout, removed.stderr);
    disk.await_unmount();
    disk.assert_is_clean();
    disk.release();
}

/// The process of the host that has the file open, as the host numbers it.
fn user_of(host: &TestHost, file: &Path) -> Option<String> {
    let processes = fs::read_dir(host.path("/proc")).ok()?.flatten();
    let numbered = processes.filter(|process| process.file_name().to_string_lossy().parse::<u32>().is_ok());
    let has_open = |process: &fs::DirEntry| fs::read_link(process.path().join("fd/5")).is_ok_and(|open| open == file);
    numbered.filter(has_open).map(|process| process.file_name().to_string_lossy().into_owned()).next()
}

/// A tree had a file on the disk; now both the tree and the mount are gone.
/// Dumps a container with a volume on a disk, which is mounted nowhere then.
pub(crate) fn dump_on<'a>(criu: &Criu, host: &'a TestHost, disk: &Disk<'_>) -> Dump<'a> {
    let dump = Dump::with_volume(criu, host, &disk.mountpoint);
    link_in(&host.path(&disk.mountpoint));
    host.run("umount", &[&disk.mountpoint]);
    disk.await_unmount();
    dump
}
