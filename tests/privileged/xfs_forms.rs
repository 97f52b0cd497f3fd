// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is read from the device of an XFS is what the kernel shows of it, however it is laid out.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use criu_gc::internals::system::dir::FileIdentity;
use criu_gc::internals::system::filesystem::FilesystemId;
use criu_gc::internals::system::unmounted::{Nearest, ReadError, UnmountedFilesystem};
use criu_gc::internals::time::Timestamp;
use testkit::{Criu, TestHost, wait_until};

use crate::case::{Case, Cases};
use crate::faults::tell;
use crate::places::make_directory;
use crate::xfs_file::{SECTOR, Xfs, number_of, prototype, write_prototype};

inventory::submit!(Cases::with_newest_criu(&[
    Case { name: "what is read from the device of an XFS of any layout is what the kernel shows", test: layouts },
    Case {
        name: "what mkfs puts on an XFS of any layout, also of version 4, is read from its device",
        test: prototypes,
    },
    Case { name: "an XFS that needs repair, or is of an unknown kind, is not read", test: refused },
]));

/// Options of `mkfs.xfs` for layouts that every kernel mounts.
const LAYOUTS: &[&[&str]] = &[
    &[],
    &["-b", "size=1024"],
    &["-n", "size=65536"],
    &["-b", "size=1024", "-n", "size=4096"],
    &["-i", "nrext64=0", "-m", "bigtime=0"],
    &["-i", "nrext64=1,size=2048", "-s", "size=4096"],
    &["-i", "sparse=0", "-m", "reflink=0,finobt=0,uuid=5b1d3d0c-8a93-4f7e-a4f5-0d2e3d1c7a10"],
];

/// Also those that not every kernel mounts.
const MADE_LAYOUTS: &[&[&str]] = &[
    &["-m", "crc=0"],
    &["-m", "crc=0", "-n", "ftype=0"],
    &["-m", "crc=0", "-b", "size=512", "-n", "size=4096"],
    &["-m", "crc=0", "-i", "size=256", "-n", "size=65536"],
    &["-b", "size=65536"],
    &["-b", "size=32768", "-s", "size=32768"],
    &["-b", "size=1024", "-n", "size=32768"],
];

/// Directories of all forms, some with holes, and files of all types.
const FILL: &str = r#"
cd "$0"
mkdir few many most deep deep/deeper empty
for at in 1 2 3; do : > few/$at; done
for at in $(seq 300); do : > many/$at; done
# The directory grows between the files, so that it has many extents.
for at in $(seq $1); do
    echo x > most/a-name-that-takes-some-room-$at
    [ $((at % 100)) != 0 ] || sync -f .
done
for at in $(seq $(($1 / 4)) $(($1 / 2))); do rm most/a-name-that-takes-some-room-$at; done
for at in $(seq 1 7 300); do rm many/$at; ln few/1 many/link-$at; done
ln -s nowhere deep/symlink; mkfifo deep/fifo; chown 70000:5 deep/fifo; chmod 6751 deep/fifo
mknod deep/device c 1 3; dd if=/dev/zero of=deep/deeper/file bs=70000 count=3 2>/dev/null
name=$(printf 'n%.0s' $(seq 255)); : > deep/$name; : > "deep/ "
"#;

fn layouts(_: &Criu) {
    for (options, count) in LAYOUTS.iter().zip([40_000].into_iter().chain(std::iter::repeat(4_000))) {
        let host = TestHost::new();
        let xfs = Xfs::made_with(&host, options);
        let mountpoint = make_directory(&host, "volume");
        host.run("mount", &[&"-o", &"loop", &xfs.file, &mountpoint]);
        host.run("sh", &[&"-ec", &FILL, &mountpoint, &count.to_string()]);
        let shown = walk(&host.path(&mountpoint));
        let uuid = FilesystemId::of(File::open(host.path(&mountpoint)).expect("a directory"), (7, 0)).uuid;
        host.run("umount", &[&mountpoint]);
        let read = await_unmounted(&xfs);
        assert_eq!(read.id().uuid, uuid);
        for (path, metadata) in &shown {
            assert_as_shown(&read, path, metadata, &shown);
        }
        let most = shown[Path::new("most")].ino();
        let format = xfs.print(&[&format!("inode {most}"), "print core.format"]);
        tell(&format!(
            "{options:?}: {} files as the kernel shows them; of the largest directory {}",
            shown.len(),
            format.trim()
        ));
        if options.contains(&"size=1024") {
            assert!(format.contains("btree"), "void: {format}");
        }
    }
}

/// The log ends with an unmount a moment after the last mount has gone.
fn await_unmounted(xfs: &Xfs<'_>) -> UnmountedFilesystem {
    wait_until(|| xfs.read().ok()).expect("an XFS that is not mounted")
}

/// All files below a directory, by their paths.
fn walk(root: &Path) -> BTreeMap<PathBuf, Metadata> {
    let mut found = BTreeMap::from([(PathBuf::new(), fs::metadata(root).expect("a directory"))]);
    let mut left = vec![PathBuf::new()];
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(root.join(&directory)).expect("a directory").flatten() {
            let (path, metadata) = (directory.join(entry.file_name()), entry.metadata().expect("a file"));
            if metadata.is_dir() {
                left.push(path.clone());
            }
            found.insert(path, metadata);
        }
    }
    found
}

