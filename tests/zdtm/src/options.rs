// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The command line of `cargo xtask zdtm`; its doc comments are the help.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;

use crate::description::Flavour;
use crate::outcome::Demand;
use crate::session::Limits;

/// What to run.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Options {
    /// CRIU's source tree, with the tests built in it; without it only this project's own tests are run
    #[arg(long, value_name = "DIR")]
    pub(crate) criu_source: Option<PathBuf>,
    /// Run these tests only, with or without a hook: `socket-tcp`, `transition/socket-tcp`, `own/semaphore`
    #[arg(short, long = "test", value_name = "TEST", num_args = 1..)]
    pub(crate) tests: Vec<String>,
    /// Run these flavours only
    #[arg(long, value_delimiter = ',')]
    pub(crate) flavour: Vec<Flavour>,
    /// Run every test of CRIU's tree, not only those that have a hook; one that cannot be started or dumped here is no
    /// failure
    #[arg(long, requires = "criu_source", conflicts_with = "tests")]
    pub(crate) all: bool,
    /// Begin no further test after the first failure
    #[arg(long)]
    pub(crate) fail_fast: bool,
    /// Dump with this criu, a version that `setup` brought or the path of a program; may be repeated [default: all
    /// that `setup` brought]
    #[arg(long, value_name = "VERSION|PATH")]
    pub(crate) criu: Vec<String>,
    /// Let criu find this iptables
    #[arg(long, value_enum, default_value_t)]
    pub(crate) iptables: Iptables,
    /// Give criu one more option for every dump: `--criu-option=--network-lock=nftables`; may be repeated
    #[arg(long, value_name = "OPTION", allow_hyphen_values = true)]
    pub(crate) criu_option: Vec<OsString>,
    /// End what takes longer than so many seconds [default: 45 for a test to get ready, 180 for everything else]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) time_limit: Option<u64>,
    /// Write what every action of every run said to this directory
    #[arg(long, value_name = "DIR")]
    pub(crate) keep: Option<PathBuf>,
}

/// Which iptables criu finds.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum Iptables {
    /// The one that keeps its rules in nftables
    #[default]
    Nft,
    /// The one with tables of its own
    Legacy,
}

impl Options {
    pub(crate) fn limits(&self) -> Limits {
        match self.time_limit.map(Duration::from_secs) {
            Some(limit) => Limits { start: limit, action: limit },
            None => Limits::default(),
        }
    }

    pub(crate) fn demand(&self) -> Demand {
        if self.all { Demand::Truth } else { Demand::Dump }
    }

    /// Whether the flavour is asked for.
    pub(crate) fn includes(&self, flavour: Flavour) -> bool {
        self.flavour.is_empty() || self.flavour.contains(&flavour)
    }
}
