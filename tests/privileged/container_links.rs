// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Link remaps of trees with a mount namespace of their own: found on the host by filesystem, without a hint.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use testkit::{Access, Container, Criu, DumpOptions, Launch, Snapshot, TestHost, Word};

use crate::case::{Case, Cases};
use crate::places::{images_of, link_in, make_directory};
use crate::tool::{NOTHING, Tool};

inventory::submit!(Cases::with_each_criu(&[
    Case { name: "a link remap in a container's root directory is removed", test: root_directory },
    Case { name: "a link remap in a container's volume is removed", test: volume },
    Case { name: "a link remap is removed where the host shows the volume read-only elsewhere", test: read_only },
    Case { name: "a link remap in a /dev/shm that a container shares with the host is removed", test: shared_memory },
    Case { name: "a link remap in a container's own tmpfs is gone with it", test: private_tmpfs },
    Case { name: "the link remaps of a container with users of its own are removed", test: user_namespace },
    Case { name: "a link remap in a volume that CRIU found to be external by itself is removed", test: detected },
    Case { name: "link remaps in binds within a container, and in binds of those, are removed", test: inner_binds },
    Case { name: "--external says where a volume of the dump is now", test: external },
    Case { name: "--root says where the container's root directory is now", test: root_option },
    Case { name: "a link remap on a tmpfs that is mounted nowhere is gone with it", test: unmounted },
    Case { name: "a filesystem with the same device number is not the one of the dump", test: reused_device },
]));

fn root_directory(criu: &Criu) {
    let host = TestHost::new();
    let container = Container::new(&host, "root");
    let dump = Dump::new(criu, &host, &container, &[&"deleted", &"/tmp/one", &"deleted-dir", &"/tmp/gone/two"]);
    let lines = dump.tool().assert_removes_everything_since(&dump.before);
    let at = format!("(at {}/tmp/link_remap.", container.root().display());
    for file in ["/tmp/one", "/tmp/gone/two"] {
        let is_told = |line: &String| line.starts_with("Link remap: /tmp/link_remap.") && line.contains(&at);
        assert!(lines.iter().any(|line| is_told(line) && line.contains(&format!(" -> {file} ("))), "{lines:#?}");
    }
}

fn volume(criu: &Criu) {
    let host = TestHost::new();
    let volume = make_directory(&host, "volume");
    let container = Container::new(&host, "root").bind(&volume, "/data".as_ref(), Access::ReadWrite);
    let container = container.bind(&volume, "/again".as_ref(), Access::ReadOnly);
    let dump = Dump::new(criu, &host, &container, &[&"deleted", &"/data/one"]);
    let lines = dump.tool().assert_removes_everything_since(&dump.before);
    assert_is_at(&lines, &volume);
}

/// The read-only mount comes first in the host's table, where a search that takes the first one meets it.
fn read_only(criu: &Criu) {
    let host = TestHost::new();
    let (shown, volume) = (make_directory(&host, "shown"), make_directory(&host, "volume"));
    mount_tmpfs(&host, &shown);
    bind(&host, &shown, &volume);
    host.run("mount", &[&"-o", &"remount,bind,ro", &shown]);
    let dump = Dump::with_volume(criu, &host, &volume);
    let lines = dump.tool().assert_removes_everything_since(&dump.before);
    assert_is_at(&lines, &volume);
}

fn shared_memory(criu: &Criu) {
    let host = TestHost::new();
    let shared = Path::new("/dev/shm");
    let container = Container::new(&host, "root").bind(shared, shared, Access::ReadWrite);
    let dump = Dump::new(criu, &host, &container, &[&"semaphore", &"name"]);
    let lines = dump.tool().assert_removes_everything_since(&dump.before);
    assert!(lines[0].starts_with("Link remap: /dev/shm/link_remap."), "{lines:#?}");
    assert!(host.path("/dev/shm/sem.name").exists());
}

fn private_tmpfs(criu: &Criu) {
    let host = TestHost::new();
    let container = Container::new(&host, "root").tmpfs("/dev/shm".as_ref());
    let dump = Dump::new(criu, &host, &container, &[&"semaphore", &"name"]);
    let lines = dump.tool().show();
    assert!(lines[0].starts_with("Link remap: /dev/shm/link_remap."), "void: {lines:#?}");
    assert!(
        lines[0].ends_with(
            " (gone: with its tmpfs, which is no longer mounted; its contents (32 bytes) exist only \
            in the images)"
        ),
        "{lines:#?}"
    );
    dump.tool().assert_finds_nothing();
}

