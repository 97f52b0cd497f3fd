// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The one error of the public interface.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::carrier::filter::ProbeError;
use crate::checkpoint::ReadError;
use crate::host::{self, EnterError};
use crate::locate::LocateError;
use crate::record::store::StoreError;
use crate::recorder::RecordError;
use crate::save::SaveError;
use crate::system::dir::FileError;

/// Why nothing was done.
///
/// Its message does not repeat that of its [source](StdError::source); [`with_causes`](crate::with_causes) prints both.
#[derive(Debug)]
pub struct Error(Box<Cause>);

/// The kind of error, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A given path cannot be used: it does not exist, has no images, is damaged, or cannot be opened.
    Unusable,
    /// An option cannot be used: its path does not exist, or no image has its key.
    Option,
    /// Another run has locked the images.
    Locked,
    /// A filesystem does not answer.
    Silent,
    /// A given network namespace cannot be opened, or the host's namespaces cannot be entered.
    Namespace,
    /// Files cannot be saved.
    Save,
    /// The record of a dump cannot be written, or the store of records cannot be used.
    Record,
    /// This process lacks a resource, such as threads.
    System,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Cause {
    #[error("not every given checkpoint can be used")]
    NotAll,
    #[error("not everything that was named can be removed")]
    Refused,
    #[error("no image has an external {what} with the key {}", String::from_utf8_lossy(key))]
    UnknownKey { what: &'static str, key: Vec<u8> },
    #[error("cannot use {option}")]
    Option { option: &'static str, source: FileError },
    #[error(transparent)]
    Locate(#[from] LocateError),
    #[error("{0}")]
    NotInContainer(FileError, #[source] NotInContainer),
    #[error(transparent)]
    Images(#[from] ReadError),
    #[error(transparent)]
    Probe(#[from] ProbeError),
    #[error(transparent)]
    Silent(#[from] Silent),
    #[error("{} has been locked by {holder} for {seconds} seconds; try again once it has finished", path.display())]
    Locked { path: PathBuf, holder: String, seconds: u64 },
    #[error("cannot save files")]
    Save(#[from] SaveError),
    #[error("cannot save files")]
    SaveSilent(#[source] Silent),
    #[error(transparent)]
    Enter(#[from] EnterError),
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
}

/// A filesystem does not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Silent(String);

/// A path that does not exist in a container may exist on its host: the kernel's answer, and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{0}; process 1 has another root directory; to use the host's paths, add --host")]
pub(crate) struct NotInContainer(Errno);

impl From<FileError> for Cause {
    fn from(error: FileError) -> Self {
        Cause::Locate(error.into())
    }
}

impl Cause {
    /// A directory that does not exist here, but may exist on the host.
    pub(crate) fn not_in_container(error: FileError) -> Self {
        let source = NotInContainer(error.source);
        Cause::NotInContainer(error, source)
    }
}

impl Silent {
    /// The filesystem at this path.
    pub(crate) fn at(path: &Path) -> Self {
        Silent(host::does_not_answer(path))
    }
}

impl Error {
    pub(crate) fn new(cause: impl Into<Cause>) -> Self {
        Error(Box::new(cause.into()))
    }

    /// The kind of error.
    pub fn kind(&self) -> ErrorKind {
        match &*self.0 {
            Cause::UnknownKey { .. } | Cause::Option { .. } => ErrorKind::Option,
            Cause::NotAll | Cause::Refused | Cause::Locate(_) | Cause::NotInContainer(..) | Cause::Images(_) => {
                ErrorKind::Unusable
            }
            Cause::Silent(_) | Cause::Probe(ProbeError::Silent(_)) => ErrorKind::Silent,
            Cause::Locked { .. } => ErrorKind::Locked,
            Cause::Probe(ProbeError::Namespace(_)) | Cause::Enter(_) => ErrorKind::Namespace,
            Cause::Save(_) | Cause::SaveSilent(_) => ErrorKind::Save,
            Cause::Record(_) | Cause::Store(_) => ErrorKind::Record,
            Cause::Thread(_) => ErrorKind::System,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}
