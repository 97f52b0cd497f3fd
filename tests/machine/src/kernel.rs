// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The kernels that a machine can have: those of Debian's releases.

use std::fmt;
use std::str::FromStr;

/// A line of kernels, of which the newest package is taken.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Kernel {
    /// Debian 11 (bullseye).
    V5_10,
    /// Debian 12 (bookworm).
    V6_1,
    /// Debian 13 (trixie).
    V6_12,
    /// The next Debian (forky).
    V7_2,
}

impl Kernel {
    /// All of them, oldest first.
    pub const ALL: [Self; 4] = [Self::V5_10, Self::V6_1, Self::V6_12, Self::V7_2];

    /// The first two numbers of its version.
    pub fn name(self) -> &'static str {
        match self {
            Self::V5_10 => "5.10",
            Self::V6_1 => "6.1",
            Self::V6_12 => "6.12",
            Self::V7_2 => "7.2",
        }
    }

    /// The release of Debian that has it.
    pub fn suite(self) -> &'static str {
        match self {
            Self::V5_10 => "bullseye",
            Self::V6_1 => "bookworm",
            Self::V6_12 => "trixie",
            Self::V7_2 => "forky",
        }
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Kernel {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let names = || Self::ALL.map(Self::name).join(", ");
        let found = Self::ALL.into_iter().find(|kernel| kernel.name() == name);
        found.ok_or_else(|| format!("there is no kernel {name}; there are {}", names()))
    }
}
