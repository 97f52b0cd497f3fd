// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Images and rules as versions of CRIU wrote them that do not run any more: made of real dumps.

use std::fs::{self, File};
use std::path::Path;

use criu_images::{
    Entry, FileEntry, Framing, ImageKind, ImageReader, InetSkEntry, Inventory, RegFileEntry, Remap, RemapFilePathEntry,
};
use handmade::image;
use testkit::{Container, Criu, DumpOptions, IptablesFlavour, Launch, LockMethod, TestHost, Word};

use crate::case::{Case, Cases};
use crate::closed::Closed;
use crate::filters::{self, nft, tables};
use crate::links::images_of;
use crate::tool::{NOTHING, Tool, make_tables};

inventory::submit!(Cases::with_each_criu(&[
    Case { name: "images from before 1.4 lead to the same removal", test: before_1_4 },
    Case { name: "images from before 3.4 of a container lead to the same removal", test: container },
    Case { name: "rules without a mark are removed by images from before 3.4, and by no newer ones", test: unmarked },
    Case {
        name: "a table with the pid's name is removed by images without a run id, and by no others",
        test: pid_table,
    },
    Case { name: "a table with the pid's name that drops another flow is kept", test: foreign_pid_table },
    Case {
        name: "a table with the pid's name in a namespace that nothing ties is kept until that is named",
        test: untied_pid_table,
    },
    Case { name: "a table with the pid's name in another namespace is another dump's", test: other_pid_table },
]));

/// The mark of a ghost file's id before there were types of remap.
const GHOST: u32 = 1 << 31;

/// Also a ghost file, whose id must not be taken for that of a link.
fn before_1_4(criu: &Criu) {
    let host = TestHost::new();
    make_tables(&host, &[]);
    let [data, ghost] = ["data", "ghost"].map(|name| host.dir().join(name));
    let kept = host.dir().join("ghost.keep");
    let words: [Word<'_>; 8] =
        [&"deleted", &data, &"deleted", &ghost, &"remove", &kept, &"listen-connect", &"127.0.0.1:0"];
    let tree = host.start_workload(&words);
    let tool = Tool::new(&host, &images_of(&host));
    let before = tool.snapshot();
    criu.dump(&host, &tree, &images_of(&host), &DumpOptions::default());
    let new_lines = tool.show();
    let old = Old::of(&images_of(&host));
    assert!(old.ghosts > 0, "void: there is no ghost");
    old.write(&images_of(&host));
    let lines = tool.assert_removes_everything_since(&before);
    assert_eq!(lines, new_lines);
}

fn container(criu: &Criu) {
    let host = TestHost::new();
    let container = Container::new(&host, "root");
    let tree = Launch::new(&[&"deleted", &"/tmp/one"]).container(&container).start(&host);
    let tool = Tool::new(&host, &images_of(&host));
    let before = tool.snapshot();
    criu.dump(&host, &tree, &images_of(&host), &DumpOptions::default());
    let new_lines = tool.show();
    Old::of(&images_of(&host)).write(&images_of(&host));
    assert_eq!(tool.assert_removes_everything_since(&before), new_lines);
}

/// CRIU before 2.10 had no exception for its own packets.
fn unmarked(criu: &Criu) {
    for flavour in IptablesFlavour::ALL {
        let host = TestHost::new();
        filters::make_tables(&host, None, flavour);
        let program = match flavour {
            IptablesFlavour::Nft => "iptables-nft",
            IptablesFlavour::Legacy => "iptables-legacy",
        };
        let tree = host.start_workload(&[&"listen-connect", &"127.0.0.1:0"]);
        let tool = Tool::new(&host, &images_of(&host));
        let before = tool.snapshot();
        criu.dump(&host, &tree, &images_of(&host), &DumpOptions { flavour, ..DumpOptions::default() });
        assert_eq!(take_marks_away(&host, program), 4, "void: not both rules of both ends");
        tool.assert_finds_nothing();
        assert_ne!(tool.difference_to(&before), NOTHING);
        Old::of(&images_of(&host)).write(&images_of(&host));
        tool.assert_removes_everything_since(&before);
    }
}

/// Puts a rule without the match of the mark into the place of each; gives how many there are.
fn take_marks_away(host: &TestHost, program: &str) -> usize {
    const MATCH: &str = "-m mark ! --mark 0xc114 ";
    let rules = host.run(program, &[&"-S"]).stdout;
    let marked: Vec<&str> = rules.lines().filter(|rule| rule.contains(MATCH)).collect();
    for rule in &marked {
        let plain = rule.replace(MATCH, "");
        for (action, rule) in [("-D ", *rule), ("-A ", &plain)] {
            let line = rule.replacen("-A ", action, 1);
            let words: Vec<&str> = line.split_whitespace().collect();
            let words: Vec<Word<'_>> = words.iter().map(|word| word as Word<'_>).collect();
            host.run(program, &words);
        }
    }
    marked.len()
}