/// What is read of a file, and of the names in a directory, is what was shown.
fn assert_as_shown(read: &UnmountedFilesystem, path: &Path, metadata: &Metadata, shown: &BTreeMap<PathBuf, Metadata>) {
    let identity = read.identity(metadata.ino()).expect("an inode");
    let born = metadata.created().expect("a time").duration_since(UNIX_EPOCH).expect("after 1970");
    let expected = FileIdentity {
        device: (7, 0),
        inode: metadata.ino(),
        mode: metadata.mode(),
        owner: metadata.uid(),
        links: u32::try_from(metadata.nlink()).expect("a number of links"),
        size: metadata.size(),
        allocated: metadata.blocks() * 512,
        changed: Timestamp::new(metadata.ctime(), u32::try_from(metadata.ctime_nsec()).expect("nanoseconds")),
        modified: Timestamp::new(metadata.mtime(), u32::try_from(metadata.mtime_nsec()).expect("nanoseconds")),
        born: Some(Timestamp::new(i64::try_from(born.as_secs()).expect("seconds"), born.subsec_nanos())),
        mount_id: 0,
    };
    assert_eq!(identity, expected, "{}", path.display());
    if !metadata.is_dir() {
        assert!(matches!(read.entries(metadata.ino(), |_| true), Err(ReadError::NotADirectory)));
        return;
    }
    assert_eq!(read.nearest(path).expect("a directory"), Nearest::Itself(metadata.ino()));
    assert_eq!(read.nearest(&path.join("no-such/file")).expect("a directory"), Nearest::Above(metadata.ino()));
    let is_in = |child: &&PathBuf| child.parent() == Some(path);
    let expected: BTreeMap<Vec<u8>, u64> = shown
        .keys()
        .filter(is_in)
        .map(|child| (child.file_name().expect("a name").as_bytes().to_vec(), shown[child].ino()))
        .collect();
    let entries: BTreeMap<_, _> =
        read.entries(metadata.ino(), |name| name != b"." && name != b"..").expect("entries").into_iter().collect();
    assert!(entries == expected, "{}: {} of {} names", path.display(), entries.len(), expected.len());
}

fn prototypes(_: &Criu) {
    for options in LAYOUTS.iter().chain(MADE_LAYOUTS) {
        let host = TestHost::new();
        let directories = prototype();
        let file = write_prototype(&host, &directories);
        let xfs = Xfs::made_with(&host, &[*options, &["-p", file.to_str().expect("text")]].concat());
        if !options.contains(&"crc=0") {
            // What is in metadata stays the old one.
            host.run("xfs_db", &[&"-x", &"-c", &"uuid generate", &xfs.file]);
        }
        let read = xfs.read().expect("an XFS");
        let mut formats = Vec::new();
        for (directory, names) in &directories {
            let number = number_of(&read, directory);
            let found = read.entries(number, |name| name != b"." && name != b"..").expect("entries");
            let found_names: BTreeSet<_> =
                found.keys().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
            assert!(found_names == *names, "{options:?}: {directory}: {} names", found_names.len());
            for number in found.values() {
                let file = read.identity(*number).expect("an inode");
                let (mode, size) = if names.len() <= 300 { (0o100_640, 12) } else { (0o010_640, 0) };
                assert_eq!((file.mode, file.owner, file.links, file.size), (mode, 3, 1, size));
                assert_eq!(file.born.is_some(), !options.contains(&"crc=0"));
            }
            let identity = read.identity(number).expect("an inode");
            assert_eq!((identity.mode, identity.owner, identity.links), (0o040_700, 1000, 2));
            formats.push(
                xfs.print(&[&format!("inode {number}"), "print core.format"]).trim().replace("core.format = ", ""),
            );
        }
        tell(&format!("{options:?}: {formats:?}"));
    }
}

fn refused(_: &Criu) {
    let host = TestHost::new();
    let xfs = Xfs::made_with(&host, &[]);
    let features = xfs.print(&["sb 0", "print features_incompat"]);
    let features = features.trim().strip_prefix("features_incompat = 0x").expect("features");
    let features = u32::from_str_radix(features, 16).expect("a number");
    let with = |bit: u32| format!("write -d features_incompat {:#x}", features | bit);
    let changes = [
        (with(0x10), "run xfs_repair first"),
        (with(0x100), "unknown features (0x100)"),
        (with(0x8000_0000), "unknown features (0x80000000)"),
        ("write -d features_log_incompat 2".into(), "unknown features (0x2)"),
        ("write -d inprogress 1".into(), "mkfs did not finish"),
        ("write -d rblocks 1000".into(), "realtime section"),
        ("write -d agcount 3".into(), "contradicts itself"),
        ("write -d logstart 0".into(), "has not been replayed"),
    ];
    for (change, why) in changes {
        let good = xfs.sectors(0..SECTOR as u64);
        host.run("xfs_db", &[&"-x", &"-c", &"sb 0", &"-c", &change, &xfs.file]);
        assert!(xfs.sectors(0..SECTOR as u64) != good, "void: {change}");
        let error = xfs.read().expect_err(&change).to_string();
        assert!(error.contains(why), "{change}: {error}");
        xfs.write(0, &good);
        assert!(xfs.read().is_ok());
    }
    let caseless = Xfs::made_with(&host, &["-n", "version=ci"]);
    assert!(caseless.read().expect_err("without case").to_string().contains("case-insensitive"));
}
