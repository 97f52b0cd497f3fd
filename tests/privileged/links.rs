// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Link remaps of trees that share the host's mount namespace.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use base64::Engine;
use testkit::{Criu, DumpOptions, TestHost, Word, Workload};

use crate::case::{Case, Cases};
use crate::tool::{Tool, make_tables};

inventory::submit!(Cases::with_each_criu(&[
    Case { name: "a link remap on the host is removed", test: on_the_host },
    Case { name: "each of two link remaps of one inode is removed", test: opened_twice },
    Case { name: "the link remap of a FIFO is removed", test: fifo },
    Case { name: "a link remap that is a symbolic link is removed and not followed", test: symlink },
    Case {
        name: "the link remap of a file in a deleted directory is removed from the directory above",
        test: directory,
    },
    Case { name: "the link remap of a POSIX semaphore is removed from /dev/shm", test: semaphore },
    Case { name: "names of any bytes take one line each, and are base64 in JSON where they are no text", test: names },
    Case { name: "link remaps with names and paths as long as can be are removed", test: long_names },
    Case { name: "a link remap that is the last name of its file is removed, and what that frees is told", test: last },
    Case { name: "a link remap is removed while somebody has the file open by its other name", test: in_use },
    Case { name: "a link remap whose directory went after the dump is gone", test: without_directory },
]));

fn on_the_host(criu: &Criu) {
    let host = TestHost::new();
    make_tables(&host, &[]);
    let file = host.dir().join("data");
    let lines = assert_removes_links(criu, &host, &[&"deleted", &file], 1);
    let start = format!("Link remap: {}/link_remap.", host.dir().display());
    let end = format!(" -> {} (41 bytes, 1 other name; to be removed)", file.display());
    assert!(lines[0].starts_with(&start) && lines[0].ends_with(&end), "{lines:#?}");
}

fn opened_twice(criu: &Criu) {
    let host = TestHost::new();
    let file = host.dir().join("data");
    let lines = assert_removes_links(criu, &host, &[&"deleted-twice", &file], 2);
    let end = format!(" -> {} (41 bytes, 2 other names; to be removed)", file.display());
    assert!(lines[0] != lines[1] && lines.iter().take(2).all(|line| line.ends_with(&end)), "{lines:#?}");
}

fn fifo(criu: &Criu) {
    let host = TestHost::new();
    let file = host.dir().join("fifo");
    let lines = assert_removes_links(criu, &host, &[&"fifo-deleted", &file], 1);
    assert!(lines[0].contains(&format!(" -> {} (0 bytes", file.display())), "{lines:#?}");
}

fn symlink(criu: &Criu) {
    let host = TestHost::new();
    // What the workload's symbolic link points to; without it whoever follows would find nothing, and do no harm.
    fs::write(host.dir().join("where nothing is"), "precious").expect("a new file");
    let lines = assert_removes_links(criu, &host, &[&"symlink-deleted", &host.dir().join("symlink")], 1);
    assert!(lines[0].contains("(16 bytes"), "the size is not that of the link itself: {lines:#?}");
}

fn directory(criu: &Criu) {
    let host = TestHost::new();
    let file = host.dir().join("directory/data");
    let lines = assert_removes_links(criu, &host, &[&"deleted-dir", &file], 1);
    let start = format!("Link remap: {}/link_remap.", host.dir().display());
    assert!(lines[0].starts_with(&start), "{lines:#?}");
    assert!(lines[0].contains(&format!(" -> {} (", file.display())), "{lines:#?}");
}

fn semaphore(criu: &Criu) {
    let host = TestHost::new();
    let lines = assert_removes_links(criu, &host, &[&"semaphore", &"name"], 1);
    assert!(lines[0].starts_with("Link remap: /dev/shm/link_remap."), "{lines:#?}");
    assert!(host.path("/dev/shm/sem.name").exists());
}

/// Directory names that would break lines, columns, terminals or decoders.
const NAMES: [&[u8]; 5] =
    [b"two  spaces (deleted)", b"new\nline", b"escape\x1b[2J\r\x07", b"no text \xff\xfe", b"' \"$(reboot)\" `*'"];

fn names(criu: &Criu) {
    let host = TestHost::new();
    let files = NAMES.map(|name| host.dir().join(OsStr::from_bytes(name)).join(OsStr::from_bytes(name)));
    for file in &files {
        fs::create_dir(file.parent().expect("a directory")).expect("a new directory");
    }
    let words: Vec<Word<'_>> = files.iter().flat_map(|file| [&"deleted" as Word<'_>, file]).collect();
    let tree = host.start_workload(&words);
    let images = images_of(&host);
    let tool = Tool::new(&host, &images);
    let before = tool.snapshot();
    criu.dump(&host, &tree, &images, &DumpOptions::default());
    assert_json_names(&tool, &files);
    let lines = tool.assert_removes_everything_since(&before);
    assert_eq!(lines.len(), NAMES.len() + 1, "not one line an object and one for all: {lines:#?}");
    assert!(lines.iter().all(|line| !line.contains(char::is_control)), "{lines:#?}");
}

