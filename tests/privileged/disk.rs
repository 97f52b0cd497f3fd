// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Block devices made of files, for link remaps on filesystems of their own.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{major, minor};
use testkit::{TestHost, Word};

use crate::container_links::directory;
use crate::refusals::wait_until;

/// A file that is a block device. The kernel frees the device with the last that has it open, and while it is not
/// mounted that is this process, which the host does not see: however the test ends, the device is free then.
pub(crate) struct Disk<'a> {
    host: &'a TestHost,
    fstype: &'static str,
    file: PathBuf,
    pub(crate) mountpoint: PathBuf,
    pub(crate) node: PathBuf,
    open: File,
}

impl<'a> Disk<'a> {
    /// A filesystem, mounted.
    pub(crate) fn mounted(host: &'a TestHost, fstype: &'static str, megabytes: u64) -> Self {
        Self::made_with(host, fstype, megabytes, &[])
    }

    /// The same, made with these options of `mkfs`.
    pub(crate) fn made_with(host: &'a TestHost, fstype: &'static str, megabytes: u64, options: &[&str]) -> Self {
        let file = host.dir().with_file_name("disk");
        File::create_new(&file).and_then(|file| file.set_len(megabytes << 20)).expect("a new file");
        let mut words: Vec<Word<'_>> = vec![&"-q"];
        words.extend(options.iter().map(|option| option as Word<'_>));
        words.push(&file);
        host.run(format!("mkfs.{fstype}"), &words);
        let mountpoint = directory(host, "volume");
        host.run("mount", &[&"-o", &"loop", &file, &mountpoint]);
        let node = host.run("findmnt", &[&"-nro", &"SOURCE", &mountpoint]).stdout.trim().into();
        let open = File::open(&node).expect("a block device");
        Self { host, fstype, file, mountpoint, node, open }
    }

    /// What criu-gc calls the root directory of a device that is mounted nowhere.
    pub(crate) fn place(&self) -> String {
        let number = self.open.metadata().expect("a block device").rdev();
        format!("/dev/block/{}:{}", major(number), minor(number))
    }

    pub(crate) fn content(&self) -> Vec<u8> {
        fs::read(&self.file).expect("the file behind the device")
    }

    /// Writes an earlier content to the device, where it is another now.
    pub(crate) fn put_back(&self, content: &[u8]) {
        const CHUNK: usize = 1 << 20;
        let device = File::options().write(true).open(&self.node).expect("a block device");
        let now = self.content();
        for (at, (then, now)) in content.chunks(CHUNK).zip(now.chunks(CHUNK)).enumerate() {
            if then != now {
                device.write_all_at(then, (at * CHUNK) as u64).expect("as large a device");
            }
        }
        device.sync_all().expect("a device that is there");
    }

    /// Waits until the kernel has the filesystem mounted in no namespace and for no process.
    pub(crate) fn await_unmount(&self) {
        let name = self.node.file_name().expect("a name");
        let filesystem = Path::new("/sys/fs").join(self.fstype).join(name);
        wait_until(|| (!filesystem.exists()).then_some(())).expect("the filesystem stays mounted");
    }

    /// Mounts it, and looks whether the link is gone, and the file's other name is there as its only one.
    pub(crate) fn assert_is_clean(&self) {
        self.host.run("mount", &[&"-o", &"ro", &self.node, &self.mountpoint]);
        let inside = self.host.path(&self.mountpoint);
        let mut names: Vec<_> =
            fs::read_dir(&inside).expect("a mount").flatten().map(|entry| entry.file_name()).collect();
        names.retain(|name| name != "lost+found");
        assert_eq!(names, ["one.keep"]);
        assert_eq!(fs::metadata(inside.join("one.keep")).expect("a file").nlink(), 1);
        self.host.run("umount", &[&self.mountpoint]);
        self.await_unmount();
    }

    /// Nobody else has the device any more.
    pub(crate) fn release(self) {
        let backing = Path::new("/sys/block").join(self.node.file_name().expect("a name")).join("loop/backing_file");
        drop(self.open);
        let is_free =
            || fs::read(&backing).map_or(true, |file| !file.starts_with(self.file.as_os_str().as_encoded_bytes()));
        wait_until(|| is_free().then_some(())).expect("the device is still in use");
    }
}
