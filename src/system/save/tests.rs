// SPDX-License-Identifier: Apache-2.0 OR MIT

use std::ffi::CString;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};

use super::*;
use crate::time::Timestamp;

/// A directory with a file, and one to save it in.
struct Scene(tempfile::TempDir);

impl Scene {
    fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir(place.path().join("into")).unwrap();
        Scene(place)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn pin(&self, name: &str) -> Pinned {
        Directory::open(self.0.path()).unwrap().pin(OsStr::new(name)).unwrap().unwrap()
    }

    fn destination(&self) -> Directory {
        Directory::open(&self.path("into")).unwrap()
    }

    /// What `save` does where no hard link is possible.
    fn make_anew(&self, name: &str) -> Result<Vec<ExtendedAttribute>, FileError> {
        let (file, into) = (self.pin(name), self.destination());
        let attributes = Attributes::of(&file, file.path())?;
        let part = NewEntry::make(&file, &attributes, &into, OsStr::new("saved"))?;
        if attributes.file_type() == FileType::RegularFile {
            let _ = content::copy(&file, &part.fd).map_err(failed("copy into", &part.path()))?;
        }
        let refused = attributes.give_to(&part.fd, &file).map_err(failed("give", &part.path()))?;
        part.finish(OsStr::new("saved"))?;
        Ok(refused)
    }

    fn names(&self) -> Vec<Vec<u8>> {
        self.destination().names().unwrap()
    }
}

#[test]
fn the_open_inode_is_saved_whatever_has_its_name() {
    let scene = Scene::new();
    fs::write(scene.path("file"), "held").unwrap();
    let held = scene.pin("file");
    fs::rename(scene.path("file"), scene.path("elsewhere")).unwrap();
    fs::write(scene.path("file"), "other").unwrap();
    let saved = save(&held, &scene.destination(), OsStr::new("saved")).unwrap();
    assert_eq!(saved.method, Method::HardLink);
    assert_eq!(fs::read_to_string(scene.path("into/saved")).unwrap(), "held");
}

#[test]
fn a_symbolic_link_is_saved_itself() {
    let scene = Scene::new();
    fs::write(scene.path("target"), "").unwrap();
    std::os::unix::fs::symlink("target", scene.path("link")).unwrap();
    let linked = save(&scene.pin("link"), &scene.destination(), OsStr::new("linked")).unwrap();
    assert_eq!(linked.method, Method::HardLink);
    let _ = scene.make_anew("link").unwrap();
    for name in ["into/linked", "into/saved"] {
        assert_eq!(fs::read_link(scene.path(name)).unwrap(), Path::new("target"));
    }
    assert_eq!(fs::metadata(scene.path("target")).unwrap().nlink(), 1, "the link was followed");
}

#[test]
fn an_entry_that_exists_is_not_replaced() {
    let scene = Scene::new();
    fs::write(scene.path("file"), "new").unwrap();
    fs::write(scene.path("into/saved"), "old").unwrap();
    let linked = save(&scene.pin("file"), &scene.destination(), OsStr::new("saved"));
    assert_eq!(linked.unwrap_err().source, Errno::EXIST);
    assert_eq!(scene.make_anew("file").unwrap_err().source, Errno::EXIST);
    assert_eq!(fs::read_to_string(scene.path("into/saved")).unwrap(), "old");
    assert_eq!(scene.names(), [b"saved".to_vec()], "something unfinished stayed");
    fs::rename(scene.path("into/saved"), scene.path("into/saved.part")).unwrap();
    assert_eq!(scene.make_anew("file").unwrap_err().source, Errno::EXIST);
    assert_eq!(fs::read_to_string(scene.path("into/saved.part")).unwrap(), "old");
}

