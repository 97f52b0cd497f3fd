// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Checkpoints of any size: the images of a real dump, with as many of its entries as are wanted.

use std::fs::{self, File};
use std::io::{BufReader, BufWriter};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use criu_images::{Entry, FileEntry, ImageReader, ImageWriter, Inventory, RemapFilePathEntry};
use testkit::{Container, Criu, DumpOptions, Launch, LockMethod, Network, TestHost, Word};

/// What the files hold that links name.
const CONTENT: &[u8] = b"12345678";

/// Their type and mode: [`Links::make`] sets the latter.
const MODE: u32 = 0o100_644;

/// A real dump.
pub(crate) struct Dumped {
    pub(crate) images: PathBuf,
}

impl Dumped {
    /// A tree with a file that has lost its name, in the host's own namespaces.
    pub(crate) fn small(host: &TestHost) -> Self {
        Dumped::new(host, &[&"deleted", &host.dir().join("data")], LockMethod::Iptables)
    }

    /// A tree with a connection.
    pub(crate) fn connected(host: &TestHost, lock: LockMethod) -> Self {
        Dumped::new(host, &[&"listen-connect", &"127.0.0.1:0"], lock)
    }

    /// A container with namespaces of its own, of which the network has a name.
    pub(crate) fn container(host: &TestHost) -> (Self, PathBuf) {
        let container = Container::new(host, "container");
        let data = container.root().join("data");
        fs::create_dir(&data).expect("a new directory");
        let launch = Launch::new(&[&"deleted", &"/data/file"]).container(&container);
        let tree = launch.network(Network::Named(host.make_net_namespace("container"))).start(host);
        let images = host.dir().with_file_name("container-images");
        Criu::newest().dump(host, &tree, &images, &DumpOptions::default());
        (Dumped { images }, data)
    }

