// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The number of a block device is given anew (L1): after `losetup -d`, after a reboot, after a disk was replaced.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use testkit::{Access, CommandExt, Container, Criu, DumpOptions, Launch, TestHost};

use crate::attack::{assert_cleans, assert_not_called_clean, assert_untouched, plant};
use crate::case::{Case, Cases};
use crate::places::{has_link, images_of, make_directory};
use crate::tool::Tool;

inventory::submit!(Cases::with_newest_criu(&[
    Case { name: "attack: another disk with the number of the images' is not that disk", test: other_disk },
    Case { name: "attack: a clone of the disk, of the same UUID, is not that disk", test: clone },
    Case { name: "attack: an empty disk with the number does not make a link gone", test: empty_disk },
    Case { name: "the link on a disk that has another number by now is removed", test: other_number },
    Case { name: "attack: a disk with look-alikes is not the disk that is missing", test: look_alike },
    Case { name: "attack: a copy is not taken for the disk that is there", test: copy_of_disk_that_is_there },
    Case { name: "attack: of a disk and its copy neither is taken for the other", test: copy_of_both },
    Case { name: "attack: --show does not write to a filesystem that has an error", test: with_error },
    Case { name: "attack: --show does not write to a disk with orphans", test: with_orphans },
]));

static NUMBERS: AtomicU32 = AtomicU32::new(0);

/// A loop device whose number no other test uses, and that goes with the test.
struct Loop<'a> {
    host: &'a TestHost,
    number: u32,
    volume: PathBuf,
}

impl<'a> Loop<'a> {
    fn new(host: &'a TestHost) -> Self {
        let number = 4_000 + std::process::id() % 10_000 * 20 + NUMBERS.fetch_add(1, Ordering::Relaxed) % 20;
        Self { host, number, volume: make_directory(host, "volume") }
    }

    /// Another one, mounted at another place; its number is this much higher.
    fn another(&self, name: &str, higher: u32) -> Self {
        Self { host: self.host, number: self.number + higher, volume: make_directory(self.host, name) }
    }

    fn node(&self) -> String {
        format!("/dev/loop{}", self.number)
    }

    /// Gives the device this disk.
    fn attach(&self, disk: &Path) {
        self.host.run("losetup", &[&self.node(), &disk]);
    }

    fn mount(&self) {
        self.host.run("mount", &[&self.node(), &self.volume]);
    }

    fn unmount(&self) {
        self.host.run("umount", &[&self.volume]);
    }

    fn detach(&self) {
        self.host.run("losetup", &[&"--detach", &self.node()]);
    }

    /// Does something with the disk mounted.
    fn with<T>(&self, disk: &Path, work: impl FnOnce(&Path) -> T) -> T {
        self.attach(disk);
        self.mount();
        let result = work(&self.host.path(&self.volume));
        self.unmount();
        self.detach();
        result
    }

    fn has_link(&self, disk: &Path) -> bool {
        self.with(disk, has_link)
    }
}

impl Drop for Loop<'_> {
    fn drop(&mut self) {
        const REMOVE: &str = "import fcntl, os, sys; \
                              fcntl.ioctl(os.open('/dev/loop-control', os.O_RDWR), 0x4c81, int(sys.argv[1]))";
        // A test that failed may have it in use.
        self.host.command("umount").arg(&self.volume).finish();
        self.host.command("losetup").args(["--detach", &self.node()]).finish();
        self.host.command("python3").args(["-c", REMOVE, &self.number.to_string()]).finish();
    }
}

fn disk(host: &TestHost, name: &str) -> PathBuf {
    let file = host.dir().with_file_name(name);
    File::create_new(&file).and_then(|file| file.set_len(16 << 20)).expect("a new file");
    host.run("mkfs.ext4", &[&"-q", &file]);
    file
}

