// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Opens a directory by a path that a person typed or configured, without letting other users redirect it.
//!
//! It follows a symbolic link only if the link belongs to root or the caller, in a directory in which nobody else can
//! replace it. Each component is opened by one name in an open directory, so what was checked is what is followed.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::author::Author;
use super::dir::{Directory, FileError, failed};

/// Why a directory could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum WayError {
    /// A call failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// Somebody else decides where the path leads.
    #[error("{} is a symbolic link that users other than root and the one who runs criu-gc can replace", .0.display())]
    LinkOfOthers(PathBuf),
}

impl WayError {
    /// Whether there was no such directory.
    pub fn is_not_found(&self) -> bool {
        matches!(self, WayError::File(error) if error.is_not_found())
    }
}

/// The most links that it follows, as in the kernel.
const MOST_LINKS: u32 = 40;

/// Opens the directory at `path` for reading its names.
pub fn open(path: &Path) -> Result<Directory, WayError> {
    let mut here = Here::start(path)?;
    match here.go(path)? {
        None => Ok(Directory::of_descriptor(here.fd, path).reopened()?),
        Some(_) => Err(failed("open directory", path)(Errno::NOTDIR).into()),
    }
}

/// Finds the file at `path`, whatever it is, without opening it (`O_PATH`). Its name may be a link of the kernel's own,
/// such as `/proc/PID/ns/net`.
pub fn find(path: &Path) -> Result<OwnedFd, WayError> {
    let mut here = Here::start(path)?;
    let file = here.go(path)?;
    Ok(file.unwrap_or(here.fd))
}

/// Opens the directory at `path` for reading its names; where there is none it is made in its parent directory, and only its owner may enter it.
pub fn open_or_make(path: &Path) -> Result<Directory, WayError> {
    match open(path) {
        Err(error) if error.is_not_found() => {}
        opened => return opened,
    }
    let (Some(name), Some(parent)) = (path.file_name(), path.parent()) else { return open(path) };
    let parent = open(if parent == Path::new("") { Path::new(".") } else { parent })?;
    Ok(make_below(&parent, name, path)?)
}

/// Opens the directory `name` in `parent` for reading its names, and follows no link there; where there is none it is
/// made, and only its owner may enter it. `path` is for messages.
pub fn make_below(parent: &Directory, name: &OsStr, path: &Path) -> Result<Directory, FileError> {
    match rustix::fs::mkdirat(parent, name, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(source) => return Err(failed("make directory", path)(source)),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(parent, name, flags, Mode::empty()).map_err(failed("open directory", path))?;
    Ok(Directory::of_descriptor(fd, path))
}

/// How far the way was gone.
struct Here<'a> {
    fd: OwnedFd,
    /// What was typed; for messages.
    path: &'a Path,
    links: u32,
}

impl<'a> Here<'a> {
    fn start(path: &'a Path) -> Result<Self, FileError> {
        let fd = rustix::fs::openat(CWD, ".", DIRECTORY, Mode::empty()).map_err(failed("open directory", path))?;
        Ok(Here { fd, path, links: 0 })
    }

    /// Goes to the directory at the end of the path; gives what is there where it is none.
    fn go(&mut self, path: &Path) -> Result<Option<OwnedFd>, WayError> {
        let mut ahead: VecDeque<OsString> = steps(path).collect();
        while let Some(name) = ahead.pop_front() {
            match self.step(&name)? {
                Step::Directory => {}
                Step::Link(target) => {
                    for step in steps(&target).collect::<Vec<_>>().into_iter().rev() {
                        ahead.push_front(step);
                    }
                }
                Step::File(file) if ahead.is_empty() => return Ok(Some(file)),
                Step::File(_) => return Err(failed("open directory", self.path)(Errno::NOTDIR).into()),
            }
        }
        Ok(None)
    }

    /// Goes into the directory of this name, or gives what else has it.
    fn step(&mut self, name: &OsStr) -> Result<Step, WayError> {
        let failed = || failed("open directory", self.path);
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let next = rustix::fs::openat(&self.fd, name, flags, Mode::empty()).map_err(failed())?;
        let stat = rustix::fs::fstat(&next).map_err(failed())?;
        let file_type = FileType::from_raw_mode(stat.st_mode);
        if file_type == FileType::Directory {
            self.fd = next;
            return Ok(Step::Directory);
        }
        if file_type != FileType::Symlink {
            return Ok(Step::File(next));
        }
        if is_kernels_own(&next).map_err(failed())? {
            self.step_along_kernels(&next, name)
        } else {
            self.read(&next, name)
        }
    }

