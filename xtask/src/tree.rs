// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Debian packages in a tree of their own, with all libraries down to the C library: the host's own must not change for
//! programs that are newer than they are.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::Error;
use crate::program;

/// Unpacks the packages of a directory.
pub(crate) fn unpack(packages: &Path, tree: &Path) -> Result<(), Error> {
    // Packages have /usr/lib only; what they refer to may begin with /lib.
    for part in ["bin", "lib", "lib64", "sbin"] {
        let path = tree.join("usr").join(part);
        create(&path)?;
        symlink(Path::new("usr").join(part), tree.join(part)).map_err(file("create", tree))?;
    }
    for path in entries(packages)? {
        if path.extension().is_some_and(|extension| extension == "deb") {
            extract(&path, tree)?;
        }
    }
    Ok(())
}

/// `dpkg-deb --extract` would put a directory in the place of a link such as `/lib`.
fn extract(package: &Path, tree: &Path) -> Result<(), Error> {
    let mut unpack = Command::new("dpkg-deb");
    unpack.arg("--fsys-tarfile").arg(package).stdin(Stdio::null()).stdout(Stdio::piped());
    let start = |command: &Command| {
        let command = program::line(command);
        move |source| Error::Start { command, source }
    };
    let mut unpacking = unpack.spawn().map_err(start(&unpack))?;
    let archive = unpacking.stdout.take().expect("a pipe");
    let mut extract = Command::new("tar");
    extract.args(["--extract", "--keep-directory-symlink", "--directory"]).arg(tree).stdin(archive);
    let extracted = extract.output().map_err(start(&extract))?;
    let status = unpacking.wait().map_err(start(&unpack))?;
    let failed = |command: &Command, status, stderr: &[u8]| Error::Failed {
        command: program::line(command),
        status,
        stderr: String::from_utf8_lossy(stderr).trim_end().to_owned(),
    };
    match (extracted.status.success(), status.success()) {
        (true, true) => Ok(()),
        (true, false) => Err(failed(&unpack, status, b"")),
        (false, _) => Err(failed(&extract, extracted.status, &extracted.stderr)),
    }
}

/// The line of a shell script in `place` that runs a program of `place/tree` by that tree's dynamic linker.
pub(crate) fn by_own_linker(place: &Path, program: &str) -> Result<String, Error> {
    let missing = |what| Error::Layout { place: place.to_owned(), what };
    let libraries = entries(&place.join("tree/usr/lib"))?
        .into_iter()
        .find(|directory| directory.join("libc.so.6").exists())
        .ok_or_else(|| missing("libc.so.6"))?;
    let is_linker = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("ld-"));
    let linker = entries(&libraries)?.into_iter().find(is_linker).ok_or_else(|| missing("dynamic linker"))?;
    let relative = |path: &Path| path.strip_prefix(place).map(|path| path.display().to_string()).unwrap_or_default();
    let (linker, libraries) = (relative(&linker), relative(&libraries));
    Ok(format!("exec \"$here/{linker}\" --library-path \"$here/{libraries}\" \"$here/tree/{program}\" \"$@\""))
}

/// Writes a shell script in which `$here` is its own directory.
pub(crate) fn write_script(path: &Path, text: &str) -> Result<(), Error> {
    write(path, &format!("#!/bin/sh\nhere=$(dirname \"$(readlink -f \"$0\")\")\n{text}\n"))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).map_err(file("make executable", path))
}

/// What is in the directory, by name.
pub(crate) fn entries(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    let read = fs::read_dir(directory).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    let mut paths: Vec<_> = read.map_err(file("read", directory))?;
    paths.sort();
    Ok(paths)
}

/// Creates a directory with all that lead to it.
pub(crate) fn create(directory: &Path) -> Result<(), Error> {
    fs::create_dir_all(directory).map_err(file("create", directory))
}

/// Writes a whole file.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), Error> {
    fs::write(path, text).map_err(file("write", path))
}

/// Removes a directory with all in it, if it is there.
pub(crate) fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(file("remove", path)),
    }
}

/// An error of the filesystem, as one of ours.
pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File { action, path, source }
}
