// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Files of this host's engines: they are read only if nobody but root can have written them, and in bounds.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use crate::json::{self, DecodeError};
use crate::system::author::Author;
use crate::system::dir::{Directory, FileError};
use crate::system::way::{self, WayError};

/// No configuration or state is larger.
const SIZE_LIMIT: u64 = 8 * 1024 * 1024;

/// Why a file of an engine is not used.
#[derive(Debug, thiserror::Error)]
pub enum OwnError {
    /// It cannot be opened.
    #[error(transparent)]
    File(#[from] FileError),
    /// Or the way to it is not root's alone.
    #[error(transparent)]
    Way(#[from] WayError),
    /// Others can have written it.
    #[error("users other than root can write {}", .0.display())]
    OfOthers(PathBuf),
    /// It cannot be read.
    #[error("cannot read {}", .0.display())]
    Read(PathBuf, #[source] io::Error),
    /// It is none of an engine.
    #[error("{} is larger than {limit} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// How many are too many.
        limit: u64,
    },
    /// It cannot be decoded.
    #[error("{} is invalid", .0.display())]
    Json(PathBuf, #[source] DecodeError),
    /// Or is no TOML.
    #[error("{} is invalid", .0.display())]
    Toml(PathBuf, #[source] Box<toml::de::Error>),
}

/// What a file of root's says in JSON; `None` if there is none.
pub fn json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, OwnError> {
    let Some(bytes) = bytes(path, SIZE_LIMIT)? else { return Ok(None) };
    json::decode(&bytes).map(Some).map_err(|error| OwnError::Json(path.to_owned(), error))
}

/// What a file of root's says in TOML; `None` if there is none.
pub(super) fn toml<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, OwnError> {
    let Some(text) = text(path)? else { return Ok(None) };
    toml::from_str(&text).map(Some).map_err(|error| OwnError::Toml(path.to_owned(), Box::new(error)))
}

/// The text of a file of root's; `None` if there is none.
pub(super) fn text(path: &Path) -> Result<Option<String>, OwnError> {
    Ok(bytes(path, SIZE_LIMIT)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

/// The content of a file of root's; `None` if there is none.
pub(super) fn bytes(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, OwnError> {
    match bytes_at_start(path, limit + 1)? {
        Some(bytes) if bytes.len() as u64 > limit => Err(OwnError::TooLarge { path: path.to_owned(), limit }),
        bytes => Ok(bytes),
    }
}

/// So many bytes of it.
pub(super) fn bytes_at_start(path: &Path, count: u64) -> Result<Option<Vec<u8>>, OwnError> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(None) };
    let Some(directory) = directory(parent)? else { return Ok(None) };
    let Some(file) = directory.read_file(name)? else { return Ok(None) };
    if directory.author_of(&file) != Ok(Author::Trusted) {
        return Err(OwnError::OfOthers(path.to_owned()));
    }
    let mut bytes = Vec::new();
    file.take(count).read_to_end(&mut bytes).map_err(|error| OwnError::Read(path.to_owned(), error))?;
    Ok(Some(bytes))
}

/// A directory, on the way to which only links of root's are followed; `None` if there is none.
pub(super) fn directory(path: &Path) -> Result<Option<Directory>, OwnError> {
    match way::open(path) {
        Ok(directory) => Ok(Some(directory)),
        Err(WayError::File(error)) if error.is_no_directory() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The names in a directory that are text, sorted; none if there is no directory.
pub(super) fn names(path: &Path) -> Result<Vec<String>, OwnError> {
    let Some(directory) = directory(path)? else { return Ok(Vec::new()) };
    let names = directory.names()?.into_iter();
    Ok(names.filter_map(|name| String::from_utf8(name).ok()).collect())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn only_a_document_of_roots_is_read() {
        let top = tempfile::tempdir().unwrap();
        let path = top.path().join("daemon.json");
        let read = || json::<serde_json::Value>(&path);
        assert!(matches!(read(), Ok(None)));
        fs::write(&path, r#"{"data-root":"/srv/docker"}"#).unwrap();
        assert_eq!(read().unwrap().unwrap()["data-root"], "/srv/docker");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        assert!(matches!(read(), Err(OwnError::OfOthers(_))));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        fs::write(&path, "{").unwrap();
        assert!(matches!(read(), Err(OwnError::Json(..))));
    }
}
