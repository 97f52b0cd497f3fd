// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Images of dumps that never came to their end, and images that are cut: what they name is found, and what they do
//! not name is said to be unknown.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use testkit::{Criu, DumpOptions, StopPoint, TcpMode, TestHost, Word};

use crate::case::{Case, Cases};
use crate::places::images_of;
use crate::refusals::start_tree_of_all;
use crate::tool::{NOTHING, Tool, make_tables};

inventory::submit!(Cases::with_each_criu(&[
    Case {
        name: "a dump that was killed half-way: what is named is removed, and what is not is unknown",
        test: killed,
    },
    Case {
        name: "a dump that was killed before its images had content is not known to have left nothing",
        test: killed_early,
    },
    Case { name: "a dump that failed left nothing, by its log", test: failed },
    Case { name: "an image that was emptied is named, and nothing is called clean", test: emptied },
    Case {
        name: "what stands before the cut of an image is removed, and what was behind it is unknown",
        test: cut_once,
    },
    Case { name: "images cut within any record never look clean", test: cut_everywhere },
]));

/// So many links that CRIU has written some of their entries when it is killed.
const MANY: usize = 500;

fn killed(criu: &Criu) {
    let host = TestHost::new();
    make_tables(&host, &[]);
    let files: Vec<PathBuf> = (0..MANY).map(|number| host.dir().join(format!("data {number}"))).collect();
    let mut words: Vec<Word<'_>> = files.iter().flat_map(|file| [&"deleted" as Word<'_>, file]).collect();
    words.extend([&"listen-connect" as Word<'_>, &"127.0.0.1:0"]);
    let tree = host.start_workload(&words);
    criu.dump_until(&host, &tree, &images_of(&host), &DumpOptions::default(), StopPoint::Rule(2));
    assert_eq!(links(host.dir()).len(), MANY, "void: criu had not made its links");
    discard_log(&host);
    let tool = Tool::on(&host);
    drop(tree);
    let removed = assert_is_not_clean(&tool, &["Not known: inventory.img is missing: the dump failed or was killed"]);
    let named = removed.lines().filter(|line| line.starts_with("Link remap: ") && line.ends_with("; removed)")).count();
    assert!(0 < named && named < MANY, "void: the images name {named} of {MANY}");
    assert_eq!(links(host.dir()).len(), MANY - named);
}

/// With its log more is known: see `interrupted_dump.rs`.
fn discard_log(host: &TestHost) {
    fs::remove_file(images_of(host).join("dump.log")).expect("a log");
}

/// What is changed now is younger than the log of the dump, which cannot account for it.
fn outlive_log() {
    std::thread::sleep(Duration::from_millis(100));
}

fn killed_early(criu: &Criu) {
    let host = TestHost::new();
    let (tree, _) = start_tree_of_all(&host);
    criu.dump_until(&host, &tree, &images_of(&host), &DumpOptions::default(), StopPoint::Rule(1));
    discard_log(&host);
    drop(tree);
    let tool = Tool::on(&host);
    let before = tool.snapshot();
    let empty = |image| format!("Not known: {image}.img is truncated (at offset 0: the file is empty), so ");
    let [remaps, files] = ["remap-fpath", "files"].map(empty);
    assert_is_not_clean(&tool, &[&remaps, &files, "Not known: inventory.img is missing: "]);
    assert_eq!(tool.difference_to(&before), NOTHING);
}

fn failed(criu: &Criu) {
    let host = TestHost::new();
    let (tree, before) = start_tree_of_all(&host);
    let options = DumpOptions { tcp: TcpMode::Refused, ..DumpOptions::default() };
    assert_eq!(criu.try_dump(&host, &tree, &images_of(&host), &options).code(), 1);
    let tool = Tool::on(&host);
    assert_eq!(tool.difference_to(&before), NOTHING, "void: criu took nothing back");
    let lines = tool.show();
    for start in ["Link remap: /dev/shm/link_remap.", "Note: dump.log says that the dump failed and that CRIU removed"]
    {
        assert!(lines.iter().any(|line| line.starts_with(start)), "{start}: {lines:#?}");
    }
    tool.assert_finds_nothing();
    assert_eq!(tool.difference_to(&before), NOTHING);
    assert_eq!(tree.state(), Some('S'));
}

fn emptied(criu: &Criu) {
    for image in ["remap-fpath.img", "files.img", "inventory.img"] {
        let host = TestHost::new();
        let (tree, _) = start_tree_of_all(&host);
        criu.dump(&host, &tree, &images_of(&host), &DumpOptions::default());
        outlive_log();
        fs::write(images_of(&host).join(image), "").expect("an image");
        let line = format!("Not known: {image} is truncated (at offset 0: the file is empty), so what the rest names");
        assert_is_not_clean(&Tool::on(&host), &[&line]);
    }
}

/// The last remap of two loses its last byte, and so does the entry of its link.
fn cut_once(criu: &Criu) {
    let host = TestHost::new();
    let (one, two) = (host.dir().join("one"), host.dir().join("two"));
    let tree = host.start_workload(&[&"deleted", &one, &"deleted", &two]);
    criu.dump(&host, &tree, &images_of(&host), &DumpOptions::default());
    discard_log(&host);
    let [first, second] = <[PathBuf; 2]>::try_from(links(host.dir())).expect("void: not two links");
    let cut = |image: &str, end: &dyn Fn(&[u8]) -> usize| {
        let image = images_of(&host).join(image);
        let bytes = fs::read(&image).expect("an image");
        fs::write(&image, &bytes[..end(&bytes)]).expect("an image");
    };
    let name = second.as_os_str().as_encoded_bytes();
    let at_link = |bytes: &[u8]| bytes.windows(name.len()).position(|window| window == name).expect("a link") + 1;
    cut("files.img", &at_link);
    cut("remap-fpath.img", &|bytes| bytes.len() - 1);
    let said = ["remap-fpath", "files"].map(|image| format!("Not known: {image}.img is truncated (at "));
    let removed = assert_is_not_clean(&Tool::on(&host), &[&said[0], &said[1]]);
    assert!(removed.contains(&format!("Link remap: {} -> {} (", first.display(), one.display())), "{removed}");
    assert_eq!(links(host.dir()), [second]);
}

fn cut_everywhere(criu: &Criu) {
    let host = TestHost::new();
    let (tree, _) = start_tree_of_all(&host);
    criu.dump(&host, &tree, &images_of(&host), &DumpOptions::default());
    outlive_log();
    for image in ["inventory.img", "remap-fpath.img", "files.img", "pstree.img"] {
        let bytes = fs::read(images_of(&host).join(image)).expect("an image");
        let cuts: Vec<PathBuf> = (0..bytes.len()).map(|length| copy_with_cut(&host, image, &bytes[..length])).collect();
        let first = Tool::new(&host, &cuts[0]);
        let before = first.snapshot();
        let tool = cuts[1..].iter().fold(first, |tool, cut| tool.option("-D", cut));
        let shown = tool.run(&["--show", "--json"]);
        assert!((0..=2).contains(&shown.code()), "{image}: {}", shown.stderr);
        let document: Value = serde_json::from_str(&shown.stdout).expect("one JSON document");
        let checkpoints = document["checkpoints"].as_array().expect("checkpoints");
        assert_eq!(checkpoints.len(), cuts.len());
        // What an image named before it was cut between two records can be told from others, but not all of it; and the
        // links wholly, by the shape of their entries among the files.
        let may_be_whole = image != "inventory.img";
        let borders = if may_be_whole { borders(&bytes) } else { Vec::new() };
        for (length, checkpoint) in checkpoints.iter().enumerate().filter(|(length, _)| !borders.contains(length)) {
            let is_unsure = |name: &str| checkpoint[name].as_array().is_some_and(|sentences| !sentences.is_empty());
            let is_told = checkpoint["error"].is_string() || is_unsure("cannot_be_known");
            assert!(is_told, "{image} cut to {length} of {} bytes: {checkpoint:#}", bytes.len());
        }
        for checkpoint in borders.iter().filter_map(|length| checkpoints.get(*length)) {
            let objects = checkpoint["objects"].as_array().expect("objects");
            let named = objects.iter().filter(|object| object["kind"] == "link-remap").count();
            assert!(image != "remap-fpath.img" || named == 2, "{image}: {named} links: {checkpoint:#}");
        }
        assert_eq!(tool.difference_to(&before), NOTHING);
    }
}

/// Where the records of an image begin and end.
fn borders(bytes: &[u8]) -> Vec<usize> {
    const COMMON_MAGIC: u32 = 0x5456_4319;
    let word = |at: usize| bytes.get(at..at + 4).map(|word| u32::from_le_bytes(word.try_into().expect("four bytes")));
    let mut borders = vec![if word(0) == Some(COMMON_MAGIC) { 8 } else { 4 }];
    while let Some(length) = borders.last().and_then(|last| word(*last)) {
        borders.push(borders[borders.len() - 1] + 4 + length as usize);
    }
    borders
}

/// The images with one of them cut; a large one is never among those that are copied.
fn copy_with_cut(host: &TestHost, image: &str, bytes: &[u8]) -> PathBuf {
    let copy = host.dir().with_file_name(format!("{image} of {}", bytes.len()));
    fs::create_dir(&copy).expect("a new directory");
    for entry in fs::read_dir(images_of(host)).expect("images").flatten() {
        fs::hard_link(entry.path(), copy.join(entry.file_name())).expect("an image");
    }
    fs::remove_file(copy.join(image)).and_then(|()| fs::write(copy.join(image), bytes)).expect("an image");
    copy
}

/// `--show` succeeds and says this, each at the start of a line; gc says it too, has status 1, and gives its output.
/// Nothing of that calls the checkpoint clean.
fn assert_is_not_clean(tool: &Tool<'_>, starts: &[&str]) -> String {
    let shown = tool.show().join("\n");
    assert_eq!(tool.run(&["--show", "--exit-code"]).code(), 1, "{shown}");
    let removed = tool.run(&[]);
    assert_eq!((removed.code(), removed.stderr.as_str()), (1, ""), "{}", removed.stdout);
    for text in [&shown, &removed.stdout] {
        assert!(!text.contains("Nothing is left"), "{text}");
        for start in starts {
            assert!(text.lines().any(|line| line.starts_with(start)), "{start}: {text}");
        }
    }
    removed.stdout
}

/// The link remaps in a directory, by ascending number.
pub(crate) fn links(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("a directory").flatten().map(|entry| entry.path());
    let number = |path: &PathBuf| path.to_str()?.rsplit_once("/link_remap.")?.1.parse::<u32>().ok();
    let mut links: Vec<PathBuf> = entries.filter(|path| number(path).is_some()).collect();
    links.sort_by_key(number);
    links
}