    /// Goes where a link of the kernel's leads (`/proc/PID/root`), which has no text to follow.
    fn step_along_kernels(&mut self, link: &OwnedFd, name: &OsStr) -> Result<Step, WayError> {
        let failed = || failed("open directory", self.path);
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let led = rustix::fs::openat(&self.fd, name, flags, Mode::empty()).map_err(failed())?;
        let stat = rustix::fs::fstat(&led).map_err(failed())?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            return Ok(Step::File(led));
        }
        // Who owns a process says what its root and its working directory are.
        self.check_link(link, name)?;
        self.fd = led;
        Ok(Step::Directory)
    }

    /// The text of a symbolic link, if it may be followed.
    fn read(&mut self, link: &OwnedFd, name: &OsStr) -> Result<Step, WayError> {
        let failed = || failed("open directory", self.path);
        self.links += 1;
        if self.links > MOST_LINKS {
            return Err(failed()(Errno::LOOP).into());
        }
        self.check_link(link, name)?;
        let target = rustix::fs::readlinkat(link, "", Vec::new()).map_err(failed())?;
        Ok(Step::Link(PathBuf::from(OsString::from_vec(target.into_bytes()))))
    }

    /// The mode of a link says nothing: whoever may write the directory can replace it.
    fn check_link(&self, link: &OwnedFd, name: &OsStr) -> Result<(), WayError> {
        let failed = || failed("look at", self.path);
        let owner = Author::of_owner(rustix::fs::fstat(link).map_err(failed())?.st_uid, 0);
        let author = owner.or(Author::of(&self.fd).map_err(failed())?);
        match author {
            Author::Trusted => Ok(()),
            Author::User(_) | Author::Anybody => Err(WayError::LinkOfOthers(self.as_far_as(name))),
        }
    }

    /// The typed path as far as the component of this name, if it has one; what a link led to has none.
    fn as_far_as(&self, name: &OsStr) -> PathBuf {
        self.path.ancestors().find(|each| each.file_name() == Some(name)).unwrap_or(self.path).to_owned()
    }
}

/// What a name on the way is.
enum Step {
    Directory,
    Link(PathBuf),
    File(OwnedFd),
}

/// Whether a link is one of /proc, which leads to a thing and not to a path.
fn is_kernels_own(link: &OwnedFd) -> Result<bool, Errno> {
    const PROC_SUPER_MAGIC: u64 = 0x9fa0;
    Ok(u64::try_from(rustix::fs::fstatfs(link)?.f_type) == Ok(PROC_SUPER_MAGIC))
}

const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// The components of a path, as names to open one after the other.
fn steps(path: &Path) -> impl Iterator<Item = OsString> {
    path.components().map(|component| component.as_os_str().to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn inode(path: &Path) -> u64 {
        use std::os::unix::fs::MetadataExt;
        fs::metadata(path).unwrap().ino()
    }

    #[test]
    fn own_links_are_followed_also_up_and_absolute_ones() {
        let top = tempfile::tempdir().unwrap();
        let at = |name: &str| top.path().join(name);
        fs::create_dir_all(at("a/b")).unwrap();
        fs::create_dir(at("c")).unwrap();
        symlink("../a/b", at("c/relative")).unwrap();
        symlink(at("c/relative"), at("absolute")).unwrap();
        for path in ["a/b", "absolute", "c/relative/.", "absolute/../b", "c//../absolute/"] {
            let opened = open(&at(path)).unwrap();
            assert_eq!(opened.identity().unwrap().inode, inode(&at("a/b")), "{path}");
        }
        symlink("loop", at("loop")).unwrap();
        assert!(matches!(open(&at("loop")), Err(WayError::File(error)) if error.source == Errno::LOOP));
        assert!(open(&at("none")).unwrap_err().is_not_found());
        fs::write(at("file"), "").unwrap();
        assert!(find(&at("file")).is_ok() && find(&at("file/x")).is_err());
        assert!(matches!(open(&at("file")), Err(WayError::File(error)) if error.source == Errno::NOTDIR));
    }

    #[test]
    fn a_link_of_the_kernels_own_is_what_it_leads_to() {
        let own = find(Path::new("/proc/self/ns/net")).unwrap();
        let followed = rustix::fs::stat("/proc/self/ns/net").unwrap();
        assert_eq!(rustix::fs::fstat(own).unwrap().st_ino, followed.st_ino);
    }

    #[test]
    fn a_link_that_others_can_replace_is_not_followed_and_nothing_is_made_where_it_leads() {
        let top = tempfile::tempdir().unwrap();
        let at = |name: &str| top.path().join(name);
        fs::create_dir(at("target")).unwrap();
        fs::create_dir(at("open")).unwrap();
        symlink("../target", at("open/link")).unwrap();
        fs::set_permissions(at("open"), fs::Permissions::from_mode(0o777)).unwrap();
        for path in ["open/link", "open/link/new"] {
            let error = open_or_make(&at(path)).unwrap_err();
            assert!(matches!(&error, WayError::LinkOfOthers(link) if *link == at("open/link")), "{error}");
        }
        assert_eq!(fs::read_dir(at("target")).unwrap().count(), 0);
        // What is no link may lie in such a directory: it is judged itself.
        open_or_make(&at("open/new")).unwrap();
        assert_eq!(fs::metadata(at("open/new")).unwrap().permissions().mode() & 0o777, 0o700);
        fs::set_permissions(at("open"), fs::Permissions::from_mode(0o755)).unwrap();
        let mode = || fs::metadata(at("target")).unwrap().permissions().mode() & 0o777;
        let before = mode();
        open_or_make(&at("open/link")).unwrap();
        assert_eq!(mode(), before, "what is there stays as it is");
        open_or_make(&at("open/link/new")).unwrap();
        assert!(at("target/new").is_dir());
    }
}
