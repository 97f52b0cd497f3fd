// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which iptables CRIU finds: it calls plain `iptables`, whatever that is on its search path.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::host::{SEARCH_PATH, TestHost};

/// The names that CRIU calls.
const NAMES: [&str; 6] =
    ["iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore"];

/// The two programs that are called iptables.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum IptablesFlavour {
    /// The one that keeps its rules in nftables.
    #[default]
    Nft,
    /// The one with tables of its own in the kernel.
    Legacy,
}

impl IptablesFlavour {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Nft, Self::Legacy];

    /// A search path on which iptables is this one.
    pub fn search_path(self, host: &TestHost) -> String {
        let directory = self.directory(host);
        format!("{}:{SEARCH_PATH}", directory.display())
    }

    /// A directory of its own that has this iptables under all its names.
    pub(crate) fn directory(self, host: &TestHost) -> PathBuf {
        let directory = host.unused_path("iptables");
        fs::create_dir(&directory).expect("a new directory");
        for name in NAMES {
            symlink(self.program(), directory.join(name)).expect("an empty directory");
        }
        directory
    }

    pub(crate) fn program(self) -> &'static Path {
        Path::new(match self {
            Self::Nft => "/usr/sbin/xtables-nft-multi",
            Self::Legacy => "/usr/sbin/xtables-legacy-multi",
        })
    }
}
