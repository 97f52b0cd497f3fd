// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A made-up checkpoint with one link remap, and the directory that it is about. It locked no network: these tests run
//! on the machine itself.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use criu_images::{
    Entry, FileEntry, Framing, Inventory, MntEntry, PstreeEntry, RegFileEntry, RemapFilePathEntry, TaskKobjIds,
};

use crate::entries::{image, named, regular, remap};

/// The id of the link remap.
pub const LINK: u32 = 9;
/// The id of the file that it stands for.
pub const ORIGINAL: u32 = 8;

const MODE: u32 = 0o100_644;
const SKIP_LOCK: u32 = 2;

/// Greater than any pid that Linux gives.
const PID: u32 = 4_194_400;

/// What the images say; a test changes one thing.
#[derive(Debug)]
pub struct Checkpoint {
    program: PathBuf,
    directory: tempfile::TempDir,
    /// The entry of `inventory.img`.
    pub inventory: Inventory,
    /// Those of `files.img`.
    pub files: Vec<FileEntry>,
    /// Those of `remap-fpath.img`.
    pub remaps: Vec<RemapFilePathEntry>,
    /// Those of `mountpoints-3.img`.
    pub mounts: Vec<MntEntry>,
}

impl Checkpoint {
    /// One in which everything is right, for runs of this criu-gc. The link remap exists, and is the second name of a
    /// file `data.keep`.
    ///
    /// # Panics
    /// If the files cannot be made.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let ids = namespaces();
        let inventory = Inventory::default().with(|inventory| {
            inventory.img_version = 2;
            inventory.root_ids = Some(ids);
            inventory.network_lock_method = Some(SKIP_LOCK);
        });
        let mut checkpoint = Checkpoint {
            program: program.into(),
            directory,
            inventory,
            files: Vec::new(),
            remaps: Vec::new(),
            mounts: Vec::new(),
        };
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
    pub fn images(&self) -> PathBuf {
        self.directory.path().join("images")
    }

    /// The directory of the file.
    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// The link remap.
    pub fn link(&self) -> PathBuf {
        self.data().join(format!("link_remap.{LINK}"))
    }

    /// The entry of the link remap.
    pub fn link_entry(&mut self) -> &mut RegFileEntry {
        self.files[0].reg.as_deref_mut().expect("a regular file")
    }

    /// The entry of the file that it stands for.
    pub fn original_entry(&mut self) -> &mut RegFileEntry {
        self.files[1].reg.as_deref_mut().expect("a regular file")
    }

    /// Gives the tree a mount namespace of its own, with one mount, and the file on it.
    pub fn mount_at(&mut self, mountpoint: &str) {
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
    pub fn write(&self) {
        self.write_framed(Framing::TwoMagics);
    }

    /// The same, in the form of some version of CRIU.
    pub fn write_framed(&self, framing: Framing) {
        let ids = namespaces();
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
    pub fn write_bytes(&self, name: &str, bytes: &[u8]) {
        fs::write(self.images().join(name), bytes).expect("an image");
    }

    /// Runs `criu-gc -D IMAGES ARGUMENTS`.
    pub fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(&self.program);
        command.arg("-D").arg(self.images()).args(arguments).output().expect("criu-gc")
    }
}

/// Those of CRIU and of the tree: the same.
fn namespaces() -> TaskKobjIds {
    TaskKobjIds::default().with(|ids| {
        ids.pid_ns_id = Some(1);
        ids.net_ns_id = Some(2);
        ids.mnt_ns_id = Some(3);
    })
}
