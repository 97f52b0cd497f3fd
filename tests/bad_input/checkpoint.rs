// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A made-up checkpoint with one link remap, and the directory that it is about. It locked no network: these tests run
//! on the machine itself.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use criu_images::{
    Entry, FileEntry, Framing, InetSkEntry, Inventory, MntEntry, PstreeEntry, RegFileEntry, RemapFilePathEntry,
    TaskKobjIds,
};

use crate::image_file::image;

/// The id of the link remap, and of the file that it stands for.
pub(crate) const LINK: u32 = 9;
pub(crate) const ORIGINAL: u32 = 8;

const MODE: u32 = 0o100_644;
const SKIP_LOCK: u32 = 2;

/// Greater than any pid that Linux gives.
const PID: u32 = 4_194_400;

/// What the images say; a test changes one thing.
pub(crate) struct Checkpoint {
    directory: tempfile::TempDir,
    pub(crate) inventory: Inventory,
    pub(crate) files: Vec<FileEntry>,
    pub(crate) remaps: Vec<RemapFilePathEntry>,
    pub(crate) mounts: Vec<MntEntry>,
}

impl Checkpoint {
    /// One in which everything is right. The link remap exists, and is the second name of a file `data.keep`.
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let ids = TaskKobjIds::default().with(|ids| {
            ids.pid_ns_id = Some(1);
            ids.net_ns_id = Some(2);
            ids.mnt_ns_id = Some(3);
        });
        let inventory = Inventory::default().with(|inventory| {
            inventory.img_version = 2;
            inventory.root_ids = Some(ids);
            inventory.network_lock_method = Some(SKIP_LOCK);
        });
        let mut checkpoint =
            Checkpoint { directory, inventory, files: Vec::new(), remaps: Vec::new(), mounts: Vec::new() };
        fs::create_dir(checkpoint.images()).expect("a new directory");
        let data = checkpoint.data();
        fs::create_dir(&data).expect("a new directory");
        fs::write(data.join("data.keep"), "1234").expect("a new file");
        fs::hard_link(data.join("data.keep"), checkpoint.link()).expect("a new link");
        let original = named(ORIGINAL, &data.join("data")).with(|file| {
            file.mode = Some(MODE);
            file.size = Some(4);
        });
        checkpoint.files = vec![regular(named(LINK, &checkpoint.link())), regular(original)];
        checkpoint.remaps = vec![remap(ORIGINAL, LINK)];
        checkpoint
    }

    /// Where the images are.
    pub(crate) fn images(&self) -> PathBuf {
        self.directory.path().join("images")
    }

    /// The directory of the file.
    pub(crate) fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// The link remap.
    pub(crate) fn link(&self) -> PathBuf {
        self.data().join(format!("link_remap.{LINK}"))
    }

    /// The entry of the link remap.
    pub(crate) fn link_entry(&mut self) -> &mut RegFileEntry {
        self.files[0].reg.as_deref_mut().expect("a regular file")
    }

    /// The entry of the file that it stands for.
    pub(crate) fn original_entry(&mut self) -> &mut RegFileEntry {
        self.files[1].reg.as_deref_mut().expect("a regular file")
    }

    /// Gives the tree a mount namespace of its own, with one mount, and the file on it.
    pub(crate) fn mount_at(&mut self, mountpoint: &str) {
        let mount = MntEntry::default().with(|mount| {
            mount.mnt_id = 77;
            mount.root = b"/".into();
            mount.mountpoint = mountpoint.into();
        });
        self.mounts.push(mount);
        self.original_entry().mnt_id = Some(77);
        self.inventory.root_ids.as_mut().expect("ids").mnt_ns_id = Some(1);
    }

    /// Writes the images, each over what has its name.
    pub(crate) fn write(&self) {
        self.write_framed(Framing::TwoMagics);
    }

    /// The same, in the form of some version of CRIU.
    pub(crate) fn write_framed(&self, framing: Framing) {
        let ids = TaskKobjIds::default().with(|ids| {
            ids.pid_ns_id = Some(1);
            ids.net_ns_id = Some(2);
            ids.mnt_ns_id = Some(3);
        });
        let task = PstreeEntry::default().with(|task| {
            task.pid = PID;
            task.pgid = PID;
            task.sid = PID;
        });
        self.write_image(0, framing, std::slice::from_ref(&self.inventory));
        self.write_image(0, framing, &[task]);
        self.write_image(PID, framing, &[ids]);
        self.write_image(0, framing, &self.files);
        self.write_image(0, framing, &self.remaps);
        self.write_image(3, framing, &self.mounts);
    }

    fn write_image<E: Entry>(&self, id: u32, framing: Framing, entries: &[E]) {
        self.write_bytes(&E::KIND.file_name(id), &image(framing, entries));
    }

    /// Puts something else into the place of an image.
    pub(crate) fn write_bytes(&self, name: &str, bytes: &[u8]) {
        fs::write(self.images().join(name), bytes).expect("an image");
    }

    /// Runs `criu-gc -D IMAGES ARGUMENTS`.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_criu-gc"));
        command.arg("-D").arg(self.images()).args(arguments).output().expect("criu-gc")
    }
}

/// A regular file of `files.img`, as it stands in its record.
pub(crate) fn regular(entry: RegFileEntry) -> FileEntry {
    entry.into()
}

/// A socket of `files.img`.
pub(crate) fn socket(entry: InetSkEntry) -> FileEntry {
    entry.into()
}

/// The entry of a file of which nothing but the name is known.
pub(crate) fn named(id: u32, path: &Path) -> RegFileEntry {
    RegFileEntry::default().with(|file| {
        file.id = id;
        file.name = path.as_os_str().as_bytes().to_vec();
    })
}

/// A remap as CRIU writes it since 1.4.
pub(crate) fn remap(orig_id: u32, remap_id: u32) -> RemapFilePathEntry {
    RemapFilePathEntry::default().with(|remap| {
        remap.orig_id = orig_id;
        remap.remap_id = remap_id;
        remap.remap_type = Some(0);
    })
}

/// Where the record of this number begins in an image.
pub(crate) fn offset<E: Entry>(entries: &[E], number: usize) -> usize {
    image(Framing::TwoMagics, &entries[..number]).len()
}