/// The longest name of a directory, and a path nearly as long as one can be opened by: the pictures of the host put
/// `/proc/PID/root` before it, and the file's other name ends in `.keep`.
fn long_names(criu: &Criu) {
    const LONGEST: usize = 4095 - "/proc/1234567/root".len() - "/link_remap.1234".len();
    let host = TestHost::new();
    let mut directory = host.dir().to_owned();
    while directory.as_os_str().len() + 256 < LONGEST {
        directory.push("d".repeat(255));
    }
    directory.push("e".repeat(LONGEST - directory.as_os_str().len() - 1));
    fs::create_dir_all(&directory).expect("new directories");
    let file = directory.join("f");
    let lines = assert_removes_links(criu, &host, &[&"deleted", &file], 1);
    assert!(lines[0].contains(&format!(" -> {} (", file.display())), "{lines:#?}");
}

fn assert_json_names(tool: &Tool<'_>, files: &[PathBuf]) {
    let mut found: Vec<Vec<u8>> = tool.show_objects().iter().map(|object| decoded(&object["original"])).collect();
    let mut expected: Vec<Vec<u8>> = files.iter().map(|file| file.as_os_str().as_bytes().to_vec()).collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
}

/// The bytes of a name in JSON, which has to say which of the two encodings it is in, and no other.
fn decoded(name: &serde_json::Value) -> Vec<u8> {
    let fields = name.as_object().expect("an object");
    assert_eq!(fields.len(), 1, "{name}");
    match (name["text"].as_str(), name["bytes"].as_str()) {
        (Some(text), None) => text.as_bytes().to_vec(),
        (None, Some(bytes)) => {
            let bytes = base64::engine::general_purpose::STANDARD.decode(bytes).expect("base64");
            assert!(std::str::from_utf8(&bytes).is_err(), "text that is not given as text: {name}");
            bytes
        }
        _ => panic!("neither text nor bytes: {name}"),
    }
}

fn last(criu: &Criu) {
    let host = TestHost::new();
    let file = host.dir().join("data");
    let tree = host.start_workload(&[&"deleted", &file]);
    // In another directory, so that its removal does not look like the making of a new link.
    let other = host.dir().with_file_name("the other name");
    fs::rename(host.dir().join("data.keep"), &other).expect("the other name");
    let images = images_of(&host);
    let tool = Tool::new(&host, &images);
    let before = tool.snapshot();
    criu.dump(&host, &tree, &images, &DumpOptions::default());
    fs::remove_file(other).expect("the other name");
    let frees = tool.show_objects()[0]["frees_bytes"].as_u64();
    let lines = tool.assert_removes_everything_since(&before);
    assert!(lines[0].ends_with("(41 bytes, its last name; to be removed)"), "{lines:#?}");
    let summary = format!("1 object: 1 to be removed ({} bytes).", frees.expect("a number"));
    assert!(frees > Some(0) && lines.contains(&summary), "{frees:?} {lines:#?}");
}

fn in_use(criu: &Criu) {
    let host = TestHost::new();
    let file = host.dir().join("data");
    let tree = host.start_workload(&[&"deleted", &file]);
    let other = host.start_workload(&[&"open", &host.dir().join("data.keep")]);
    assert_removes_links_of(criu, &host, &tree, 1);
    assert_eq!(other.state(), Some('S'));
}

fn without_directory(criu: &Criu) {
    let host = TestHost::new();
    let directory = host.dir().join("directory");
    fs::create_dir(&directory).expect("a new directory");
    let tree = host.start_workload(&[&"deleted", &directory.join("data")]);
    let images = images_of(&host);
    criu.dump(&host, &tree, &images, &DumpOptions::default());
    fs::remove_dir_all(directory).expect("a directory");
    let tool = Tool::new(&host, &images);
    let lines = tool.show();
    assert!(lines[0].ends_with(" (gone)"), "{lines:#?}");
    tool.assert_finds_nothing();
}

/// Dumps a tree of the host, and removes what that left: this many link remaps. Gives the lines of `--show`.
fn assert_removes_links(criu: &Criu, host: &TestHost, words: &[Word<'_>], count: usize) -> Vec<String> {
    assert_removes_links_of(criu, host, &host.start_workload(words), count)
}

fn assert_removes_links_of(criu: &Criu, host: &TestHost, tree: &Workload, count: usize) -> Vec<String> {
    let images = images_of(host);
    let tool = Tool::new(host, &images);
    let before = tool.snapshot();
    criu.dump(host, tree, &images, &DumpOptions::default());
    let left = tool.difference_to(&before);
    let is_link = |line: &&String| line.contains("+ ") && line.contains("link_remap.");
    assert_eq!(left.iter().filter(is_link).count(), count, "void: {left:#?}");
    let lines = tool.assert_removes_everything_since(&before);
    assert_eq!(lines.iter().filter(|line| line.starts_with("Link remap: ")).count(), count, "{lines:#?}");
    lines
}

/// Where the tests have the images of a host's dump: outside of what snapshots show.
pub(crate) fn images_of(host: &TestHost) -> PathBuf {
    host.dir().with_file_name("images")
}
