// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `--save`: what is kept, what the manifest says, and that nothing is removed that could not be kept.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use base64::Engine;
use serde_json::{Value, json};
use testkit::{Criu, TableNames, TestHost};

use crate::case::{Case, Cases};
use crate::saving::{Saving, inode};
use crate::tool::NOTHING;

inventory::submit!(Cases::with_each_criu(&[
    Case { name: "--save keeps a link remap's file as a hard link and tells what it was", test: hard_link },
    Case { name: "--save by hard link frees nothing, by copy what the link's last name held", test: last_name },
    Case { name: "--save keeps a file for each of two link remaps of one inode", test: twice },
    Case { name: "--save numbers on when a second dump is saved in the same directory", test: dump_second },
    Case { name: "--save keeps files whose names are any bytes under names of its own", test: names },
    Case { name: "--save into a full directory removes only what was saved, and all when there is room", test: full },
    Case { name: "--save where not even the manifest has room keeps the link and leaves nothing", test: too_full },
    Case { name: "a link that was saved but not removed is removed by the next --save", test: interrupted },
    Case { name: "--save finds nothing to save once all is gone, and makes no directory", test: nothing_to_save },
    Case { name: "--save into a directory that is another run's is refused before anything is removed", test: in_use },
]));

fn hard_link(criu: &Criu) {
    let saving = Saving::on_the_same_disk();
    let file = saving.host.dir().join("data");
    saving.dump(criu, &[&"deleted", &file], 1, || ());
    let link = saving.links().remove(0);
    let (before, at) = (fs::metadata(&link).expect("a link"), inode(&link));
    let lines = saving.run(0);
    let saved = saving.only_file("hard-link");
    assert_eq!((inode(&saved), saving.links().len()), (at, 0));
    let text = format!("(41 bytes, 1 other name; saved as {}; removed)", saved_path(&saving));
    assert!(lines[0].ends_with(&text), "{lines:#?}");
    assert_eq!(lines[1], "1 object: 1 removed.");
    let manifest = saving.manifest();
    assert_eq!(manifest[0]["run_id"].is_string(), criu.table_names() == TableNames::RunId, "{manifest:#?}");
    assert_manifest(&manifest[0], &before, &link, &file);
    assert_eq!(fs::metadata(saving.path("")).expect("a directory").mode() & 0o7777, 0o700);
    saving.tool().assert_finds_nothing();
}

fn last_name(criu: &Criu) {
    for (saving, is_freed) in [(Saving::on_the_same_disk(), false), (Saving::on_a_tmpfs(), true)] {
        // In another directory, so that its removal does not look like the making of a new link.
        let other = saving.host.dir().with_file_name("the other name");
        saving.dump(criu, &[&"deleted", &saving.host.dir().join("data")], 1, || {
            fs::rename(saving.host.dir().join("data.keep"), &other).expect("the other name");
        });
        fs::remove_file(&other).expect("the other name");
        let lines = saving.run(0);
        assert_eq!(lines[1].starts_with("1 object: 1 removed ("), is_freed, "{lines:#?}");
        let saved = fs::metadata(saving.path(&saving.names()[0])).expect("a saved file");
        assert_eq!((saved.nlink(), saved.len()), (1, 41));
    }
}

fn saved_path(saving: &Saving) -> String {
    saving.host.dir().with_file_name("saved").join(&saving.names()[0]).display().to_string()
}

