// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Files that hold an XFS, to compare what is read of it with what is there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use criu_gc::internals::system::device::Device;
use criu_gc::internals::system::unmounted::{Nearest, ReadError, UnmountedFilesystem};
use testkit::{TestHost, Word};

pub(crate) const SECTOR: usize = 512;

/// A file that holds an XFS.
pub(crate) struct Xfs<'a> {
    host: &'a TestHost,
    pub(crate) file: PathBuf,
}

impl<'a> Xfs<'a> {
    pub(crate) fn made_with(host: &'a TestHost, options: &[&str]) -> Self {
        let file = host.dir().with_file_name("disk");
        File::create(&file).and_then(|file| file.set_len(320 << 20)).expect("a new file");
        let mut words: Vec<Word<'_>> = vec![&"-q", &"-f"];
        words.extend(options.iter().map(|option| option as Word<'_>));
        words.push(&file);
        host.run("mkfs.xfs", &words);
        Xfs { host, file }
    }

    pub(crate) fn read(&self) -> Result<UnmountedFilesystem, ReadError> {
        let device = Device::of_file(File::open(&self.file).expect("the file"));
        UnmountedFilesystem::of_xfs(device, (7, 0))?.ok_or(ReadError::Damaged("there is no XFS"))
    }

    /// What `xfs_db` prints.
    pub(crate) fn print(&self, commands: &[&str]) -> String {
        let mut words: Vec<Word<'_>> = vec![&"-r"];
        words.extend(commands.iter().flat_map(|command| [&"-c" as Word<'_>, command]));
        words.push(&self.file);
        self.host.run("xfs_db", &words).stdout
    }

    pub(crate) fn sectors(&self, range: std::ops::Range<u64>) -> Vec<u8> {
        let mut bytes = vec![0; (range.end - range.start) as usize];
        File::open(&self.file).and_then(|file| file.read_exact_at(&mut bytes, range.start)).expect("the file");
        bytes
    }

    pub(crate) fn write(&self, at: u64, bytes: &[u8]) {
        let file = File::options().write(true).open(&self.file).expect("the file");
        file.write_all_at(bytes, at).expect("as large a file");
    }

    /// Where the sectors with metadata of each kind are: the superblock, inodes of directories, blocks of directories of
    /// 1 KiB, nodes of extents.
    pub(crate) fn metadata(&self) -> [Vec<u64>; 4] {
        const MIB: u64 = 1 << 20;
        let mut found = [vec![0], vec![], vec![], vec![]];
        for start in (0..320).map(|at| at * MIB) {
            for (at, block) in (start..).step_by(2 * SECTOR).zip(self.sectors(start..start + MIB).chunks(2 * SECTOR)) {
                let sectors = [at, at + SECTOR as u64];
                match &block[..2] {
                    b"XD" => found[2].extend(sectors),
                    b"BM" => found[3].extend(sectors),
                    _ => {
                        let is_directory = |sector: &[u8]| sector[..2] == *b"IN" && sector[2] & 0xf0 == 0x40;
                        let inodes = sectors.into_iter().zip(block.chunks(SECTOR));
                        found[1].extend(inodes.filter(|(_, sector)| is_directory(sector)).map(|(at, _)| at));
                    }
                }
            }
        }
        assert!(found.iter().all(|places| !places.is_empty()), "void: {found:?}");
        found
    }
}

/// The names in some directories of a prototype.
pub(crate) fn prototype() -> BTreeMap<&'static str, BTreeSet<String>> {
    let names = |count: u32| (0..count).map(|at| format!("name-{at}-of-some-length")).collect();
    BTreeMap::from([("few", names(3)), ("many", names(300)), ("most", names(8_000)), ("empty", names(0))])
}

/// A file that tells `mkfs.xfs` what to put on the filesystem.
pub(crate) fn write_prototype(host: &TestHost, directories: &BTreeMap<&str, BTreeSet<String>>) -> PathBuf {
    let content = host.dir().join("content");
    fs::write(&content, "twelve bytes").expect("a file");
    let mut text = String::from("-\n0 0\nd--755 0 0\n");
    for (directory, names) in directories {
        text.push_str(&format!("{directory} d--700 1000 5\n"));
        for name in names {
            // Files of their own would need much room where blocks are large.
            match names.len() {
                ..=300 => text.push_str(&format!("{name} ---640 3 4 {}\n", content.display())),
                _ => text.push_str(&format!("{name} p--640 3 4\n")),
            }
        }
        text.push_str("$\n");
    }
    text.push_str("$\n");
    let file = host.dir().join("prototype");
    fs::write(&file, text).expect("a file");
    file
}

pub(crate) fn number_of(read: &UnmountedFilesystem, directory: &str) -> u64 {
    match read.nearest(Path::new(directory)).expect("a directory") {
        Nearest::Itself(number) => number,
        Nearest::Above(_) => panic!("{directory} is missing"),
    }
}