fn pid_table(criu: &Criu) {
    let host = TestHost::new();
    let (tool, before) = dump_with_pid_table(criu, &host);
    tool.assert_finds_nothing();
    assert_ne!(tool.difference_to(&before), NOTHING, "void: the table is gone");
    forget_run_id(&images_of(&host));
    let lines = tool.assert_removes_everything_since(&before);
    assert!(lines.iter().any(|line| line.starts_with("Network lock table: inet CRIU-")), "{lines:#?}");
}

fn foreign_pid_table(criu: &Criu) {
    let host = TestHost::new();
    let (tool, _) = dump_with_pid_table(criu, &host);
    forget_run_id(&images_of(&host));
    let listing = host.run("nft", &[&"list", &"tables"]).stdout;
    let table = listing.lines().find_map(|line| line.strip_prefix("table inet ")).expect("a table");
    let element = "{ 192.0.2.1 . 1 . 192.0.2.2 . 2 }";
    host.run("nft", &[&"add", &"element", &"inet", &table, &"conns4", &element]);
    tool.assert_keeps_everything("foreign-content");
}

/// The namespace has no device but its loopback, so that nothing but the name leads there.
fn untied_pid_table(criu: &Criu) {
    let host = TestHost::new();
    let closed = Closed::new(&host, IptablesFlavour::Nft);
    let path = closed.namespace.path();
    let tree = closed.start_tree();
    let name = format!("CRIU-{}", tree.pid());
    let before = closed.tool("images").snapshot();
    let options = DumpOptions { lock: LockMethod::Nftables, ..DumpOptions::default() };
    criu.dump(&host, &tree, &images_of(&host), &options);
    rename_table(&host, Some(&path), &name);
    forget_run_id(&images_of(&host));
    let untied = closed.tool("images");
    untied.assert_keeps_everything("untied-namespace");
    let lines = untied.show();
    assert!(lines[0].contains(" -> /run/netns/blue (drops every packet; kept: untied-namespace)"), "{lines:#?}");
    // Nor is it gone where the tool's own network is closed by a table of that name.
    let own = nft(&host, Some(&path), &format!("list table inet {name}"));
    let file = host.dir().with_file_name("own.nft");
    fs::write(&file, own).expect("a new file");
    host.run("nft", &[&"-f", &file]);
    let lines = untied.show();
    assert!(lines.iter().any(|line| line.contains("/run/netns/blue (") && line.contains("kept: ")), "{lines:#?}");
    host.run("nft", &[&"delete", &"table", &"inet", &name]);
    closed.named("images").assert_removes_everything_since(&before);
    closed.named("images").assert_finds_nothing();
    untied.assert_finds_nothing();
}

/// What locks connections is where CRIU ran, if there is one.
fn other_pid_table(criu: &Criu) {
    let host = TestHost::new();
    let elsewhere = host.make_net_namespace("elsewhere");
    let (tool, before) = dump_with_pid_table(criu, &host);
    forget_run_id(&images_of(&host));
    let [name] = &tables(&host, None)[..] else { panic!("void: not one table") };
    nft(&host, Some(&elsewhere.path()), &format!("add table inet {name}"));
    let lines = tool.show();
    assert!(!lines.iter().any(|line| line.contains("elsewhere")), "{lines:#?}");
    assert_eq!(tool.run(&[]).code(), 0);
    // Then nobody knows whether that was all.
    tool.assert_keeps_everything("untied-namespace");
    nft(&host, Some(&elsewhere.path()), &format!("delete table inet {name}"));
    tool.assert_finds_nothing();
    assert_eq!(tool.difference_to(&before), NOTHING);
}

