// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One entry that CRIU would not have written so, in the images of a real dump: what it names is kept, and the rest is
//! removed; with the entry as CRIU wrote it all is removed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use criu_images::{Entry, FileEntry, Framing, ImageReader, Inventory, RegFileEntry, Remap, RemapFilePathEntry};
use handmade::image;
use testkit::{Criu, DumpOptions, IptablesFlavour, LockMethod, Snapshot, TestHost};

use crate::case::{Case, Cases};
use crate::filters::{Filters, make_tables, tables};
use crate::places::images_of;
use crate::tool::{NOTHING, Tool};

inventory::submit!(Cases::with_each_criu(&[
    Case { name: "a link with an entry that CRIU did not write is kept alone", test: link },
    Case { name: "a link that two remaps use, or none as CRIU would, is kept alone", test: remap },
    Case { name: "a connection with an entry that CRIU did not write is kept alone", test: connection },
    Case { name: "an odd link does not keep a table from being removed", test: table },
    Case { name: "a record that is no entry is left out alone", test: record },
    Case { name: "images of an unknown version keep everything, and one that CRIU writes nothing", test: version },
]));

/// A change of what CRIU wrote, and what is said of it.
type Odd<T> = (fn(&mut T), &'static str);

/// A host with a dump of two links and a connection.
struct Dumped<'a> {
    host: &'a TestHost,
    before: Snapshot,
}

impl<'a> Dumped<'a> {
    fn new(criu: &Criu, host: &'a TestHost, lock: LockMethod) -> Self {
        make_tables(host, None, IptablesFlavour::Nft);
        let [one, two] = ["one", "two"].map(|name| host.dir().join(name));
        let tree = host.start_workload(&[&"deleted", &one, &"deleted", &two, &"listen-connect", &"127.0.0.1:0"]);
        let before = Tool::on(host).snapshot();
        criu.dump(host, &tree, &images_of(host), &DumpOptions { lock, ..DumpOptions::default() });
        let dumped = Dumped { host, before };
        assert_eq!((dumped.links().len(), dumped.is_locked()), (2, true), "void");
        dumped
    }

    fn links(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.host.dir()).expect("a directory").flatten().map(|entry| entry.path());
        entries.filter(|path| path.to_string_lossy().contains("/link_remap.")).collect()
    }

    fn drops(&self) -> usize {
        Filters::of_host(self.host, IptablesFlavour::Nft).drops("iptables").len()
    }

    fn is_locked(&self) -> bool {
        self.drops() > 0 || !tables(self.host, None).is_empty()
    }

    /// Changes the entries of an image, has what is not odd removed, and with the entries as they were all the rest.
    fn assert_keeps<E: Entry>(&self, change: impl FnOnce(&mut Vec<E>), words: &str, left: (usize, usize)) {
        let path = images_of(self.host).join(E::KIND.file_name(0));
        let whole = fs::read(&path).expect("an image");
        let mut entries: Vec<E> = entries(&path);
        change(&mut entries);
        fs::write(&path, image(Framing::TwoMagics, &entries)).expect("an image");
        self.assert_keeps_once(words, left);
        fs::write(&path, whole).expect("an image");
        self.assert_removes_the_rest();
    }

    fn assert_keeps_once(&self, words: &str, left: (usize, usize)) {
        let tool = Tool::on(self.host);
        let shown = tool.show().join("\n");
        let is_it = |line: &str| line.starts_with("Not known: ") && line.contains(words);
        assert!(shown.lines().any(is_it), "{words}: {shown}");
        assert_eq!(tool.run(&["--show", "--exit-code"]).code(), 1, "{shown}");
        let removed = tool.run(&[]);
        assert_eq!((removed.code(), removed.stderr.as_str()), (1, ""), "{removed}");
        assert!(removed.stdout.lines().any(is_it), "{words}: {removed}");
        assert_eq!((self.links().len(), self.drops()), left, "{removed}");
    }

    fn assert_removes_the_rest(&self) {
        let removed = Tool::on(self.host).run(&[]);
        assert_eq!(removed.code(), 0, "{removed}");
        assert_eq!(Tool::on(self.host).difference_to(&self.before), NOTHING, "{removed}");
    }
}

fn entries<E: Entry>(path: &Path) -> Vec<E> {
    let reader = ImageReader::open(File::open(path).expect("an image")).expect("an image");
    reader.map(|record| record.expect("a record").entry).collect()
}

