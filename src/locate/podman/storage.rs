// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where root's podman stores its containers: storage.conf, as podman reads it.
//!
//! The configuration only says where to look. Only root may have written what is there, so the configuration deserves
//! no more trust than a path from the user. The environment, which can name other files, is not read.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::PodmanError;
use crate::system::dir::{self, Directory, Opened};

/// Where configuration is, a later directory before an earlier one.
const CONFIGURATIONS: [&str; 2] = ["/usr/share/containers", "/etc/containers"];
/// The main file: only that of one directory counts.
const MAIN: &str = "storage.conf";
/// Directories of files that add to it, since podman 6; the second ones are read for root only.
const ADDITIONS: [&str; 2] = ["storage.conf.d", "storage.rootful.conf.d"];
/// No file of the configuration is larger.
const SIZE_LIMIT: u64 = 1024 * 1024;

/// Where the storage is if no configuration says so.
const STORE: &str = "/var/lib/containers/storage";
const VOLATILE_STORE: &str = "/run/containers/storage";

/// Where the storage is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Storage {
    pub(super) store: PathBuf,
    /// What does not outlive a boot.
    pub(super) volatile: PathBuf,
}

/// storage.conf, as far as it matters.
#[derive(Debug, Default, Deserialize)]
struct Configuration {
    #[serde(default)]
    storage: Section,
}

#[derive(Debug, Default, Deserialize)]
struct Section {
    graphroot: Option<PathBuf>,
    runroot: Option<PathBuf>,
}

impl Storage {
    /// The storage of root's podman on this host.
    pub(super) fn configured() -> Result<Self, PodmanError> {
        Storage::of(&CONFIGURATIONS.map(Path::new))
    }

    /// The storage by the configuration in these directories.
    fn of(directories: &[&Path]) -> Result<Self, PodmanError> {
        let mut section = Section::default();
        for main in directories.iter().rev() {
            if let Some(found) = read(&main.join(MAIN))? {
                section = found;
                break;
            }
        }
        for path in additions(directories)? {
            let Some(addition) = read(&path)? else { continue };
            section.graphroot = addition.graphroot.or(section.graphroot);
            section.runroot = addition.runroot.or(section.runroot);
        }
        let or = |path: Option<PathBuf>, default: &str| {
            path.filter(|path| !path.as_os_str().is_empty()).unwrap_or_else(|| default.into())
        };
        Ok(Storage { store: or(section.graphroot, STORE), volatile: or(section.runroot, VOLATILE_STORE) })
    }
}

/// The files that add to the main one, in the order of their names wherever they are. One that has the name of an
/// earlier directory's is read in its stead.
fn additions(directories: &[&Path]) -> Result<Vec<PathBuf>, PodmanError> {
    let mut files = BTreeMap::new();
    for directory in directories.iter().flat_map(|directory| ADDITIONS.map(|name| directory.join(name))) {
        let opened = match Directory::open(&directory) {
            Ok(opened) => opened,
            Err(error) if error.is_no_directory() => continue,
            Err(error) => return Err(error.into()),
        };
        let names = opened.names()?.into_iter().filter(|name| name.ends_with(b".conf"));
        files.extend(names.map(|name| {
            let path = directory.join(OsStr::from_bytes(&name));
            (name, path)
        }));
    }
    Ok(files.into_values().collect())
}

