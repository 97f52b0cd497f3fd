// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Enters mount namespaces in separate threads, and reads their tables.

use std::fs::File;
use std::io::BufReader;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::thread;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::thread::{LinkNameSpaceType, UnshareFlags};

use super::super::own_descriptor;
use super::table::{Table, TableReader};
use super::{MountNamespace, Way, walk};

/// A thread that goes from one mount namespace to the next.
pub(super) struct Visitor {
    /// Opened before the first namespace is entered: there may be no /proc in it, or another.
    proc: OwnedFd,
    home: OwnedFd,
}

impl Visitor {
    /// For the calling thread, which from now on shares no directories with the others.
    pub(super) fn new() -> Result<Self, Errno> {
        let proc = rustix::fs::open("/proc", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let home = openat(&proc, "thread-self/ns/mnt", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        leave_shared_directories()?;
        Ok(Visitor { proc, home })
    }

    /// The mount table of a namespace.
    pub(super) fn read(&self, namespace: &MountNamespace, reader: &mut TableReader<'_>) -> Result<Table, Errno> {
        let link = if let Way::Link(link) = &namespace.way { Some(link) } else { None };
        if let Some(relative) = link.and_then(|link| link.strip_prefix("/proc").ok()) {
            let file = openat(&self.proc, relative, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
            return self.table_of(&file, namespace, reader);
        }
        let table = self.table_of(&open(namespace)?, namespace, reader);
        // The next path of such a kind means something in the tool's own namespace.
        visit(&self.home)?;
        table
    }

    /// The mount table of the namespace that this file stands for. The thread stays there.
    pub(super) fn table_of(
        &self,
        file: &OwnedFd,
        namespace: &MountNamespace,
        reader: &mut TableReader<'_>,
    ) -> Result<Table, Errno> {
        visit(file)?;
        let table = openat(&self.proc, "thread-self/mountinfo", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        let read = reader.read(BufReader::new(File::from(table)), Some(namespace));
        read.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
    }
}

/// Runs `work` on a thread that may move into another mount namespace.
pub(in crate::host) fn on_own_thread<T: Send>(work: impl FnOnce() -> Result<T, Errno> + Send) -> Result<T, Errno> {
    thread::scope(|scope| {
        let work = || leave_shared_directories().and_then(|()| work());
        let thread = thread::Builder::new().name("mounts".to_owned()).spawn_scoped(scope, work);
        let thread = thread.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::AGAIN))?;
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Enters a mount namespace with the calling thread, see [`on_own_thread`].
pub(in crate::host) fn enter(namespace: &MountNamespace) -> Result<(), Errno> {
    visit(&open(namespace)?)
}

/// Opens the root directory of a mount namespace.
pub(super) fn open_root(namespace: &MountNamespace) -> Result<OwnedFd, Errno> {
    on_own_thread(|| {
        enter(namespace)?;
        openat(CWD, "/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
    })
}

fn open(namespace: &MountNamespace) -> Result<OwnedFd, Errno> {
    match &namespace.way {
        Way::Link(link) => open_link(link, namespace.number),
        Way::Walk => walk::find(namespace.number),
    }
}

/// Opens the file of a mount namespace, if it still is that one.
fn open_link(link: &Path, number: u64) -> Result<OwnedFd, Errno> {
    let path = rustix::fs::open(link, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    if rustix::fs::fstat(&path)?.st_ino != number {
        return Err(Errno::STALE);
    }
    rustix::fs::open(own_descriptor(&path), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}

/// Moves the calling thread, which must share no directories with others.
fn visit(file: &OwnedFd) -> Result<(), Errno> {
    rustix::thread::move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Mount))
}

/// The kernel moves only a thread that has root and working directories of its own.
#[expect(deprecated, reason = "of its flags only FILES is unsafe, which is never among these")]
pub(in crate::host) fn leave_shared_directories() -> Result<(), Errno> {
    rustix::thread::unshare(UnshareFlags::FS)
}
