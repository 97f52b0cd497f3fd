// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Dumps whose CRIU is killed at a chosen point. A call of the C library is chosen with a [`Kill`](super::killed::Kill).
//!
//! A script that CRIU calls says that the point is reached and then sleeps, so that the kill hits
//! there and nowhere else.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::Criu;
use super::options::DumpOptions;
use crate::command::wait_until;
use crate::host::{SEARCH_PATH, TestHost};
use crate::process;
use crate::workload::Workload;

/// Where CRIU is killed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StopPoint {
    /// When all is dumped: at its action script `post-dump`.
    PostDump,
    /// Before it inserts the rule of this number, counted from 1. Rules are inserted one by one only
    /// for trees in the host's network namespace, with [`super::options::LockMethod::Iptables`].
    Rule(u32),
}

/// What a killed CRIU leaves.
#[derive(Debug)]
pub struct Interrupted {
    /// Where the images are, as far as they were written.
    pub images: PathBuf,
}

impl Criu {
    /// Starts a dump and kills CRIU at the point given. The tree lives on.
    ///
    /// # Panics
    /// If the dump does not come to that point.
    #[track_caller]
    pub fn dump_until(
        &self,
        host: &TestHost,
        tree: &Workload,
        images: &Path,
        options: &DumpOptions,
        point: StopPoint,
    ) -> Interrupted {
        let mut command = self.dump_command(host, tree, images, options);
        let reached = host.unused_path("reached");
        point.prepare(&mut command, host, options, &reached);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut nsenter = command.spawn().expect("nsenter");
        let is_there = wait_until(|| match fs::exists(&reached) {
            Ok(true) => Some(true),
            _ => nsenter.try_wait().expect("a child's status").map(|_| false),
        });
        kill_below(&mut nsenter);
        let log = super::dump::end_of(&images.join("dump.log"));
        assert!(is_there == Some(true), "CRIU does not come to {point:?}\n{log}");
        Interrupted { images: images.to_owned() }
    }
}

/// CRIU first: it must not see its script end.
pub(super) fn kill_below(nsenter: &mut Child) {
    let below = process::children(nsenter.id()).into_iter().flat_map(process::tree);
    below.collect::<Vec<_>>().into_iter().for_each(process::kill);
    nsenter.wait().expect("a child's status");
}

impl StopPoint {
    fn prepare(self, command: &mut Command, host: &TestHost, options: &DumpOptions, reached: &Path) {
        match self {
            Self::PostDump => {
                let script = host.unused_path("action");
                let text = format!("[ \"$CRTOOLS_SCRIPT_ACTION\" != post-dump ] || {}", sleep(reached));
                write_script(&script, &text);
                command.arg("--action-script").arg(script);
            }
            Self::Rule(number) => {
                let directory = options.flavour.directory(host);
                let (program, calls) = (directory.join("iptables"), host.unused_path("calls"));
                fs::rename(&program, directory.join("iptables.real")).expect("a link");
                let count = format!("echo >> {0}; [ $(wc -l < {0}) -lt {number} ]", calls.display());
                let text = format!(
                    "case $* in *' -I '*) {{ {count}; }} || {};; esac\nexec -a iptables {} \"$@\"",
                    sleep(reached),
                    options.flavour.program().display()
                );
                write_script(&program, &text);
                command.env("PATH", format!("{}:{SEARCH_PATH}", directory.display()));
            }
        }
    }
}

fn sleep(reached: &Path) -> String {
    format!("{{ touch {}; sleep infinity; }}", reached.display())
}

fn write_script(path: &Path, text: &str) {
    fs::write(path, format!("#!/bin/bash\n{text}\n")).expect("a new file");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("a new file");
}