/// The entry of the first link.
fn first_link(files: &mut [FileEntry]) -> &mut RegFileEntry {
    let is_link = |file: &&mut RegFileEntry| file.name.windows(12).any(|part| part == b"/link_remap.");
    files.iter_mut().filter_map(|file| file.reg.as_deref_mut()).find(is_link).expect("a link")
}

fn link(criu: &Criu) {
    let never = "has a mount, size or mode, which CRIU never writes there; ";
    let changes: [Odd<RegFileEntry>; 5] = [
        (|file| file.mnt_id = Some(7), never),
        (|file| file.mode = Some(0o100_644), never),
        (|file| file.name.extend(b".DEADBEEF"), "is an entry for link remap "),
        (|file| file.name.splice(.., *b"/etc/passwd").for_each(drop), "; /etc/passwd is kept"),
        (|file| file.ext = true, "is an external file; "),
    ];
    for (change, words) in changes {
        let host = TestHost::new();
        let dumped = Dumped::new(criu, &host, LockMethod::Iptables);
        dumped.assert_keeps(|files: &mut Vec<FileEntry>| change(first_link(files)), words, (1, 0));
    }
}

fn remap(criu: &Criu) {
    let changes: [Odd<Vec<RemapFilePathEntry>>; 3] = [
        (|remaps| remaps.push(remaps[0]), " for a second remap (the first: "),
        (|remaps| remaps[0].orig_id = 99_999, "remaps file 99999, which the images do not contain; "),
        (|remaps| remaps[0].remap_type = Some(9), "is a remap of type 9, which this criu-gc does not support"),
    ];
    for (change, words) in changes {
        let host = TestHost::new();
        let dumped = Dumped::new(criu, &host, LockMethod::Iptables);
        let first_link_first = |remaps: &mut Vec<RemapFilePathEntry>| {
            remaps.sort_by_key(|remap| !matches!(remap.remap(), Remap::Linked { .. }));
            change(remaps);
        };
        dumped.assert_keeps(first_link_first, words, (1, 0));
    }
}

fn connection(criu: &Criu) {
    let host = TestHost::new();
    let dumped = Dumped::new(criu, &host, LockMethod::Iptables);
    let change = |files: &mut Vec<FileEntry>| {
        let mut sockets = files.iter_mut().filter_map(|file| file.isk.as_deref_mut());
        sockets.find(|socket| socket.dst_port != 0).expect("a connection").src_addr.clear();
    };
    // Both rules of one end.
    dumped.assert_keeps(change, "is a TCP connection with invalid addresses; its rules, if any, are kept", (0, 2));
}

fn table(criu: &Criu) {
    let host = TestHost::new();
    let dumped = Dumped::new(criu, &host, LockMethod::Nftables);
    dumped.assert_keeps(
        |files: &mut Vec<FileEntry>| first_link(files).mnt_id = Some(7),
        "has a mount, size or mode, which CRIU never writes there",
        (1, 0),
    );
    assert!(!dumped.is_locked());
}

fn record(criu: &Criu) {
    let host = TestHost::new();
    let dumped = Dumped::new(criu, &host, LockMethod::Iptables);
    let path = images_of(&host).join("remap-fpath.img");
    let whole = fs::read(&path).expect("an image");
    // The length of the first record is behind the two magic numbers.
    let mut odd = whole.clone();
    odd[12..14].fill(0xff);
    fs::write(&path, odd).expect("an image");
    // By the shape of its two entries among the files.
    dumped.assert_keeps_once("remap-fpath.img has 1 record that CRIU does not write", (0, 0));
    fs::write(&path, whole).expect("an image");
    dumped.assert_removes_the_rest();
}

fn version(criu: &Criu) {
    for lock in [LockMethod::Iptables, LockMethod::Nftables] {
        let host = TestHost::new();
        let dumped = Dumped::new(criu, &host, lock);
        let path = images_of(&host).join("inventory.img");
        let mut inventory: Inventory = entries::<Inventory>(&path).remove(0);
        let mut write = |version: u32| {
            inventory.img_version = version;
            fs::write(&path, image(Framing::OneMagic, std::slice::from_ref(&inventory))).expect("an image");
        };
        for unknown in [4, 99] {
            write(unknown);
            Tool::on(&host).assert_keeps_everything("unknown-version");
            let said = format!("Not known: inventory.img gives version {unknown} of the image format");
            assert!(Tool::on(&host).show().iter().any(|line| line.starts_with(&said)), "{said}");
        }
        write(3);
        dumped.assert_removes_the_rest();
    }
}