/// A dump whose table has the name that CRIU 3.16 to 4.0 would have given it.
fn dump_with_pid_table<'a>(criu: &Criu, host: &'a TestHost) -> (Tool<'a>, testkit::Snapshot) {
    let tree = host.start_workload(&[&"listen-connect", &"127.0.0.1:0"]);
    let name = format!("CRIU-{}", tree.pid());
    let tool = Tool::new(host, &images_of(host));
    let before = tool.snapshot();
    let options = DumpOptions { lock: LockMethod::Nftables, ..DumpOptions::default() };
    criu.dump(host, &tree, &images_of(host), &options);
    rename_table(host, None, &name);
    (tool, before)
}

/// Gives the one table of family `inet` another name.
fn rename_table(host: &TestHost, namespace: Option<&Path>, name: &str) {
    let names = tables(host, namespace);
    let [real] = &names[..] else { panic!("void: not one table: {names:?}") };
    let content = nft(host, namespace, &format!("list table inet {real}"));
    nft(host, namespace, &format!("delete table inet {real}"));
    nft(host, namespace, &content.replace(real, name));
}

/// The run id came with 4.1. The log has it too, and is not always kept.
fn forget_run_id(images: &Path) {
    let mut inventory: Inventory = entries(images).remove(0);
    inventory.dump_criu_run_id = None;
    write(images, Framing::TwoMagics, &[inventory]);
    fs::remove_file(images.join("dump.log")).expect("the log of a dump");
}

/// What of a dump has another form in old images.
struct Old {
    inventory: Inventory,
    files: Vec<RegFileEntry>,
    sockets: Vec<InetSkEntry>,
    remaps: Vec<RemapFilePathEntry>,
    ghosts: usize,
}

impl Old {
    fn of(images: &Path) -> Self {
        let new: Inventory = entries(images).remove(0);
        let inventory = Inventory::default().with(|inventory| {
            inventory.img_version = 1;
            inventory.root_ids = new.root_ids;
            inventory.ns_per_id = true;
        });
        let entries_of_files: Vec<FileEntry> = entries(images);
        let files = entries_of_files.iter().filter_map(|file| file.reg.as_deref()).cloned();
        // Mount and size came with 1.3, the mode with 2.4; without the mount no container's file could be found.
        let files = files
            .map(|file| {
                file.with(|file| {
                    file.size = file.mnt_id.and(file.size);
                    file.mode = None;
                })
            })
            .collect();
        let sockets = entries_of_files.iter().filter_map(|file| file.isk.as_deref()).cloned().collect();
        let remaps: Vec<RemapFilePathEntry> = entries(images);
        let ghosts = remaps.iter().filter(|remap| matches!(remap.remap(), Remap::Ghost { .. })).count();
        Old { inventory, files, sockets, remaps: remaps.into_iter().map(untyped).collect(), ghosts }
    }

    fn write(&self, images: &Path) {
        fs::remove_file(images.join("files.img")).expect("an image");
        fs::remove_file(images.join("dump.log")).expect("the log of a dump");
        for path in fs::read_dir(images).expect("images").flatten().map(|entry| entry.path()) {
            take_common_magic_away(&path);
        }
        write(images, Framing::OneMagic, std::slice::from_ref(&self.inventory));
        write(images, Framing::OneMagic, &self.files);
        write(images, Framing::OneMagic, &self.sockets);
        write(images, Framing::OneMagic, &self.remaps);
    }
}

/// A remap as it was before 1.4.
fn untyped(remap: RemapFilePathEntry) -> RemapFilePathEntry {
    let remap_id = match remap.remap() {
        Remap::Linked { file_id } => file_id,
        Remap::Ghost { ghost_id } => ghost_id | GHOST,
        other => panic!("{other:?} has no old form"),
    };
    remap.with(|remap| {
        remap.remap_id = remap_id;
        remap.remap_type = None;
    })
}

fn take_common_magic_away(path: &Path) {
    let bytes = fs::read(path).expect("an image");
    let common = ImageKind::Files.head_magic().expect("a common magic number").to_le_bytes();
    if let Some(rest) = bytes.strip_prefix(&common) {
        fs::write(path, rest).expect("an image");
    }
}

fn write<E: Entry>(images: &Path, framing: Framing, entries: &[E]) {
    fs::write(images.join(E::KIND.file_name(0)), image(framing, entries)).expect("an image");
}

/// The entries of an image of which there is one.
fn entries<E: Entry>(images: &Path) -> Vec<E> {
    let Ok(file) = File::open(images.join(E::KIND.file_name(0))) else { return Vec::new() };
    let reader = ImageReader::open(file).expect("an image");
    reader.map(|record| record.expect("a record").entry).collect()
}