/// A container with a volume on this disk is dumped; then nobody has the disk any more.
fn dump<'a>(criu: &Criu, device: &Loop<'a>, disk: &Path) -> Tool<'a> {
    let host = device.host;
    device.attach(disk);
    device.mount();
    let container = Container::new(host, "root").bind(&device.volume, "/data".as_ref(), Access::ReadWrite);
    let tree = Launch::new(&[&"deleted", &"/data/one"]).container(&container).start(host);
    criu.dump(host, &tree, &images_of(host), &DumpOptions::default());
    assert!(has_link(&host.path(&device.volume)), "void");
    device.unmount();
    device.detach();
    Tool::on(host)
}

fn other_disk(criu: &Criu) {
    let host = TestHost::new();
    let device = Loop::new(&host);
    let [own, other] = ["own", "other"].map(|name| disk(&host, name));
    device.with(&other, plant);
    assert_not_taken_for_it(criu, &device, &own, &other);
}

/// As a snapshot or a restored backup: even the UUID is the same.
fn clone(criu: &Criu) {
    let host = TestHost::new();
    let device = Loop::new(&host);
    let own = disk(&host, "own");
    let other = host.dir().with_file_name("other");
    fs::copy(&own, &other).expect("a copy");
    device.with(&other, plant);
    assert_not_taken_for_it(criu, &device, &own, &other);
}

/// Dumps a tree on a disk, and copies the disk.
fn dump_and_copy<'a>(criu: &Criu, device: &Loop<'a>) -> (PathBuf, PathBuf, Tool<'a>) {
    let own = disk(device.host, "own");
    let tool = dump(criu, device, &own);
    let copy = device.host.dir().with_file_name("copy");
    fs::copy(&own, &copy).expect("a copy");
    (own, copy, tool)
}

/// The disk is there and its link cannot be told, or it cannot be read: its copy is not looked at instead.
fn copy_of_disk_that_is_there(criu: &Criu) {
    let host = TestHost::new();
    let device = Loop::new(&host);
    let (own, copy, tool) = dump_and_copy(criu, &device);
    let later = device.another("later", 200_001);
    later.attach(&copy);
    later.mount();
    let has_copy = || has_link(&host.path(&later.volume));
    device.attach(&own);
    host.run("debugfs", &[&"-w", &"-R", &"set_super_value state 2", &device.node()]);
    assert_not_called_clean(&tool, has_copy);
    assert!(has_copy(), "GOT: the copy's link was removed");
    host.command("e2fsck").args(["-f", "-y", &device.node()]).finish();
    device.mount();
    let touch = "chmod 640 \"$0\"/link_remap.*; : > \"$0\"/other; rm \"$0\"/other";
    host.run("sh", &[&"-c", &touch, &device.volume]);
    assert_not_called_clean(&tool, has_copy);
    assert!(has_copy(), "GOT: the copy's link was removed");
    later.unmount();
    later.detach();
    let removed = tool.run(&["--allow", "changed-since", "--allow", "older-than-dump"]);
    assert!(removed.code() == 0 && !has_link(&host.path(&device.volume)), "{removed}");
    device.unmount();
    device.detach();
}

/// Whether somebody has mounted it, or nobody has.
fn assert_not_taken_for_it(criu: &Criu, device: &Loop<'_>, own: &Path, other: &Path) {
    let tool = dump(criu, device, own);
    device.attach(other);
    for is_mounted in [false, true] {
        if is_mounted {
            device.mount();
        }
        let removed = tool.run(&[]);
        assert_eq!(removed.code(), 1, "GOT: clean: {removed}");
        if !is_mounted {
            device.mount();
        }
        assert_untouched(&device.host.path(&device.volume), &removed);
        device.unmount();
    }
    device.detach();
    assert_cleans_its_own_disk(device, &tool, own);
}

fn assert_cleans_its_own_disk(device: &Loop<'_>, tool: &Tool<'_>, own: &Path) {
    assert!(device.has_link(own), "void");
    device.attach(own);
    device.mount();
    assert_cleans(tool, || has_link(&device.host.path(&device.volume)));
    device.unmount();
    device.detach();
}

