// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `--save` where no hard link is possible: what is made anew has to be like the original in everything.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, chown, lchown};
use std::path::Path;

use base64::Engine;
use rustix::fs::{AtFlags, CWD, Mode, Timespec, Timestamps, XattrFlags};
use testkit::Criu;

use crate::case::{Case, Cases};
use crate::saving::{Saving, facts, inode};

inventory::submit!(Cases::with_each_criu(&[
    Case { name: "--save copies a sparse file to another filesystem with all that belongs to it", test: sparse },
    Case { name: "--save keeps FIFOs and symbolic links by hard link or makes them anew", test: without_content },
    Case { name: "--save copies to another mount of the same filesystem", test: other_mount },
    Case { name: "--save leaves a file that others still have as it was", test: original_untouched },
]));

const GIBIBYTE: u64 = 1 << 30;
const ATTRIBUTES: [(&str, &[u8]); 2] = [("user.criu-gc", b"one \0 two"), ("trusted.criu-gc", b"\xff")];

/// A file of one gibibyte with a few blocks, that is not root's, set-user-id, of long ago.
fn make_special(file: &Path) {
    let open = File::options().write(true).truncate(true).open(file).expect("the file by its other name");
    for (place, text) in [(0, "head"), (GIBIBYTE / 2 + 5, "middle"), (GIBIBYTE - 4, "tail")] {
        open.write_all_at(text.as_bytes(), place).expect("a block");
    }
    chown(file, Some(1234), Some(4321)).expect("another owner");
    for (name, value) in ATTRIBUTES {
        rustix::fs::setxattr(file, name, value, XattrFlags::empty()).expect("an extended attribute");
    }
    rustix::fs::chmod(file, Mode::from_raw_mode(0o6751)).expect("another mode");
    set_times(file);
}

fn set_times(file: &Path) {
    let time = |tv_sec, tv_nsec| Timespec { tv_sec, tv_nsec };
    let times = Timestamps {
        last_access: time(1_111_111_111, 987_654_321),
        last_modification: time(1_000_000_007, 123_456_789),
    };
    rustix::fs::utimensat(CWD, file, &times, AtFlags::SYMLINK_NOFOLLOW).expect("other times");
}

fn sparse(criu: &Criu) {
    let saving = Saving::on_a_tmpfs();
    let other = saving.host.dir().join("data.keep");
    saving.dump(criu, &[&"deleted", &saving.host.dir().join("data")], 1, || make_special(&other));
    saving.run(0);
    let saved = saving.only_file("copy");
    assert_eq!(facts(&saved), facts(&other));
    let (mode, owner, size, [_, _, seconds, nanoseconds]) = facts(&saved);
    assert_eq!((mode, owner, size), (0o106_751, [1234, 4321], GIBIBYTE));
    assert_eq!((seconds, nanoseconds), (1_000_000_007, 123_456_789));
    let taken = fs::metadata(&saved).expect("a saved file").blocks() * 512;
    assert!((1..=64 << 10).contains(&taken), "{taken} bytes on disk for three blocks");
    assert_content(&saved);
    assert_attributes(&saving, &saved);
    assert!(saving.links().is_empty());
}

fn assert_content(saved: &Path) {
    let file = File::open(saved).expect("a saved file");
    for (place, text) in [(0, "head"), (4, "\0\0"), (GIBIBYTE / 2 + 5, "middle"), (GIBIBYTE - 4, "tail")] {
        let mut found = vec![0; text.len()];
        file.read_exact_at(&mut found, place).expect("content");
        assert_eq!(found, text.as_bytes(), "at {place}");
    }
}

