// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What was made, and its checksums.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::Error;
use crate::program;
use crate::tree::{entries, file, write};

const SUMS: &str = "SHA256SUMS";

/// A directory with everything, and with a file of checksums.
#[derive(Debug)]
pub(crate) struct Made {
    directory: PathBuf,
}

impl Made {
    /// Writes the checksums.
    pub(crate) fn seal(directory: &Path) -> Result<Self, Error> {
        let names: Vec<_> =
            entries(directory)?.into_iter().filter_map(|path| Some(path.file_name()?.to_owned())).collect();
        let sums = program::output(Command::new("sha256sum").current_dir(directory).arg("--").args(names))?;
        write(&directory.join(SUMS), &sums)?;
        Ok(Self { directory: directory.to_owned() })
    }

    /// Each file with its size, for people.
    pub(crate) fn list(&self) -> Result<String, Error> {
        let mut lines = format!("dist: {}\n", self.directory.display());
        for path in entries(&self.directory)? {
            let size = fs::metadata(&path).map_err(file("read", &path))?.len();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            lines += &format!("{size:>10} {name}\n");
        }
        Ok(lines)
    }

    /// Fails if another build made other bytes.
    pub(crate) fn compare(&self, other: &Self) -> Result<(), Error> {
        let (these, others) = (self.sums()?, other.sums()?);
        let differ: Vec<String> =
            these.lines().filter(|line| !others.lines().any(|other| other == *line)).map(str::to_owned).collect();
        match differ.is_empty() && these.lines().count() == others.lines().count() {
            true => Ok(()),
            false => Err(Error::NotReproducible { differ, other: other.directory.clone() }),
        }
    }

    fn sums(&self) -> Result<String, Error> {
        let path = self.directory.join(SUMS);
        fs::read_to_string(&path).map_err(file("read", &path))
    }
}