fn empty_disk(criu: &Criu) {
    let host = TestHost::new();
    let device = Loop::new(&host);
    let [own, other] = ["own", "other"].map(|name| disk(&host, name));
    let tool = dump(criu, &device, &own);
    device.attach(&other);
    assert_not_called_clean(&tool, || true);
    device.mount();
    assert_not_called_clean(&tool, || true);
    device.unmount();
    device.detach();
    // No disk at all has the number.
    assert_not_called_clean(&tool, || true);
    assert_cleans_its_own_disk(&device, &tool, &own);
}

/// As after a restart. The directory leads there, and the time of the link says that it is the dump's.
fn other_number(criu: &Criu) {
    let host = TestHost::new();
    let device = Loop::new(&host);
    let own = disk(&host, "own");
    let tool = dump(criu, &device, &own);
    let later = device.another("later", 200_001);
    later.attach(&own);
    later.mount();
    assert_cleans(&tool, || has_link(&host.path(&later.volume)));
    later.unmount();
    later.detach();
}

/// It was there before the dump, and the disk of the images is nowhere.
fn look_alike(criu: &Criu) {
    let host = TestHost::new();
    let device = Loop::new(&host);
    let [own, other] = ["own", "other"].map(|name| disk(&host, name));
    device.with(&other, plant);
    let tool = dump(criu, &device, &own);
    let later = device.another("later", 200_001);
    later.attach(&other);
    later.mount();
    let removed = tool.run(&[]);
    assert_eq!(removed.code(), 1, "GOT: clean: {removed}");
    assert_untouched(&host.path(&later.volume), &removed);
    later.unmount();
    later.detach();
    assert_cleans_its_own_disk(&device, &tool, &own);
}

/// A backup, and the disk itself, with whichever of the two has the number of the images.
fn copy_of_both(criu: &Criu) {
    let host = TestHost::new();
    let device = Loop::new(&host);
    let (own, copy, tool) = dump_and_copy(criu, &device);
    let later = device.another("later", 200_001);
    for (first, second) in [(&own, &copy), (&copy, &own)] {
        for (device, disk) in [(&device, first), (&later, second)] {
            device.attach(disk);
            device.mount();
        }
        let volumes = [&device, &later].map(|device| host.path(&device.volume));
        assert_not_called_clean(&tool, || volumes.iter().all(|volume| has_link(volume)));
        assert!(volumes.iter().all(|volume| has_link(volume)), "GOT: a link was removed");
        for device in [&device, &later] {
            device.unmount();
            device.detach();
        }
    }
    assert_cleans_its_own_disk(&device, &tool, &own);
}

/// The kernel notes the time of an error's mount, also of one that only reads.
fn with_error(criu: &Criu) {
    assert_only_read(criu, "set_super_value state 2");
}

/// What was open and without a name when the machine stopped; a mount frees it.
fn with_orphans(criu: &Criu) {
    assert_only_read(criu, "set_super_value last_orphan 12");
}

/// Nobody has the disk mounted, and `debugfs` has done this to it.
fn assert_only_read(criu: &Criu, damage: &str) {
    let host = TestHost::new();
    let device = Loop::new(&host);
    let own = disk(&host, "own");
    let tool = dump(criu, &device, &own);
    device.attach(&own);
    host.run("debugfs", &[&"-w", &"-R", &damage, &device.node()]);
    host.run("sync", &[&device.node()]);
    let before = fs::read(&own).expect("a disk");
    let shown = tool.run(&["--show"]);
    host.run("sync", &[&device.node()]);
    assert!(fs::read(&own).expect("a disk") == before, "GOT: --show wrote to the disk: {shown}");
    host.command("e2fsck").args(["-f", "-y", &device.node()]).finish();
    device.detach();
    assert_cleans_its_own_disk(&device, &tool, &own);
}