fn assert_manifest(line: &Value, before: &fs::Metadata, link: &Path, file: &Path) {
    let time = |seconds: i64, nanoseconds: i64| format!("{seconds}.{nanoseconds:09}");
    let expected = [
        ("manifest", json!(1)),
        ("link", json!({ "text": link })),
        ("original", json!({ "text": file })),
        ("path", json!({ "text": link })),
        ("device", json!(format!("{}:{}", rustix::fs::major(before.dev()), rustix::fs::minor(before.dev())))),
        ("inode", json!(before.ino())),
        ("mode", json!("100640")),
        ("uid", json!(0)),
        ("gid", json!(0)),
        ("size", json!(41)),
        ("accessed", json!(time(before.atime(), before.atime_nsec()))),
        ("modified", json!(time(before.mtime(), before.mtime_nsec()))),
        ("changed", json!(time(before.ctime(), before.ctime_nsec()))),
        ("refused_attributes", json!([])),
        ("images_directory", json!({ "text": link.parent().expect("a directory").with_file_name("images") })),
    ];
    for (name, value) in expected {
        assert_eq!(line[name], value, "{name}: {line:#}");
    }
    let images: Vec<&str> =
        line["evidence"].as_array().expect("entries").iter().filter_map(|entry| entry["image"].as_str()).collect();
    assert_eq!(images, ["remap-fpath.img", "files.img", "files.img"]);

    assert!(line["saved"].as_str() > line["changed"].as_str(), "{line:#}");
}

fn twice(criu: &Criu) {
    for saving in [Saving::on_the_same_disk(), Saving::on_a_tmpfs()] {
        saving.dump(criu, &[&"deleted-twice", &saving.host.dir().join("data")], 2, || ());
        saving.run(0);
        assert_eq!((saving.links().len(), saving.names().len()), (0, 2));
        let manifest = saving.manifest();
        assert!(manifest[0]["link"] != manifest[1]["link"] && manifest[0]["inode"] == manifest[1]["inode"]);
        for name in saving.names() {
            assert_eq!(fs::read(saving.path(&name)).expect("a saved file").len(), 41);
        }
    }
}

fn dump_second(criu: &Criu) {
    let saving = Saving::on_the_same_disk();
    for name in ["one", "two"] {
        saving.dump(criu, &[&"deleted", &saving.host.dir().join(name)], 1, || ());
        saving.run(0);
    }
    let originals: Vec<Value> = saving.manifest().iter().map(|line| line["original"]["text"].clone()).collect();
    assert_eq!(originals, ["one", "two"].map(|name| json!(saving.host.dir().join(name))));
    let numbers: Vec<String> = saving.names().iter().map(|name| name[..2].to_owned()).collect();
    assert_eq!(numbers, ["1-", "2-"]);
    saving.run(0);
    assert_eq!(saving.names().len(), 2, "a run that removed nothing saved something");
}

fn names(criu: &Criu) {
    let saving = Saving::on_the_same_disk();
    let file = saving.host.dir().join(OsStr::from_bytes(b"new\nline \xff \x1b[2J"));
    saving.dump(criu, &[&"deleted", &file], 1, || ());
    let json: Value = serde_json::from_str(&saving.run_with(&["--json"]).stdout).expect("JSON");
    let saved_as = &json["checkpoints"][0]["objects"][0]["saved_as"];
    assert_eq!(saved_as, &json!({ "text": saved_path(&saving) }));
    let bytes = saving.manifest()[0]["original"]["bytes"].as_str().expect("base64").to_owned();
    let bytes = base64::engine::general_purpose::STANDARD.decode(bytes).expect("base64");
    assert_eq!(bytes, file.as_os_str().as_bytes());
    assert!(saving.names().iter().all(|name| name.bytes().all(|byte| byte.is_ascii_graphic())));
}

fn full(criu: &Criu) {
    let saving = Saving::on_a_tmpfs_of("256k");
    let (large, small) = (saving.host.dir().join("large"), saving.host.dir().join("small"));
    saving.dump(criu, &[&"deleted", &large, &"deleted", &small], 2, || {
        fs::write(large.with_file_name("large.keep"), vec![1; 1 << 20]).expect("a file");
    });
    let lines = saving.run(1);
    let why = "; NOT removed: its file could not be saved: cannot copy into /run/small/saved/";
    assert!(lines.iter().any(|line| line.contains(why) && line.contains(": No space left on device")), "{lines:#?}");
    assert_eq!(saving.links().len(), 1, "what could not be saved was removed, or what was saved was not");
    let saved = saving.only_file("copy");
    assert_eq!(fs::metadata(saved).expect("a saved file").len(), 41);
    saving.host.run("mount", &[&"-o", &"remount,size=4m", &"/run/small"]);
    saving.run(0);
    assert_eq!((saving.links().len(), saving.names().len(), saving.manifest().len()), (0, 2, 2));
    let size = |name: &String| fs::metadata(saving.path(name)).expect("a saved file").len();
    assert_eq!(saving.names().iter().map(size).max(), Some(1 << 20));
}

