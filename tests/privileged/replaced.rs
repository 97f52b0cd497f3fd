// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Link remaps that are not, or not any more, what the images say: each is kept with its reasons, until the user has
//! allowed every one of them.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use testkit::{Criu, DumpOptions, TestHost};

use crate::case::{Case, Cases};
use crate::links::images_of;
use crate::neighbours::link_in;
use crate::tool::{NOTHING, Tool};

inventory::submit!(Cases::with_each_criu(&[
    Case { name: "a link remap whose file has another mode is kept", test: mode },
    Case { name: "a link remap whose file has another size is kept", test: size },
    Case { name: "a link remap that was made after the images is kept, however like it is", test: made_anew },
    Case { name: "a link remap whose file and directory were changed since is kept", test: changed },
    Case { name: "a symbolic link in the place of a link remap is kept, and never followed", test: other_type },
    Case { name: "a FIFO in the place of a link remap is kept", test: fifo },
    Case { name: "a directory in the place of a link remap is kept, whatever is allowed", test: directory },
    Case { name: "a link remap is removed though its file was written by its other name", test: written },
]));

/// Where a link remap is, and the other name of its file.
struct Places {
    link: PathBuf,
    other: PathBuf,
}

fn mode(criu: &Criu) {
    let change = |places: &Places| fs::set_permissions(&places.other, fs::Permissions::from_mode(0o600));
    assert_kept_until_allowed(criu, &["other-mode"], change);
}

fn size(criu: &Criu) {
    assert_kept_until_allowed(criu, &["other-size"], |places| fs::write(&places.other, "of another size"));
}

/// What a newer dump of the same tree does.
fn made_anew(criu: &Criu) {
    assert_kept_until_allowed(criu, &["changed-since"], |places| {
        fs::remove_file(&places.link)?;
        fs::hard_link(&places.other, &places.link)
    });
}

fn changed(criu: &Criu) {
    assert_kept_until_allowed(criu, &["changed-since"], |places| {
        fs::set_permissions(&places.other, fs::metadata(&places.other)?.permissions())?;
        fs::write(places.link.with_file_name("another file"), "")
    });
}

fn other_type(criu: &Criu) {
    assert_kept_until_allowed(criu, &["other-type", "other-size", "changed-since"], |places| {
        fs::remove_file(&places.link)?;
        symlink(&places.other, &places.link)
    });
}

fn fifo(criu: &Criu) {
    assert_kept_until_allowed(criu, &["other-type", "other-size", "changed-since"], |places| {
        fs::remove_file(&places.link)?;
        let mode = rustix::fs::Mode::from_raw_mode(0o640);
        rustix::fs::mkfifoat(rustix::fs::CWD, &places.link, mode).map_err(Into::into)
    });
}

fn directory(criu: &Criu) {
    let host = TestHost::new();
    let places = dump(criu, &host);
    fs::remove_file(&places.link).and_then(|()| fs::create_dir(&places.link)).expect("a new directory");
    let tool = Tool::new(&host, &images_of(&host));
    tool.assert_keeps_everything("directory");
    assert_eq!(tool.run(&["--allow", "directory"]).code(), 2);
    let all = ["other-type", "other-mode", "other-size", "changed-since", "newer-dump"];
    let allowing = all.into_iter().fold(tool, |tool, reason| tool.option("--allow", reason));
    allowing.assert_keeps_everything("directory");
    assert!(places.link.is_dir());
}

/// Only the inode changes by that, not the directory: nobody has made a new link.
fn written(criu: &Criu) {
    let host = TestHost::new();
    let tree = host.start_workload(&[&"deleted", &host.dir().join("data")]);
    let tool = Tool::new(&host, &images_of(&host));
    let before = tool.snapshot();
    criu.dump(&host, &tree, &images_of(&host), &DumpOptions::default());
    let other = host.dir().join("data.keep");
    let size = fs::metadata(&other).expect("the other name").len();
    let file = fs::File::options().write(true).open(other).expect("the other name");
    std::io::Write::write_all(&mut &file, b"THE").expect("the other name");
    assert_eq!(file.metadata().expect("the other name").len(), size);
    tool.assert_removes_everything_since(&before);
}

/// Dumps, makes the change, and checks that the link is kept for exactly these reasons, until all are allowed.
fn assert_kept_until_allowed(criu: &Criu, reasons: &[&str], change: impl Fn(&Places) -> std::io::Result<()>) {
    let host = TestHost::new();
    let places = dump(criu, &host);
    change(&places).expect("a change of the host");
    let allowing = |reasons: &[&str]| {
        let tool = Tool::new(&host, &images_of(&host));
        reasons.iter().fold(tool, |tool, reason| tool.option("--allow", *reason))
    };
    let end = format!("; kept: {})", reasons.join(", "));
    let lines = allowing(&[]).show();
    assert!(lines[0].starts_with("Link remap: ") && lines[0].ends_with(&end), "{end}: {lines:#?}");
    for left_out in reasons {
        let others: Vec<&str> = reasons.iter().copied().filter(|reason| reason != left_out).collect();
        allowing(&others).assert_keeps_everything(left_out);
    }
    assert_removes_only_the_link(&host, &places, &allowing(reasons));
}

/// The link goes, and nothing else.
fn assert_removes_only_the_link(host: &TestHost, places: &Places, tool: &Tool<'_>) {
    let content = fs::read(&places.other).expect("the other name");
    let before = tool.snapshot();
    let removed = tool.run(&[]);
    assert_eq!(removed.code(), 0, "{}{}", removed.stdout, removed.stderr);
    tool.assert_finds_nothing();
    let gone = tool.difference_to(&before);
    let name = places.link.file_name().map(OsString::from).expect("a name").to_string_lossy().into_owned();
    let is_link_or_count = |line: &String| line.contains(&format!(": - {name} ")) || line.contains("data.keep ");
    assert!(gone.iter().all(is_link_or_count), "{gone:#?}");
    assert!(!is_there(&places.link), "{gone:#?}");
    assert_eq!(fs::read(&places.other).expect("the other name"), content);
    assert_eq!(host.snapshot(&[host.dir()]).lines_with(&format!(" {name} ")), NOTHING);
}

/// Dumps a tree with one link remap.
fn dump(criu: &Criu, host: &TestHost) -> Places {
    let tree = host.start_workload(&[&"deleted", &host.dir().join("data")]);
    criu.dump(host, &tree, &images_of(host), &DumpOptions::default());
    let link = link_in(host.dir());
    await_later_time(&images_of(host));
    Places { link, other: host.dir().join("data.keep") }
}

/// File systems keep time in ticks: waits for one in which nothing of the dump was written.
pub(crate) fn await_later_time(images: &Path) {
    let changed = |path: &Path| fs::metadata(path).and_then(|file| file.modified()).expect("a file's time");
    let (written, probe) = (changed(&images.join("inventory.img")), images.with_file_name("later"));
    for _ in 0..1_000_000 {
        fs::write(&probe, "x").expect("a file");
        if changed(&probe) > written {
            return;
        }
    }
    panic!("the time of files stands still");
}

fn is_there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}
