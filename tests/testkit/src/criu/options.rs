// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How to dump.

use std::ffi::OsString;

use crate::xtables::IptablesFlavour;

/// `--network-lock`
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum LockMethod {
    /// `iptables`
    #[default]
    Iptables,
    /// `nftables`
    Nftables,
    /// `skip`
    Skip,
}

/// What happens to TCP connections.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum TcpMode {
    /// `--tcp-established`
    #[default]
    Established,
    /// `--tcp-close`
    Close,
    /// Neither: a dump of a tree with connections fails.
    Refused,
}

/// Whether CRIU may make links.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum LinkRemap {
    /// `--link-remap`
    #[default]
    Allowed,
    /// Without: a dump of a tree that needs one fails.
    Refused,
}

/// What becomes of the tree.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum FinalState {
    /// It is killed.
    #[default]
    Dead,
    /// `--leave-running`
    Running,
    /// `--leave-stopped`
    Stopped,
}

/// How to dump. The default is what leaves all kinds of residue: links, iptables rules, no tree.
#[derive(Clone, Debug, Default)]
pub struct DumpOptions {
    /// `--network-lock`
    pub lock: LockMethod,
    /// Which iptables CRIU finds.
    pub flavour: IptablesFlavour,
    /// What happens to TCP connections.
    pub tcp: TcpMode,
    /// Whether CRIU may make links.
    pub link_remap: LinkRemap,
    /// What becomes of the tree.
    pub final_state: FinalState,
    /// Other arguments.
    pub extra: Vec<OsString>,
}

impl DumpOptions {
    pub(crate) fn arguments(&self) -> Vec<OsString> {
        let words = ["--network-lock", self.lock.word()];
        let words = words.into_iter().chain(self.tcp.option()).chain(self.link_remap.option());
        let words = words.chain(self.final_state.option()).map(OsString::from);
        words.chain(self.extra.iter().cloned()).collect()
    }
}

impl LockMethod {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Iptables => "iptables",
            Self::Nftables => "nftables",
            Self::Skip => "skip",
        }
    }
}

impl TcpMode {
    pub(crate) fn option(self) -> Option<&'static str> {
        match self {
            Self::Established => Some("--tcp-established"),
            Self::Close => Some("--tcp-close"),
            Self::Refused => None,
        }
    }
}

impl LinkRemap {
    fn option(self) -> Option<&'static str> {
        match self {
            Self::Allowed => Some("--link-remap"),
            Self::Refused => None,
        }
    }
}

impl FinalState {
    fn option(self) -> Option<&'static str> {
        match self {
            Self::Dead => None,
            Self::Running => Some("--leave-running"),
            Self::Stopped => Some("--leave-stopped"),
        }
    }
}
