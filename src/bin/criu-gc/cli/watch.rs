// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The command line of `criu-gc watch`, and of the scan that each of its passes is.

use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use super::scan::{SCAN, seconds};

/// The word.
pub(crate) const WATCH: &str = "watch";

/// The shortest period: a look at a busy host takes a second.
const SHORTEST: Duration = Duration::from_secs(1);

/// Scan this host again and again, and print what appears, what goes and what could not be looked at, as JSON lines.
///
/// Each pass is a run of criu-gc scan. It changes nothing without --clean, and removes with --clean what scan --clean
/// removes. SIGTERM ends the watch at once, with status 0; a removal ends after its current step.
#[derive(Debug, Clone, Parser)]
#[command(name = "criu-gc watch", bin_name = "criu-gc watch", disable_version_flag = true, args_override_self = true)]
pub(crate) struct WatchArguments {
    /// The time from the start of one pass to that of the next, such as 30s, 5m or 1h
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = period)]
    pub(crate) every: Duration,

    /// Remove what a crash left and no restore needs: temporary directories and mounts, the unfinished cache
    #[arg(long)]
    clean: bool,

    /// With --clean, kill the processes that a killed dump or restore left, which never run again
    #[arg(long, requires = "clean")]
    kill: bool,

    /// Write the counts of each pass to this file for the textfile collector of Prometheus' node_exporter
    #[arg(
        long,
        value_name = "FILE",
        help = "Write the counts of each pass to this file for the textfile collector of Prometheus' node_exporter"
    )]
    metrics: Option<PathBuf>,

    /// Answer requests for /metrics at this address and port, such as 0.0.0.0:9935; status 503 until a pass has ended
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<SocketAddr>,

    /// Also look at all names in these directories and below, on one filesystem each
    #[arg(long, value_name = "DIR", num_args = 1..)]
    walk: Vec<PathBuf>,

    /// Also look for images in these directories and below, to find out whose an object is
    #[arg(long, value_name = "DIR", num_args = 1..)]
    images: Vec<PathBuf>,

    /// How many seconds a look may take; what was not reached is not known, and a pass that hangs is killed
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    timeout: Duration,

    /// In a container with --pid=host, look in the mount and network namespaces of the host's process 1
    #[arg(long)]
    host: bool,
}

/// What a watch may remove.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Removal {
    /// Nothing.
    None,
    /// What `scan --clean` removes.
    Litter,
    /// What `scan --clean --kill` removes.
    LitterAndProcesses,
}

impl WatchArguments {
    /// The command line, the program's own name first, if its word is this one.
    pub(crate) fn of(words: &[OsString]) -> Option<Result<Self, clap::Error>> {
        Self::is_meant(words).then(|| Self::try_parse_from(&words[1..]))
    }

    /// Whether the word of the command line is this one.
    pub(crate) fn is_meant(words: &[OsString]) -> bool {
        words.get(1).is_some_and(|word| word == WATCH)
    }

    /// What it may remove.
    pub(crate) fn removal(&self) -> Removal {
        match (self.clean, self.kill) {
            (false, _) => Removal::None,
            (true, false) => Removal::Litter,
            (true, true) => Removal::LitterAndProcesses,
        }
    }

    /// Whether passes write a file.
    pub(crate) fn writes_metrics(&self) -> bool {
        self.metrics.is_some()
    }

    /// How long a pass may take: it looks once, and twice if it removes; then it is taken to hang.
    pub(crate) fn patience(&self) -> Duration {
        const MARGIN: Duration = Duration::from_secs(5);
        self.timeout.saturating_mul(2).saturating_add(MARGIN)
    }

    /// The words of a pass.
    pub(crate) fn pass(&self) -> Vec<OsString> {
        let flags = [(self.host, ["--host"].as_slice()), (self.clean, &["--clean", "--yes"]), (self.kill, &["--kill"])];
        let flags = flags.iter().filter(|(is_given, _)| *is_given).flat_map(|(_, words)| words.iter().copied());
        let mut words: Vec<OsString> = [SCAN, "--json"].into_iter().chain(flags).map(OsString::from).collect();
        words.push(option("--timeout", self.timeout.as_secs_f64().to_string()));
        words.extend(self.metrics.iter().map(|path| option("--metrics", path)));
        words.extend(self.walk.iter().map(|path| option("--walk", path)));
        words.extend(self.images.iter().map(|path| option("--images", path)));
        words
    }
}

fn option(name: &str, value: impl AsRef<OsStr>) -> OsString {
    let mut word = OsString::from(name);
    word.push("=");
    word.push(value);
    word
}

fn period(text: &str) -> Result<Duration, String> {
    let period = humantime::parse_duration(text).map_err(|_| "expected a time such as 30s, 5m or 1h".to_owned())?;
    if period < SHORTEST { Err("the shortest is 1s".to_owned()) } else { Ok(period) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::HostLine;

    fn parsed(line: &str) -> Result<WatchArguments, String> {
        let words: Vec<OsString> = format!("criu-gc {line}").split(' ').map(OsString::from).collect();
        WatchArguments::of(&words).expect("the word").map_err(|error| error.to_string())
    }

    #[test]
    fn a_pass_is_a_scan_that_removes_only_with_clean() {
        let pass = |line: &str| {
            let words = parsed(line).expect("a line").pass();
            let line = HostLine::of(&[vec!["criu-gc".into()], words].concat()).expect("a scan");
            let Ok(HostLine::Scan(scan)) = line else { panic!("no scan: {line:?}") };
            scan
        };
        let plain = pass("watch");
        assert!(plain.json && !plain.clean && !plain.kill && !plain.host && plain.timeout == Duration::from_secs(30));
        let all = pass("watch --clean --kill --host --walk /a --images /c --metrics /m.prom --timeout 0.5");
        assert!(all.clean && all.yes && all.kill && all.host);
        assert_eq!((all.walk, all.images), (vec!["/a".into()], vec!["/c".into()]));
        assert_eq!((all.metrics, all.timeout), (Some("/m.prom".into()), Duration::from_millis(500)));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for line in ["--kill", "--every 0s", "--every soon", "--listen 9935", "--json", "/dir"] {
            assert!(parsed(&format!("watch {line}")).is_err(), "{line}");
        }
        assert_eq!(parsed("watch --every 1h").expect("a line").every, Duration::from_secs(3600));
    }
}
