// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a host holds, without any code of criu-gc: files, packet filters, mounts.

use std::fs;
use std::path::{Path, PathBuf};

use testkit::{CommandExt, IptablesFlavour, Snapshot, TestHost};

use crate::running::Running;

/// A host at one moment, as far as a test and its dump may change it.
pub(crate) struct Picture {
    snapshot: Snapshot,
    mounts: Vec<String>,
}

impl Picture {
    /// Changes nothing.
    ///
    /// # Panics
    /// If something cannot be looked at.
    pub(crate) fn take(host: &TestHost, running: &Running) -> Self {
        let watched: Vec<&Path> = running.watched.iter().map(PathBuf::as_path).collect();
        let mounts = fs::read_to_string(format!("/proc/{}/mountinfo", host.init())).expect("the mounts of a host");
        Self { snapshot: host.snapshot(&watched), mounts: mounts.lines().filter_map(mount).collect() }
    }

    /// What is new (`+`) and what is gone (`-`) since, but for what the test itself writes down.
    pub(crate) fn difference(&self, later: &Self, running: &Running) -> Vec<String> {
        let files = self.snapshot.difference(&later.snapshot);
        let logs = running.logs.as_deref().and_then(|logs| Log::new(logs, &running.watched));
        let is_log = |line: &String| logs.as_ref().is_some_and(|log| log.is_in(line));
        let new =
            later.mounts.iter().filter(|mount| !self.mounts.contains(mount)).map(|mount| format!("mount: + {mount}"));
        let gone = self.mounts.iter().filter(|mount| !later.mounts.contains(mount));
        let gone = gone.map(|mount| format!("mount: - {mount}"));
        files.into_iter().filter(|line| !is_log(line)).chain(new).chain(gone).collect()
    }
}

/// Makes what any use of iptables and criu makes and nobody ever takes away, so that a dump only adds what is its own:
/// the empty tables of iptables, and its lock file.
///
/// # Panics
/// If iptables fails.
pub(crate) fn settle(host: &TestHost, flavour: IptablesFlavour) {
    let programs = match flavour {
        IptablesFlavour::Nft => ["iptables-nft", "ip6tables-nft"],
        IptablesFlavour::Legacy => ["iptables-legacy", "ip6tables-legacy"],
    };
    let names = fs::read_dir(host.path("/run/netns")).into_iter().flatten().flatten();
    let named = names.map(|entry| Some(format!("--net=/run/netns/{}", entry.file_name().to_string_lossy())));
    for place in std::iter::once(None).chain(named) {
        for program in programs {
            for (chain, action) in [("INPUT", "-A"), ("INPUT", "-D"), ("OUTPUT", "-A"), ("OUTPUT", "-D")] {
                let mut command = host.command("nsenter");
                command.args(&place).args(["--", program, "-w", action, chain, "-j", "ACCEPT"]).succeed();
            }
        }
    }
}

/// The log of a test, as a snapshot names it.
struct Log {
    section: String,
    path: String,
}

impl Log {
    fn new(path: &Path, watched: &[PathBuf]) -> Option<Self> {
        let directory = watched.iter().find(|directory| path.starts_with(directory))?;
        let path = path.strip_prefix(directory).ok()?;
        Some(Self { section: format!("files of {}: ", directory.display()), path: path.display().to_string() })
    }

    fn is_in(&self, line: &str) -> bool {
        let line = line.strip_prefix(&self.section).and_then(|change| change.get(2..));
        line.is_some_and(|file| file.starts_with(&self.path))
    }
}

/// A line of mountinfo without the ids, which every mount has anew.
fn mount(line: &str) -> Option<String> {
    let (mount, filesystem) = line.split_once(" - ")?;
    let mut words = mount.split(' ').skip(2);
    let (device, root, point) = (words.next()?, words.next()?, words.next()?);
    Some(format!("{point} shows {root} of {filesystem} {device}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_without_its_ids() {
        let line = "29 1 254:0 / / rw,relatime shared:1 - ext4 /dev/root rw,discard";
        assert_eq!(mount(line).unwrap(), "/ shows / of ext4 /dev/root rw,discard 254:0");
    }

    #[test]
    fn lines_about_logs() {
        let watched = ["/dev/shm", "/w/dir"].map(PathBuf::from);
        let log = Log::new("/w/dir/test/zdtm/static/a.out".as_ref(), &watched).unwrap();
        for name in ["a.out.inprogress", "a.out", "a.out.external"] {
            assert!(log.is_in(&format!("files of /w/dir: + test/zdtm/static/{name} file mode 644")), "{name}");
            assert!(log.is_in(&format!("files of /w/dir: - test/zdtm/static/{name} file mode 644")), "{name}");
        }
        assert!(!log.is_in("files of /w/dir: + test/zdtm/static/a.test file"));
        assert!(!log.is_in("files of /dev/shm: + test/zdtm/static/a.out file"));
        assert!(Log::new("/elsewhere/a.out".as_ref(), &watched).is_none());
    }
}
