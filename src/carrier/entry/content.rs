// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is in an entry: looked at only after its name and what is mounted there are CRIU's.

use std::ffi::OsStr;
use std::io::Read;
use std::path::Path;

use rustix::fs::FileType;

use crate::host::Host;
use crate::system::dir::{Directory, FileIdentity, Reach};
use crate::system::socket::{self, Answer};

/// What is in an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// A directory with nothing in it.
    EmptyDirectory,
    /// Another directory.
    Directory,
    /// A file with a pid, as CRIU writes it: digits and nothing else.
    Pid(PidOwner),
    /// A socket.
    Socket(Socket),
    /// Another regular file.
    File,
    /// Anything else, or something that could not be read.
    Other,
}

/// Whose pid it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PidOwner {
    /// A process has it, in any pid namespace.
    Process,
    /// No process that can be seen has it.
    Nobody,
}

/// Whether somebody listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Socket {
    /// The kernel refuses a connection: nobody does.
    Dead,
    /// Somebody may.
    PerhapsAlive,
}

impl Content {
    pub(super) fn of(host: &Host, directory: &Directory, name: &OsStr, identity: &FileIdentity) -> Self {
        match identity.file_type() {
            FileType::Directory => match directory.below(Path::new(name), Reach::AcrossMounts).map(|dir| dir.names()) {
                Ok(Ok(names)) if names.is_empty() => Content::EmptyDirectory,
                Ok(_) | Err(_) => Content::Directory,
            },
            FileType::RegularFile => {
                pid_in(directory, name).map_or(Content::File, |pid| Content::Pid(owner(host, pid)))
            }
            FileType::Socket => Content::Socket(match socket::connect(directory, name) {
                Answer::Refused => Socket::Dead,
                Answer::Accepted | Answer::Unknown => Socket::PerhapsAlive,
            }),
            FileType::Symlink
            | FileType::Fifo
            | FileType::CharacterDevice
            | FileType::BlockDevice
            | FileType::Unknown => Content::Other,
        }
    }
}

/// CRIU writes the number without a newline.
fn pid_in(directory: &Directory, name: &OsStr) -> Option<u32> {
    const LONGEST: u64 = 10;
    let mut text = Vec::new();
    directory.read_file(name).ok()??.take(LONGEST + 1).read_to_end(&mut text).ok()?;
    let text = std::str::from_utf8(&text).ok()?;
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// A process that cannot be read may have any number.
fn owner(host: &Host, pid: u32) -> PidOwner {
    let processes = host.processes();
    let is_taken = processes.list.iter().any(|process| process.pids.contains(&pid));
    if is_taken || !processes.unreadable.is_empty() { PidOwner::Process } else { PidOwner::Nobody }
}
