// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reads the CRIU configuration file that `--config` names.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cli::config::{self, ConfigError, Statement};
use crate::process;

/// How long its filesystem may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// No configuration is larger.
const SIZE_LIMIT: u64 = 1024 * 1024;

/// Why a configuration file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigFileError {
    #[error("cannot read {}", .0.display())]
    Read(PathBuf, #[source] io::Error),
    #[error("cannot read {}: its filesystem does not answer", .0.display())]
    Silent(PathBuf),
    #[error("cannot use {}: it is larger than {SIZE_LIMIT} bytes", .0.display())]
    TooLarge(PathBuf),
    #[error("cannot use {}", .0.display())]
    Invalid(PathBuf, #[source] ConfigError),
}

/// The statements of the file.
pub(crate) fn read(path: &Path) -> Result<Vec<Statement>, ConfigFileError> {
    let (theirs, named) = (path.to_owned(), path.to_owned());
    let text = match process::within(PATIENCE, move || read_text(&theirs)) {
        Some(read) => read.map_err(|error| ConfigFileError::Read(named.clone(), error))?,
        None => return Err(ConfigFileError::Silent(named)),
    };
    if text.len() as u64 > SIZE_LIMIT {
        return Err(ConfigFileError::TooLarge(named));
    }
    config::parse(&text).map_err(|error| ConfigFileError::Invalid(named, error))
}

fn read_text(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let _ = File::open(path)?.take(SIZE_LIMIT + 1).read_to_end(&mut text)?;
    Ok(text)
}
