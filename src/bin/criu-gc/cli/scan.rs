// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The command lines of `criu-gc scan` and `criu-gc rm`. Neither takes the place of a `criu restore` line, so they accept no
//! options of CRIU.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Parser};

/// The words that start from the host.
pub(crate) const SCAN: &str = "scan";
pub(crate) const REMOVE: &str = "rm";

/// List everything of CRIU's shape on this host, whose it is, and what to type.
///
/// No images have to be named. It changes nothing without --clean. It looks at all processes, network namespaces and mount
/// tables, at every tmpfs, at the volumes of podman and Docker, at / and /tmp of the layers of containers, and at / and
/// /tmp of each mount namespace. It enters no network filesystem and no FUSE. What it could not look at, it says.
#[derive(Debug, Clone, Parser)]
#[command(name = "criu-gc scan", bin_name = "criu-gc scan", disable_version_flag = true, args_override_self = true)]
pub(crate) struct ScanArguments {
    /// Remove what a crash left and no restore needs: temporary directories and mounts, the unfinished cache
    #[arg(long)]
    pub(crate) clean: bool,

    /// With --clean, kill the processes that a killed dump or restore left, which never run again
    #[arg(long, requires = "clean")]
    pub(crate) kill: bool,

    /// With --clean, list what would be removed, and remove nothing
    #[arg(short = 'n', long, alias = "dry-run")]
    pub(crate) show: bool,

    /// Do not ask for confirmation
    #[arg(short, long)]
    pub(crate) yes: bool,

    /// Also look at all names in these directories and below, on one filesystem each
    #[arg(long, value_name = "DIR", num_args = 1..)]
    pub(crate) walk: Vec<PathBuf>,

    /// Also look for images in these directories and below, to find out whose an object is
    #[arg(long, value_name = "DIR", num_args = 1..)]
    pub(crate) images: Vec<PathBuf>,

    /// How many seconds the look may take; what was not reached is not known
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub(crate) timeout: Duration,

    /// Exit with status 1 if something needs a hand or could not be looked at
    #[arg(long)]
    pub(crate) exit_code: bool,

    /// Print one line of at most 80 characters
    #[arg(long, conflicts_with_all = ["json", "tree"])]
    pub(crate) summary: bool,

    /// Print one JSON document instead of text
    #[arg(long, conflicts_with = "tree")]
    pub(crate) json: bool,

    /// Draw a tree of checkpoints, network namespaces and objects
    #[arg(long)]
    pub(crate) tree: bool,

    /// Write the counts to this file for the textfile collector of Prometheus' node_exporter
    #[arg(
        long,
        value_name = "FILE",
        help = "Write the counts to this file for the textfile collector of Prometheus' node_exporter"
    )]
    pub(crate) metrics: Option<PathBuf>,

    /// In a container with --pid=host, work in the mount and network namespaces of the host's process 1
    #[arg(long)]
    pub(crate) host: bool,

    /// Also list what only looks like something of CRIU
    #[arg(short, long, action = ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// Remove objects by the ids and paths that criu-gc scan prints.
///
/// Each is looked for and compared again. criu-gc removes nothing that belongs to a checkpoint which it knows, nothing that
/// a criu at work may be using, and the last name of a file only with --save. If one of the objects cannot be removed, none
/// is.
#[derive(Debug, Clone, Parser)]
#[command(name = "criu-gc rm", bin_name = "criu-gc rm", disable_version_flag = true, args_override_self = true)]
pub(crate) struct RemoveArguments {
    /// What to remove
    #[arg(value_name = "OBJECT", required = true)]
    pub(crate) objects: Vec<OsString>,

    /// Save the file of each name in this directory first
    #[arg(long, value_name = "DIR")]
    pub(crate) save: Option<PathBuf>,

    /// Kill processes that are named
    #[arg(long)]
    pub(crate) kill: bool,

    /// List what would be removed, and remove nothing
    #[arg(short = 'n', long, alias = "dry-run")]
    pub(crate) show: bool,

    /// Do not ask for confirmation
    #[arg(short, long)]
    pub(crate) yes: bool,

    /// Also look for images in these directories and below, to find out whose an object is
    #[arg(long, value_name = "DIR", num_args = 1)]
    pub(crate) images: Vec<PathBuf>,

    /// How many seconds the look may take
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub(crate) timeout: Duration,

    /// Print one JSON document instead of text
    #[arg(long)]
    pub(crate) json: bool,

    /// In a container with --pid=host, work in the mount and network namespaces of the host's process 1
    #[arg(long)]
    pub(crate) host: bool,
}

/// A time that is none.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("expected a number of seconds")]
pub(super) struct NoSeconds;

pub(super) fn seconds(text: &str) -> Result<Duration, NoSeconds> {
    let number: f64 = text.parse().map_err(|_| NoSeconds)?;
    Duration::try_from_secs_f64(number).map_err(|_| NoSeconds)
}

/// A command line that starts from the host.
#[derive(Debug, Clone)]
pub(crate) enum HostLine {
    /// `criu-gc scan`
    Scan(ScanArguments),
    /// `criu-gc rm`
    Remove(RemoveArguments),
}

impl HostLine {
    /// The command line, the program's own name first, if its word is one of these.
    pub(crate) fn of(words: &[OsString]) -> Option<Result<Self, clap::Error>> {
        let word = words.get(1)?;
        let words = &words[1..];
        if word == SCAN {
            return Some(ScanArguments::try_parse_from(words).map(HostLine::Scan));
        }
        (word == REMOVE).then(|| RemoveArguments::try_parse_from(words).map(HostLine::Remove))
    }

    /// Whether the program is to move into the host's namespaces.
    pub(crate) fn enters_host(&self) -> bool {
        match self {
            HostLine::Scan(arguments) => arguments.host,
            HostLine::Remove(arguments) => arguments.host,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<HostLine, String> {
        let words: Vec<OsString> = format!("criu-gc {line}").split_whitespace().map(OsString::from).collect();
        HostLine::of(&words).expect("a word").map_err(|error| error.to_string())
    }

    #[test]
    fn the_words_have_their_own_options() {
        let Ok(HostLine::Scan(line)) = parsed("scan --walk /a /b --timeout 0.5 --tree -v") else { panic!("no scan") };
        assert_eq!(line.walk, [PathBuf::from("/a"), PathBuf::from("/b")]);
        assert!(line.tree && line.verbose == 1 && line.timeout == Duration::from_millis(500));
        let Ok(HostLine::Remove(line)) = parsed("rm /dev/shm/link_remap.4 chain:1:iptables-nft --save x") else {
            panic!("no rm")
        };
        assert_eq!(line.objects.len(), 2);
        for refused in ["scan --kill", "scan x", "scan --timeout -1", "scan --json --summary", "rm", "scan --tcp-close"]
        {
            assert!(parsed(refused).is_err(), "{refused}");
        }
    }
}
