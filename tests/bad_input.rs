// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Images that CRIU did not write: an error that names the file and the place, status 2, and nothing is touched. Entries
//! that CRIU did not write: what they name is kept, and the report names the file and the place. Needs no root, and asks
//! nothing of the machine's packet filters.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use criu_images::{Framing, RegFileEntry};
use handmade::{Checkpoint, LINK, ORIGINAL, connection_without_addresses, named, names_below, offset, regular, remap};

/// The program under test.
const CRIU_GC: &str = env!("CARGO_BIN_EXE_criu-gc");

/// Without this the other tests could succeed because nothing of their images is right.
#[test]
fn what_the_other_tests_change_is_removed_while_it_is_right() {
    for framing in [Framing::OneMagic, Framing::TwoMagics] {
        let checkpoint = Checkpoint::new(CRIU_GC);
        checkpoint.write_framed(framing);
        let output = checkpoint.run(&[]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{text}{:?}", String::from_utf8_lossy(&output.stderr));
        assert!(text.contains("; removed)\n") && !checkpoint.link().exists(), "{text}");
    }
}

#[test]
fn a_directory_that_is_none_or_holds_no_image_is_named() {
    let checkpoint = Checkpoint::new(CRIU_GC);
    fs::write(checkpoint.images().join("notes.txt"), "").unwrap();
    checkpoint.assert_refused(&["no CRIU image in ", checkpoint.images().to_str().unwrap()]);
    fs::remove_dir_all(checkpoint.images()).unwrap();
    checkpoint.assert_refused(&["cannot open ", checkpoint.images().to_str().unwrap(), "No such file"]);
    fs::write(checkpoint.images(), "").unwrap();
    checkpoint.assert_refused(&[checkpoint.images().to_str().unwrap(), "not a tar archive", "it is empty"]);
}

#[test]
fn a_file_with_the_name_of_an_image_has_to_be_that_image() {
    for (name, bytes) in [("files.img", &b"\x7fELF\x02\x01\x01\0"[..]), ("remap-fpath.img", b"#!/bin/sh\n")] {
        let checkpoint = Checkpoint::new(CRIU_GC);
        checkpoint.write();
        checkpoint.write_bytes(name, bytes);
        checkpoint.assert_refused_at(name, 0, "the magic number is ");
    }
    let checkpoint = Checkpoint::new(CRIU_GC);
    checkpoint.write();
    fs::rename(checkpoint.images().join("remap-fpath.img"), checkpoint.images().join("files.img")).unwrap();
    checkpoint.assert_refused_at(
        "files.img",
        4,
        "the magic number is 0x59133954, but that of this kind of image is 0x56303138",
    );
}

#[test]
fn what_images_of_an_unknown_version_name_is_kept() {
    for version in [4, 99, u32::MAX] {
        let mut checkpoint = Checkpoint::new(CRIU_GC);
        checkpoint.inventory.img_version = version;
        checkpoint.write();
        for arguments in [&[][..], &["--allow", "tree-unknown"]] {
            let output = checkpoint.run(arguments);
            let text = String::from_utf8(output.stdout).unwrap();
            assert_eq!(output.status.code(), Some(1), "{text}");
            let told =
                format!("Not known: inventory.img gives version {version} of the image format, which this criu-gc");
            assert!(text.contains("; kept: unknown-version)") && text.contains(&told), "{text}");
            assert!(checkpoint.link().exists(), "{text}");
        }
        // The images may still name more.
        assert_eq!(checkpoint.run(&["--allow", "unknown-version"]).status.code(), Some(1));
        assert!(!checkpoint.link().exists());
    }
    let mut checkpoint = Checkpoint::new(CRIU_GC);
    checkpoint.inventory.img_version = 4;
    checkpoint.write();
    checkpoint.write_bytes("files.img", b"of a form to come");
    checkpoint.assert_kept_at("files.img", 0, "it may be of a format that this criu-gc does not support");
    for version in 1..=3 {
        let mut checkpoint = Checkpoint::new(CRIU_GC);
        checkpoint.inventory.img_version = version;
        checkpoint.write();
        assert_eq!(checkpoint.run(&[]).status.code(), Some(0));
    }
}

#[test]
fn what_is_no_regular_file_is_not_read() {
    let replace = |make: &dyn Fn(&Path)| {
        let checkpoint = Checkpoint::new(CRIU_GC);
        checkpoint.write();
        let path = checkpoint.images().join("files.img");
        fs::rename(&path, checkpoint.images().join("away")).unwrap();
        make(&path);
        checkpoint.assert_refused(&[path.to_str().unwrap()]);
    };
    replace(&|path| symlink("away", path).unwrap());
    replace(&|path| fs::create_dir(path).unwrap());
    replace(&|path| {
        rustix::fs::mkfifoat(rustix::fs::CWD, path, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
    });
}

#[test]
fn a_huge_record_is_refused_and_what_a_malformed_one_names_is_kept() {
    let checkpoint = Checkpoint::new(CRIU_GC);
    checkpoint.write();
    let image = fs::read(checkpoint.images().join("files.img")).unwrap();
    let second = offset(&checkpoint.files, 1);
    let with = |at: usize, bytes: &[u8]| [&image[..at], bytes, &image[at + bytes.len()..]].concat();
    checkpoint.write_bytes("files.img", &with(second, &u32::MAX.to_le_bytes()));
    checkpoint.assert_refused_at("files.img", second, "the record says it is 4294967295 bytes long");
    checkpoint.write_bytes("files.img", &with(second + 4, &[0xff; 4]));
    checkpoint.assert_kept_at("files.img", second, "1 record that CRIU does not write");
}

#[test]
fn a_link_remap_has_the_name_that_criu_gives_it() {
    let names: [&[u8]; 7] = [
        b"data.keep",
        b"link_remap.7",
        b"link_remap.09",
        b"link_remap.9.bak",
        b"link_remap.9 ",
        b"LINK_REMAP.9",
        b"xlink_remap.9",
    ];
    for name in names {
        let mut checkpoint = Checkpoint::new(CRIU_GC);
        fs::write(checkpoint.data().join("link_remap.7"), "a user's own").unwrap();
        let directory = checkpoint.data().to_str().unwrap().to_owned();
        checkpoint.link_entry().name = [directory.as_bytes(), b"/", name].concat();
        checkpoint.write();
        checkpoint.assert_kept_at(
            "files.img",
            offset(&checkpoint.files, 0),
            "is an entry for link remap 9, but its name is ",
        );
    }
}

#[test]
fn what_has_a_name_that_leads_elsewhere_is_kept() {
    let ways = ["/../data/link_remap.9", "/./link_remap.9", "//link_remap.9", "/link_remap.9/", "/link_remap.9/.."];
    for way in ways.map(String::from).into_iter().chain([format!("/{}/link_remap.9", "x".repeat(256))]) {
        let mut checkpoint = Checkpoint::new(CRIU_GC);
        let directory = checkpoint.data().to_str().unwrap().to_owned();
        checkpoint.link_entry().name = format!("{directory}{way}").into();
        checkpoint.write();
        checkpoint.assert_kept_at("files.img", offset(&checkpoint.files, 0), "its name is not a plain path");
    }
    for name in ["../../link_remap.9", "link_remap.9/../../../link_remap.9", "", "/", "/data\0/link_remap.9"] {
        let mut checkpoint = Checkpoint::new(CRIU_GC);
        checkpoint.link_entry().name = name.into();
        checkpoint.write();
        checkpoint.assert_kept_at(
            "files.img",
            offset(&checkpoint.files, 0),
            "is an entry for link remap 9, but its name is",
        );
    }
    let mut checkpoint = Checkpoint::new(CRIU_GC);
    checkpoint.original_entry().name.extend_from_slice(b"/../data");
    checkpoint.write();
    checkpoint.assert_kept_at("files.img", offset(&checkpoint.files, 1), "has a name that is not a plain path");
}

#[test]
fn the_original_of_a_link_remap_is_in_its_directory_or_below() {
    for name in ["/elsewhere/data", "/data"] {
        let mut checkpoint = Checkpoint::new(CRIU_GC);
        checkpoint.original_entry().name = name.into();
        checkpoint.write();
        let at = offset(&checkpoint.files, 1);
        checkpoint.assert_kept_at("files.img", at, "has its link remap outside its own directories, at ");
    }
}

#[test]
fn a_link_remap_has_what_criu_records_of_it_and_no_more() {
    let changes: [fn(&mut RegFileEntry); 4] =
        [|file| file.mode = Some(0), |file| file.size = Some(4), |file| file.mnt_id = Some(1), |file| file.ext = true];
    for change in changes {
        let mut checkpoint = Checkpoint::new(CRIU_GC);
        change(checkpoint.link_entry());
        checkpoint.write();
        checkpoint.assert_kept_at("files.img", offset(&checkpoint.files, 0), "is an entry for link remap 9, but ");
    }
    let mut checkpoint = Checkpoint::new(CRIU_GC);
    checkpoint.original_entry().ext = true;
    checkpoint.write();
    checkpoint.assert_kept_at("files.img", offset(&checkpoint.files, 1), "is an external file");
}

#[test]
fn ids_that_lead_nowhere_or_twice_to_one_place_name_nothing() {
    let mut checkpoint = Checkpoint::new(CRIU_GC);
    checkpoint.remaps = vec![remap(ORIGINAL, LINK + 1)];
    checkpoint.write();
    checkpoint.assert_kept_at("remap-fpath.img", offset(&checkpoint.remaps, 0), "names file 10");
    checkpoint.remaps = vec![remap(ORIGINAL, LINK); 2];
    checkpoint.write();
    checkpoint.assert_kept_at("remap-fpath.img", offset(&checkpoint.remaps, 1), "uses file 9 for a second remap");
    checkpoint.remaps = vec![remap(ORIGINAL + 100, LINK)];
    checkpoint.write();
    checkpoint.assert_kept_at("remap-fpath.img", offset(&checkpoint.remaps, 0), "remaps file 108");
    let mut checkpoint = Checkpoint::new(CRIU_GC);
    checkpoint.files.push(regular(named(LINK, &checkpoint.data().join("another"))));
    checkpoint.write();
    checkpoint.assert_kept_at("files.img", offset(&checkpoint.files, 2), "has the id of another file");
    checkpoint.files.pop();
    checkpoint.files[1].id = ORIGINAL + 1;
    checkpoint.write();
    checkpoint.assert_kept_at("files.img", offset(&checkpoint.files, 1), "has different ids inside and outside");
}

#[test]
fn a_link_remap_is_on_a_mount_of_the_images() {
    let mut checkpoint = Checkpoint::new(CRIU_GC);
    checkpoint.mount_at("/elsewhere");
    checkpoint.write();
    checkpoint.assert_kept_at(
        "files.img",
        offset(&checkpoint.files, 1),
        "has its link remap outside its mount, /elsewhere",
    );
    checkpoint.original_entry().mnt_id = Some(78);
    checkpoint.write();
    checkpoint.assert_kept_at(
        "files.img",
        offset(&checkpoint.files, 1),
        "is on mount 78, which the images do not contain",
    );
    checkpoint.mounts.push(checkpoint.mounts[0].clone());
    checkpoint.write();
    checkpoint.assert_kept_at("mountpoints-3.img", offset(&checkpoint.mounts, 1), "has the id of another mount");
}

#[test]
fn a_connection_has_two_addresses() {
    let mut checkpoint = Checkpoint::new(CRIU_GC);
    checkpoint.files.push(connection_without_addresses());
    checkpoint.write();
    checkpoint.assert_left_out_at(
        "files.img",
        offset(&checkpoint.files, 2),
        "is a TCP connection with invalid addresses",
    );
}

/// No image is wrong here; whoever can write to the directory has turned the way.
#[test]
fn a_symbolic_link_on_the_way_to_a_link_remap_is_not_followed() {
    let checkpoint = Checkpoint::new(CRIU_GC);
    checkpoint.write();
    let away = checkpoint.data().with_file_name("away");
    fs::rename(checkpoint.data(), &away).unwrap();
    symlink("away", checkpoint.data()).unwrap();
    let before = names_below(&away);
    let output = checkpoint.run(&[]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("cannot be reached") && !text.contains("Nothing is left"), "{text}");
    assert_eq!(names_below(&away), before);
}

/// What is passed over takes no memory: neither in a file, nor through a pipe, nor what comes out of a decompressor.
#[test]
fn an_archive_of_any_size_takes_little_memory() {
    let checkpoint = Checkpoint::new(CRIU_GC);
    checkpoint.write();
    let pages = fs::File::create(checkpoint.images().join("pages-1.img")).unwrap();
    pages.set_len(1 << 30).unwrap();
    let archive = checkpoint.images().with_extension("tar");
    let run = |script: &str| {
        let output = Command::new("sh").args(["-c", script, CRIU_GC]).arg(&archive).output();
        let output = output.expect("sh");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("; to be removed)"), "{script}: {text}{}", String::from_utf8_lossy(&output.stderr));
    };
    let mut tar = Command::new("tar");
    tar.arg("-C").arg(checkpoint.images()).arg("-cf").arg(&archive).arg(".");
    assert!(tar.status().unwrap().success());
    // In a quarter of the size of the image.
    run("ulimit -v 262144; exec \"$0\" --show \"$1\"");
    run("cat \"$1\" | { ulimit -v 262144; exec \"$0\" --show --allow foreign-images -; }");
    let packed = fs::File::create(archive.with_extension("zst")).unwrap();
    zstd::stream::copy_encode(fs::File::open(&archive).unwrap(), packed, 1).unwrap();
    fs::rename(archive.with_extension("zst"), &archive).unwrap();
    run("ulimit -v 262144; exec \"$0\" --show \"$1\"");
}