    fn new(host: &TestHost, words: &[Word<'_>], lock: LockMethod) -> Self {
        let tree = host.start_workload(words);
        let images = host.dir().with_file_name("images");
        Criu::newest().dump(host, &tree, &images, &DumpOptions { lock, ..DumpOptions::default() });
        Dumped { images }
    }

    pub(crate) fn inventory(&self) -> Inventory {
        read(&self.images.join("inventory.img")).pop().expect("an inventory")
    }

    /// The same dump with these connections instead of its own.
    pub(crate) fn with_connections(&self, at: &Path, connections: &[(SocketAddrV4, SocketAddrV4)]) {
        self.copy(at);
        let mut files: Vec<FileEntry> = read(&self.images.join("files.img"));
        let is_connection = |file: &FileEntry| file.isk.as_ref().is_some_and(|socket| socket.dst_port != 0);
        let like = files.iter().find(|file| is_connection(file)).expect("a connection").clone();
        files.retain(|file| file.isk.is_none());
        for (number, (local, peer)) in (100..).zip(connections) {
            let mut file = like.clone();
            file.id = number;
            let socket = file.isk.as_mut().expect("a socket");
            (socket.id, socket.ino) = (number, 5_000_000 + number);
            (socket.src_port, socket.dst_port) = (local.port().into(), peer.port().into());
            (socket.src_addr, socket.dst_addr) = (vec![word(*local.ip())], vec![word(*peer.ip())]);
            files.push(file);
        }
        write(&at.join("files.img"), &files);
    }

    /// The same dump with other links: `(original, link)` as the images name them.
    pub(crate) fn with_links(&self, at: &Path, links: &[(PathBuf, PathBuf)]) {
        self.copy(at);
        let mut files: Vec<FileEntry> = read(&self.images.join("files.img"));
        let is_link = |file: &FileEntry| {
            file.reg.as_ref().is_some_and(|file| file.name.windows(11).any(|part| part == b"link_remap."))
        };
        let remap = read::<RemapFilePathEntry>(&self.images.join("remap-fpath.img"))[0];
        let link = files.iter().find(|file| is_link(file)).expect("a link").clone();
        let original = files.iter().find(|file| file.id == remap.orig_id).expect("an original").clone();
        files.retain(|file| file.id != link.id && file.id != original.id);
        let mut remaps = Vec::new();
        for (number, (of, name)) in (100_u32..).step_by(2).zip(links) {
            files.push(named(&link, number + 1, name));
            // Of the link itself CRIU writes neither.
            let mut original = named(&original, number, of);
            let regular = original.reg.as_mut().expect("a regular file");
            (regular.size, regular.mode) = (Some(CONTENT.len() as u64), Some(MODE));
            files.push(original);
            let mut remap = remap;
            (remap.orig_id, remap.remap_id) = (number, number + 1);
            remaps.push(remap);
        }
        write(&at.join("files.img"), &files);
        write(&at.join("remap-fpath.img"), &remaps);
    }

    /// A copy without the memory of the tree.
    pub(crate) fn copy(&self, at: &Path) {
        fs::create_dir_all(at).expect("a directory");
        for entry in fs::read_dir(&self.images).expect("the images").flatten() {
            if !entry.file_name().as_bytes().starts_with(b"pages-") && entry.path().is_file() {
                fs::copy(entry.path(), at.join(entry.file_name())).expect("an image");
            }
        }
    }
}

/// Links of files that have another name, `N.kept`, by which they can be made again.
pub(crate) struct Links(Vec<(PathBuf, PathBuf)>);

impl Links {
    /// So many in each of some directories of the host, which the images name in another way. The second value is what
    /// [`Dumped::with_links`] takes.
    pub(crate) fn make(
        directories: &[(PathBuf, PathBuf)],
        each: usize,
        content: &[u8],
    ) -> (Self, Vec<(PathBuf, PathBuf)>) {
        let (mut made, mut named) = (Vec::new(), Vec::new());
        let mut number = 101;
        for (here, there) in directories {
            fs::create_dir_all(here).expect("a directory");
            for _ in 0..each {
                let (kept, link) = (here.join(format!("{number}.kept")), format!("link_remap.{number}"));
                fs::write(&kept, content).expect("a file");
                fs::set_permissions(&kept, fs::Permissions::from_mode(MODE & 0o7777)).expect("a file of ours");
                named.push((there.join(format!("file-{number}")), there.join(&link)));
                made.push((kept, here.join(link)));
                number += 2;
            }
        }
        let links = Links(made);
        links.restore();
        (links, named)
    }

    /// With the content that the originals of a dump of ours have.
    pub(crate) fn of_dump(directories: &[(PathBuf, PathBuf)], each: usize) -> (Self, Vec<(PathBuf, PathBuf)>) {
        Links::make(directories, each, CONTENT)
    }

    /// Makes those again that are not there.
    pub(crate) fn restore(&self) {
        for (kept, link) in &self.0 {
            match fs::hard_link(kept, link) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => panic!("{}: {error}", link.display()),
            }
        }
    }

    pub(crate) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().map(|(_, link)| link.as_path())
    }
}

/// Makes images as old as if they had just been dumped.
pub(crate) fn touch(images: &Path) {
    for image in fs::read_dir(images).expect("the images").flatten() {
        let image = File::options().write(true).open(image.path()).expect("an image");
        image.set_modified(SystemTime::now()).expect("an image of ours");
    }
}

fn named(like: &FileEntry, id: u32, name: &Path) -> FileEntry {
    let mut file = like.clone();
    file.id = id;
    let regular = file.reg.as_mut().expect("a regular file");
    (regular.id, regular.name) = (id, name.as_os_str().as_bytes().to_vec());
    file
}

fn word(address: Ipv4Addr) -> u32 {
    u32::from_ne_bytes(address.octets())
}

fn read<E: Entry>(path: &Path) -> Vec<E> {
    let image = BufReader::new(File::open(path).expect("an image"));
    ImageReader::open(image).expect("an image").map(|record| record.expect("a record").entry).collect()
}

pub(crate) fn write<E: Entry>(path: &Path, entries: &[E]) {
    let mut writer = ImageWriter::new(BufWriter::new(File::create(path).expect("an image"))).expect("an image");
    entries.iter().for_each(|entry| writer.write(entry).expect("an image"));
}
