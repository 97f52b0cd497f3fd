// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Link remaps on an XFS that is mounted nowhere any more: directories of all forms, and damaged ones.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use testkit::{Criu, TestHost};

use crate::case::{Case, Cases};
use crate::container_links::assert_not_known;
use crate::device_links::{assert_removes_among, assert_removes_once_undamaged, dump_on};
use crate::disk::Disk;

inventory::submit!(Cases::with_each_criu(&[
    Case { name: "a link remap in a directory of any form on an XFS is removed", test: directories },
    Case { name: "a link remap on an XFS that is mounted out of sight is not known", test: mounted_out_of_sight },
    Case { name: "a link remap in a garbled directory of an XFS is not known", test: garbled },
]));

/// One that lies in its inode, and larger ones, with blocks and an index of each kind.
fn directories(criu: &Criu) {
    let forms: [(&[&str], u32); 5] = [
        (&[], 3),
        (&["-b", "size=1024"], 300),
        (&[], 40_000),
        (&["-n", "size=65536"], 3_000),
        (&["-b", "size=1024", "-n", "size=4096", "-i", "nrext64=0", "-m", "bigtime=0"], 3_000),
    ];
    for (options, count) in forms {
        let host = TestHost::new();
        let disk = Disk::made_with(&host, "xfs", 320, options);
        assert_removes_among(criu, &host, disk, count);
    }
}

/// A changed byte of the link's own name: without a look at the checksum the link would be gone.
fn garbled(criu: &Criu) {
    let host = TestHost::new();
    let disk = Disk::mounted(&host, "xfs", 320);
    let make = "cd \"$0\"; for at in $(seq 300); do : > $at-a-name-that-takes-some-room; done";
    host.run("sh", &[&"-c", &make, &disk.mountpoint]);
    let dump = dump_on(criu, &host, &disk);
    let good = disk.content();
    let is_of_directory = |at: usize| good[at - at % 4096..].starts_with(b"XD");
    let places: Vec<usize> = places_of(&good, b"link_remap.").filter(|at| is_of_directory(*at)).collect();
    assert!(!places.is_empty(), "void: the link is in no block of a directory");
    let mut garbled = good.clone();
    places.iter().for_each(|at| garbled[*at] = b'L');
    let marked = make_need_repair(&host, &disk);
    let damages = [(garbled, "wrong checksum"), (marked, "run xfs_repair first")];
    assert_removes_once_undamaged(&dump, &disk, &good, damages);
    dump.tool().assert_finds_nothing();
    disk.release();
}

/// Where these words are.
fn places_of<'a>(bytes: &'a [u8], words: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    let first = bytes.iter().enumerate().filter(|(_, byte)| **byte == words[0]);
    first.map(|(at, _)| at).filter(|at| bytes[*at..].starts_with(words))
}

/// What a mount has in memory is not on the device, nor in the log yet.
fn mounted_out_of_sight(criu: &Criu) {
    let host = TestHost::new();
    let disk = Disk::mounted(&host, "xfs", 320);
    let dump = dump_on(criu, &host, &disk);
    // A mount namespace of the machine's: the host sees neither it nor the process in it.
    let script = "mount \"$0\" /mnt && echo mounted && read line";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script]).arg(&disk.node).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut other = command.spawn().expect("a shell");
    let mut told = String::new();
    BufReader::new(other.stdout.take().expect("its output")).read_line(&mut told).expect("a line");
    assert_eq!(told, "mounted\n");
    assert_not_known(&dump.tool(), "is mounted where this process cannot see it");
    drop(other.stdin.take());
    other.wait().expect("a child");
    disk.await_unmount();
    let removed = dump.tool().run(&[]);
    assert_eq!(removed.code(), 0, "{removed}");
    disk.await_unmount();
    disk.assert_is_clean();
    disk.release();
}

/// What the disk holds once its superblock says that it has to be repaired.
fn make_need_repair(host: &TestHost, disk: &Disk<'_>) -> Vec<u8> {
    const BIT: u32 = 0x10;
    let said = host.run("xfs_db", &[&"-r", &"-c", &"sb 0", &"-c", &"print features_incompat", &disk.node]).stdout;
    let features = said.trim().strip_prefix("features_incompat = 0x").expect("features");
    let features = u32::from_str_radix(features, 16).expect("a number") | BIT;
    let write = format!("write -d features_incompat {features:#x}");
    host.run("xfs_db", &[&"-x", &"-c", &"sb 0", &"-c", &write, &disk.node]);
    disk.content()
}