/// Its files belong to users that the host does not have; the links in its root and in a volume do as well.
fn user_namespace(criu: &Criu) {
    const FIRST: u32 = 700_000;
    let host = TestHost::new();
    let volume = make_directory(&host, "volume");
    let container = Container::new(&host, "root").users_from(FIRST);
    container.give(&volume);
    let container = container.bind(&volume, "/data".as_ref(), Access::ReadWrite);
    let dump = Dump::new(criu, &host, &container, &[&"deleted", &"/tmp/one", &"deleted", &"/data/two"]);
    for place in [container.root().join("tmp"), volume.clone()] {
        assert_eq!(fs::symlink_metadata(link_in(&place)).expect("a link").uid(), FIRST, "void");
    }
    dump.tool().assert_removes_everything_since(&dump.before);
}

/// The images have no key of the user's then, and the place on the host instead of the source.
fn detected(criu: &Criu) {
    let host = TestHost::new();
    let volume = make_directory(&host, "volume");
    let container = Container::new(&host, "root").bind(&volume, "/data".as_ref(), Access::ReadWrite);
    let dump = Dump::new(criu, &host, &container.with_detected_mounts(), &[&"deleted", &"/data/one"]);
    assert_is_at(&dump.tool().assert_removes_everything_since(&dump.before), &volume);
}

/// Each file was opened by another mount of the three, and each is on the host where its directory is.
fn inner_binds(criu: &Criu) {
    let host = TestHost::new();
    let volume = make_directory(&host, "volume");
    fs::create_dir(volume.join("sub")).expect("a new directory");
    let container = Container::new(&host, "root")
        .bind(&volume, "/data".as_ref(), Access::ReadWrite)
        .bind_inside("/data/sub".as_ref(), "/again".as_ref())
        .bind_inside("/tmp".as_ref(), "/other".as_ref())
        .bind_inside("/other".as_ref(), "/third".as_ref());
    let words: [Word<'_>; 6] =
        [&"deleted", &"/again/one", &"deleted", &"/other/two", &"deleted-dir", &"/third/gone/three"];
    let dump = Dump::new(criu, &host, &container, &words);
    let lines = dump.tool().assert_removes_everything_since(&dump.before);
    let tmp = container.root().join("tmp");
    for (file, place) in [("/again/one", &volume.join("sub")), ("/other/two", &tmp), ("/third/gone/three", &tmp)] {
        let place = format!("(at {}/link_remap.", place.display());
        let is_told = |line: &&String| line.contains(&format!(" -> {file} (")) && line.contains(&place);
        assert!(lines.iter().any(|line| is_told(&line)), "{file}: {lines:#?}");
    }
}

fn external(criu: &Criu) {
    let host = TestHost::new();
    let (volume, alias) = (make_directory(&host, "volume"), make_directory(&host, "alias"));
    bind(&host, &volume, &alias);
    let dump = Dump::with_volume(criu, &host, &volume);
    let tool = dump.tool().option("--external", format!("mnt[/data]:{}", alias.display()));
    let lines = tool.assert_removes_everything_since(&dump.before);
    assert_is_at(&lines, &alias);
}

fn root_option(criu: &Criu) {
    let host = TestHost::new();
    let container = Container::new(&host, "root");
    let dump = Dump::new(criu, &host, &container, &[&"deleted", &"/tmp/one"]);
    assert_ne!(dump.tool().difference_to(&dump.before), NOTHING, "void: the dump left nothing");
    let moved = host.dir().join("moved");
    fs::rename(container.root(), &moved).expect("the root of a container that is gone");
    let tool = dump.tool().option("--root", moved.clone());
    assert_is_at(&tool.show(), &moved.join("tmp"));
    let removed = tool.run(&[]);
    assert_eq!(removed.code(), 0, "{}{}", removed.stdout, removed.stderr);
    tool.assert_finds_nothing();
    fs::rename(&moved, container.root()).expect("the root of a container that is gone");
    assert_eq!(tool.difference_to(&dump.before), NOTHING, "{}", removed.stdout);
}

fn unmounted(criu: &Criu) {
    let host = TestHost::new();
    let volume = make_directory(&host, "volume");
    mount_tmpfs(&host, &volume);
    let dump = Dump::with_volume(criu, &host, &volume);
    host.run("umount", &[&volume]);
    assert_gone_with_tmpfs(&dump.tool());
}

/// A kernel hands an anonymous device number out again: the next tmpfs often gets that of the last.
fn reused_device(criu: &Criu) {
    let host = TestHost::new();
    let volume = make_directory(&host, "volume");
    mount_tmpfs(&host, &volume);
    let device = device_of(&host, &volume);
    let dump = Dump::with_volume(criu, &host, &volume);
    let link = link_in(&host.path(&volume));
    host.run("umount", &[&volume]);
    for number in 0..256 {
        let place = make_directory(&host, &format!("tmpfs {number}"));
        host.run("mount", &[&"-t", &"tmpfs", &"-o", &"size=8m", &"somebody", &place]);
        if device_of(&host, &place) == device {
            // A link of the very name, as the dump of another container's tree would leave it.
            fs::write(host.path(&place).join(link.file_name().expect("a name")), "precious").expect("a new file");
            assert_gone_with_tmpfs(&dump.tool());
            assert_eq!(fs::read(host.path(&place).join(link.file_name().expect("a name"))).expect("it"), b"precious");
            return;
        }
    }
    // Another test holds the number: what is then to be seen is the same as without the new filesystem.
    assert_gone_with_tmpfs(&dump.tool());
}

/// A container's tree that was dumped, and the host as it was before.
pub(crate) struct Dump<'a> {
    host: &'a TestHost,
    images: PathBuf,
    pub(crate) before: Snapshot,
}