/// What a file of the configuration says; `None` if there is none. A symbolic link is followed, as podman does: some
/// distributions have only links below /etc.
fn read(path: &Path) -> Result<Option<Section>, PodmanError> {
    let wrong = |why: String| PodmanError::Configuration { path: path.to_owned(), why };
    let file = match dir::open_named(path) {
        Ok(Opened::File(file)) if is_regular(&file) => file,
        Ok(_) => return Err(wrong("is not a regular file".to_owned())),
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut text = String::new();
    let read = file.take(SIZE_LIMIT + 1).read_to_string(&mut text);
    let length = read.map_err(|error| wrong(format!("cannot be read: {error}")))?;
    if length as u64 > SIZE_LIMIT {
        return Err(wrong(format!("is larger than {SIZE_LIMIT} bytes")));
    }
    let Configuration { storage } = toml::from_str(&text).map_err(|error| wrong(format!("is invalid: {error}")))?;
    Ok(Some(storage))
}

fn is_regular(file: &File) -> bool {
    file.metadata().is_ok_and(|metadata| metadata.is_file())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    /// The two directories of configuration, with these files.
    fn configuration(files: &[(&str, &str)]) -> tempfile::TempDir {
        let top = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = top.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        top
    }

    fn storage(top: &Path) -> Result<Storage, PodmanError> {
        Storage::of(&[&top.join("usr"), &top.join("etc")])
    }

    fn store(files: &[(&str, &str)]) -> PathBuf {
        storage(configuration(files).path()).unwrap().store
    }

    #[test]
    fn the_main_file_of_the_last_directory_says_where_the_storage_is() {
        let commented = "[storage]\ndriver = \"overlay\"\n# graphroot = \"/x\"\n";
        let one = "[storage]\ngraphroot = \"/one\"\n[storage.options.overlay]\nmountopt = \"nodev\"\n";
        let two = "[storage]\ngraphroot = \"/two\"\n";
        for files in [&[][..], &[("etc/storage.conf", "")], &[("usr/storage.conf", commented)]] {
            assert_eq!(store(files), Path::new(STORE), "{files:?}");
        }
        assert_eq!(store(&[("usr/storage.conf", one)]), Path::new("/one"));
        assert_eq!(store(&[("usr/storage.conf", one), ("etc/storage.conf", two)]), Path::new("/two"));
        // They are not merged.
        assert_eq!(store(&[("usr/storage.conf", one), ("etc/storage.conf", commented)]), Path::new(STORE));
    }

    #[test]
    fn additions_are_read_in_the_order_of_their_names_wherever_they_are() {
        let (one, two, run) = ("storage.graphroot = \"/1\"", "storage.graphroot = \"/2\"", "storage.runroot = \"/r\"");
        let late = ("usr/storage.rootful.conf.d/9.conf", one);
        assert_eq!(store(&[("etc/storage.conf", two), late]), Path::new("/1"));
        assert_eq!(store(&[("etc/storage.conf.d/1.conf", two), late]), Path::new("/1"));
        assert_eq!(store(&[("etc/storage.conf.d/9.conf", two), late]), Path::new("/2"), "the same name");
        assert_eq!(store(&[("etc/storage.conf.d/9.txt", two), late]), Path::new("/1"), "no .conf");
        let files = [("etc/storage.conf.d/99.conf", run), late];
        let both = Storage { store: "/1".into(), volatile: "/r".into() };
        assert_eq!(storage(configuration(&files).path()).unwrap(), both);
    }

    #[test]
    fn a_linked_file_is_read_and_one_that_makes_no_sense_is_an_error() {
        let top = configuration(&[("elsewhere", "storage.graphroot = \"/1\""), ("etc/x", "")]);
        let main = top.path().join("etc/storage.conf");
        symlink("../elsewhere", &main).unwrap();
        assert_eq!(storage(top.path()).unwrap().store, Path::new("/1"));
        let large = " ".repeat(SIZE_LIMIT as usize + 1);
        let deep = format!("a = {}", "[".repeat(100_000));
        for wrong in ["[storage", "storage.graphroot = 7", "\u{0}", &large, &deep] {
            fs::write(top.path().join("elsewhere"), wrong).unwrap();
            let error = storage(top.path()).unwrap_err();
            assert!(matches!(error, PodmanError::Configuration { .. }), "{error}");
        }
        fs::remove_file(&main).unwrap();
        fs::create_dir(&main).unwrap();
        assert!(matches!(storage(top.path()).unwrap_err(), PodmanError::Configuration { .. }));
    }
}
