// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The two parts of what a checkpoint leaves. A caller can choose one of them (`--only`).

use std::fmt;
use std::str::FromStr;

/// A part of what a checkpoint left outside its images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Part {
    /// The network lock: rules, tables and chains. A restore works without it.
    Network,
    /// The files: link remaps, which a restore needs, and ghost files, which prevent one.
    Files,
}

impl Part {
    /// Both parts.
    pub const ALL: [Part; 2] = [Part::Network, Part::Files];

    /// The name for `--only` and the output.
    pub const fn name(self) -> &'static str {
        match self {
            Part::Network => "network",
            Part::Files => "files",
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The error for a name that is not a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a part of what a checkpoint leaves")]
pub struct NotAPart;

impl FromStr for Part {
    type Err = NotAPart;

    fn from_str(name: &str) -> Result<Self, NotAPart> {
        Self::ALL.into_iter().find(|part| part.name() == name).ok_or(NotAPart)
    }
}