impl<'a> Dump<'a> {
    pub(crate) fn new(criu: &Criu, host: &'a TestHost, container: &Container, words: &[Word<'_>]) -> Self {
        let tree = Launch::new(words).container(container).start(host);
        let images = images_of(host);
        let before = Tool::new(host, &images).snapshot();
        criu.dump(host, &tree, &images, &DumpOptions::default());
        Dump { host, images, before }
    }

    /// A tree with a link remap in the directory, which it has as its volume `/data`.
    pub(crate) fn with_volume(criu: &Criu, host: &'a TestHost, volume: &Path) -> Self {
        let container = Container::new(host, "root").bind(volume, "/data".as_ref(), Access::ReadWrite);
        Self::new(criu, host, &container, &[&"deleted", &"/data/one"])
    }

    pub(crate) fn tool(&self) -> Tool<'a> {
        Tool::new(self.host, &self.images)
    }
}

/// No mount table shows the tmpfs any more, and all of them were read.
pub(crate) fn assert_gone_with_tmpfs(tool: &Tool<'_>) {
    let lines = tool.show();
    assert!(lines[0].contains(" (gone: with its tmpfs, which is no longer mounted"), "{lines:#?}");
    tool.assert_finds_nothing();
}

/// The only object cannot be looked for, and nothing pretends otherwise.
pub(crate) fn assert_not_known(tool: &Tool<'_>, why: &str) {
    let lines = tool.show();
    assert!(lines[0].contains("(not known: cannot be reached: ") && lines[0].contains(why), "{lines:#?}");
    assert_eq!(tool.run(&["--show", "--exit-code"]).code(), 1);
    let before = tool.snapshot();
    let removed = tool.run(&[]);
    assert_eq!(removed.code(), 1, "{}{}", removed.stdout, removed.stderr);
    assert_eq!(tool.difference_to(&before), NOTHING, "{}", removed.stdout);
    assert!(removed.stdout.contains(why) && !removed.stdout.contains("Nothing is left"), "{}", removed.stdout);
}

pub(crate) fn assert_is_at(lines: &[String], directory: &Path) {
    let place = format!("(at {}/link_remap.", directory.display());
    assert!(lines[0].starts_with("Link remap: /") && lines[0].contains(&place), "{lines:#?}");
}

pub(crate) fn mount_tmpfs(host: &TestHost, place: &Path) {
    host.run("mount", &[&"-t", &"tmpfs", &"volume", &place]);
}

pub(crate) fn bind(host: &TestHost, source: &Path, place: &Path) {
    host.run("mount", &[&"--bind", &source, &place]);
}

fn device_of(host: &TestHost, place: &Path) -> u64 {
    fs::metadata(host.path(place)).expect("a mount").dev()
}