#[test]
fn a_copy_has_the_mode_the_times_and_the_attributes() {
    let scene = Scene::new();
    fs::write(scene.path("file"), "content").unwrap();
    rustix::fs::chmod(scene.path("file"), Mode::from_raw_mode(0o4751)).unwrap();
    let name = CString::new("user.criu-gc").unwrap();
    let takes_attributes =
        rustix::fs::setxattr(scene.path("file"), &name, b"\0value", rustix::fs::XattrFlags::empty()).is_ok();
    let time = |seconds, nanoseconds| rustix::fs::Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    let times = rustix::fs::Timestamps { last_access: time(5, 6), last_modification: time(1_000_000_007, 123_456_789) };
    rustix::fs::utimensat(CWD, scene.path("file"), &times, AtFlags::empty()).unwrap();
    let before = Attributes::of(scene.pin("file"), Path::new("file")).unwrap();
    assert_eq!(scene.make_anew("file").unwrap(), []);
    let saved = Attributes::of(File::open(scene.path("into/saved")).unwrap(), Path::new("saved")).unwrap();
    assert_eq!(Attributes { changed: before.changed, ..saved }, before);
    assert_eq!((saved.mode & 0o7777, saved.modified), (0o4751, Timestamp::new(1_000_000_007, 123_456_789)));
    assert_eq!(Attributes::of(scene.pin("file"), Path::new("file")).unwrap(), before, "the file was changed");
    if takes_attributes {
        let mut value = [0; 16];
        let length = rustix::fs::getxattr(scene.path("into/saved"), &name, &mut value[..]).unwrap();
        assert_eq!(&value[..length], b"\0value");
    }
}

#[test]
fn holes_stay_holes() {
    const SIZE: u64 = 256 << 20;
    let scene = Scene::new();
    let file = File::create(scene.path("file")).unwrap();
    for (place, text) in [(0, "head"), (100 << 20, "middle"), (SIZE - 4, "tail")] {
        file.write_all_at(text.as_bytes(), place).unwrap();
    }
    assert_eq!(scene.make_anew("file").unwrap(), []);
    let saved = File::open(scene.path("into/saved")).unwrap();
    let metadata = saved.metadata().unwrap();
    assert_eq!(metadata.len(), SIZE);
    assert!(metadata.blocks() * 512 < 1 << 20, "{} blocks", metadata.blocks());
    let mut text = [0; 6];
    saved.read_exact_at(&mut text, 100 << 20).unwrap();
    assert_eq!(&text, b"middle");
    saved.read_exact_at(&mut text[..4], SIZE - 4).unwrap();
    assert_eq!(&text[..4], b"tail");
}

#[test]
fn a_hole_at_the_end_and_an_empty_file_keep_their_size() {
    for (text, size) in [("", 0), ("", 1 << 30), ("begin", 1 << 30)] {
        let scene = Scene::new();
        fs::write(scene.path("file"), text).unwrap();
        File::options().write(true).open(scene.path("file")).unwrap().set_len(size).unwrap();
        let _ = scene.make_anew("file").unwrap();
        assert_eq!(fs::metadata(scene.path("into/saved")).unwrap().len(), size);
    }
}

#[test]
fn a_fifo_is_made_anew_and_never_opened() {
    let scene = Scene::new();
    rustix::fs::mkfifoat(CWD, scene.path("fifo"), Mode::from_raw_mode(0o620)).unwrap();
    let before = Attributes::of(scene.pin("fifo"), Path::new("fifo")).unwrap();
    let _ = scene.make_anew("fifo").unwrap();
    let saved = scene.destination().pin(OsStr::new("saved")).unwrap().unwrap();
    let saved = Attributes::of(saved, Path::new("saved")).unwrap();
    assert_eq!(Attributes { changed: before.changed, ..saved }, before);
}

#[test]
fn a_directory_is_not_saved() {
    let scene = Scene::new();
    fs::create_dir(scene.path("directory")).unwrap();
    assert!(save(&scene.pin("directory"), &scene.destination(), OsStr::new("saved")).is_err());
    assert_eq!(scene.names(), Vec::<Vec<u8>>::new());
}