fn too_full(criu: &Criu) {
    let saving = Saving::on_a_tmpfs_of("4k");
    saving.dump(criu, &[&"deleted", &saving.host.dir().join("data")], 1, || ());
    let lines = saving.run(1);
    assert!(lines[0].contains("NOT removed: its file could not be saved: cannot append to "), "{lines:#?}");
    assert_eq!((saving.links().len(), saving.names().len(), saving.manifest().len()), (1, 0, 0));
    saving.host.run("mount", &[&"-o", &"remount,size=1m", &"/run/small"]);
    saving.run(0);
    assert_eq!((saving.links().len(), saving.manifest().len()), (0, 1));
}

/// A directory in which nothing can be removed, until this goes out of scope.
struct Immutable<'a>(&'a TestHost);

impl<'a> Immutable<'a> {
    fn new(host: &'a TestHost) -> Self {
        host.run("chattr", &[&"+i", &host.dir()]);
        Immutable(host)
    }
}

impl Drop for Immutable<'_> {
    fn drop(&mut self) {
        self.0.run("chattr", &[&"-i", &self.0.dir()]);
    }
}

/// As if the run had been killed between the two. Then the inode was changed by the hard link, and the directory by
/// whatever else happened in it: only the manifest tells that no newer dump made the link.
fn interrupted(criu: &Criu) {
    let saving = Saving::on_the_same_disk();
    saving.dump(criu, &[&"deleted", &saving.host.dir().join("data")], 1, || ());
    let immutable = Immutable::new(&saving.host);
    let lines = saving.run(1);
    assert!(lines[0].contains("; saved as ") && lines[0].contains("; NOT removed: cannot remove "), "{lines:#?}");
    drop(immutable);
    saving.tool().assert_keeps_everything("changed-since");
    let lines = saving.run(0);
    assert!(lines[0].contains("; saved as ") && lines[0].ends_with("; removed)"), "{lines:#?}");
    assert_eq!((saving.links().len(), saving.names().len(), saving.manifest().len()), (0, 2, 2));
}

fn nothing_to_save(criu: &Criu) {
    let saving = Saving::on_the_same_disk();
    saving.dump(criu, &[&"deleted", &saving.host.dir().join("data")], 1, || ());
    assert_eq!(saving.tool().run(&[]).code(), 0);
    assert!(saving.links().is_empty(), "void: there is something to save");
    let before = saving.tool().snapshot();
    let lines = saving.run(0);
    assert_eq!(lines.last().map(String::as_str), Some("Nothing is left."), "{lines:#?}");
    assert_eq!(saving.tool().difference_to(&before), NOTHING);
    assert!(!saving.path("").exists(), "a directory for nothing");
}

fn in_use(criu: &Criu) {
    let saving = Saving::on_the_same_disk();
    saving.dump(criu, &[&"deleted", &saving.host.dir().join("data")], 1, || ());
    fs::create_dir(saving.path("")).expect("a new directory");
    let manifest = File::create(saving.path(crate::saving::MANIFEST)).expect("a manifest");
    rustix::fs::flock(&manifest, rustix::fs::FlockOperation::LockExclusive).expect("a lock");
    let refused = saving.run_with(&[]);
    let why = "criu-gc: error: nothing was removed: cannot save files: ";
    assert!(refused.code() == 2 && refused.stderr.starts_with(why), "{refused}");
    assert!(refused.stderr.contains("is in use by another process") && saving.links().len() == 1, "{refused}");
    drop(manifest);
    saving.run(0);
}