/// What the filesystem takes is with the file, and nothing is lost: tmpfs has `user.*` since Linux 6.6 only.
fn assert_attributes(saving: &Saving, saved: &Path) {
    let manifest = saving.manifest();
    let refused = manifest[0]["refused_attributes"].as_array().expect("a list");
    for (name, value) in ATTRIBUTES {
        let mut buffer = [0; 64];
        match rustix::fs::getxattr(saved, name, &mut buffer[..]) {
            Ok(length) => assert_eq!(&buffer[..length], value, "{name}"),
            Err(_) => {
                let encoded = base64::engine::general_purpose::STANDARD.encode(value);
                let is_it = |each: &serde_json::Value| each["name"]["text"] == name && each["value"] == encoded;
                assert!(refused.iter().any(is_it), "{name} is lost: {refused:#?}");
            }
        }
    }
    let mut buffer = [0; 64];
    assert!(rustix::fs::getxattr(saved, ATTRIBUTES[1].0, &mut buffer[..]).is_ok(), "trusted.* is with every tmpfs");
}

fn without_content(criu: &Criu) {
    for (saving, method) in [(Saving::on_the_same_disk(), "hard-link"), (Saving::on_a_tmpfs(), "made-anew")] {
        let (fifo, symlink) = (saving.host.dir().join("fifo"), saving.host.dir().join("symlink"));
        let others = [&fifo, &symlink].map(|path| path.with_extension("keep"));
        saving.dump(criu, &[&"fifo-deleted", &fifo, &"symlink-deleted", &symlink], 2, || {
            for other in &others {
                lchown(other, Some(7), Some(8)).expect("another owner");
                set_times(other);
            }
        });
        // To read a symbolic link is an access to it, for which there is no way around.
        let before = others.each_ref().map(|other| facts(other));
        let lines = saving.run(0);
        assert_eq!((saving.links().len(), saving.names().len()), (0, 2), "{lines:#?}");
        for ((line, other), before) in saving.manifest().iter().zip(&others).zip(before) {
            let saved = saving.path(line["file"].as_str().expect("a name"));
            assert_eq!((line["method"].as_str(), facts(&saved)), (Some(method), before));
            assert_eq!(inode(&saved) == inode(other), method == "hard-link");
            match fs::read_link(other) {
                Ok(target) => assert_eq!(fs::read_link(&saved).expect("a symbolic link"), target),
                Err(_) => assert!(fs::symlink_metadata(&saved).expect("a saved file").file_type().is_fifo()),
            }
        }
    }
}

fn other_mount(criu: &Criu) {
    let saving = Saving::on_the_same_disk().into("/run/bound");
    let outside = saving.host.dir().with_file_name("bound");
    for directory in [&outside, &saving.host.path("/run/bound")] {
        fs::create_dir(directory).expect("a new directory");
    }
    saving.host.run("mount", &[&"--bind", &outside, &"/run/bound"]);
    let other = saving.host.dir().join("data.keep");
    saving.dump(criu, &[&"deleted", &saving.host.dir().join("data")], 1, || make_special(&other));
    saving.run(0);
    let method = saving.manifest()[0]["method"].clone();
    // Where the filesystem shares blocks between files, that is what is done.
    assert!(method == "copy" || method == "reflink", "{method}");
    let saved = saving.path(&saving.names()[0]);
    assert_eq!((facts(&saved), saving.links().len()), (facts(&other), 0));
    assert_content(&saved);
    for (name, value) in ATTRIBUTES {
        let mut buffer = [0; 64];
        let length = rustix::fs::getxattr(&saved, name, &mut buffer[..]).expect("an extended attribute");
        assert_eq!(&buffer[..length], value);
    }
}

/// Neither kind of saving touches what the file's other names show: content, times, mode, or the number of names
/// beyond what was saved.
fn original_untouched(criu: &Criu) {
    for (saving, names) in [(Saving::on_the_same_disk(), 2), (Saving::on_a_tmpfs(), 1)] {
        let other = saving.host.dir().join("data.keep");
        saving.dump(criu, &[&"deleted", &saving.host.dir().join("data")], 1, || make_special(&other));
        let before = facts(&other);
        saving.run(0);
        assert_eq!((facts(&other), fs::metadata(&other).expect("a file").nlink()), (before, names));
    }
}
