// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A tree that runs in a host.

use std::net::SocketAddr;
use std::process::Child;

use crate::command::wait_until;
use crate::container::Container;
use crate::process;

/// A tree of processes, killed when this goes out of scope, or with its host.
#[derive(Debug)]
pub struct Workload {
    launcher: Child,
    report: Report,
    container: Option<Container>,
}

/// What the tree says about itself, and who its root process is.
#[derive(Debug)]
pub(crate) struct Report {
    root: u32,
    lines: Vec<String>,
}

/// A TCP connection, as its client sees it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Connection {
    /// The client's end.
    pub local: SocketAddr,
    /// The server's end.
    pub peer: SocketAddr,
}

impl Workload {
    pub(crate) fn new(launcher: Child, report: Report, container: Option<&Container>) -> Self {
        Self { launcher, report, container: container.cloned() }
    }

    /// The root process, as the host numbers it: what CRIU's `--tree` takes.
    ///
    /// # Panics
    /// If the process is gone.
    pub fn pid(&self) -> u32 {
        *process::numbers(self.real_pid()).get(1).expect("a process of a host")
    }

    /// The root process, as the machine numbers it.
    pub fn real_pid(&self) -> u32 {
        self.report.root
    }

    /// All processes, as the machine numbers them.
    pub fn real_pids(&self) -> Vec<u32> {
        process::tree(self.real_pid())
    }

    /// The root process's state, as the letter in /proc/PID/stat; nothing if it is gone.
    pub fn state(&self) -> Option<char> {
        process::state(self.real_pid())
    }

    /// The connections that the tree made, children's too, in the order of the directives.
    pub fn connections(&self) -> Vec<Connection> {
        let parse = |line: &str| {
            let (local, peer) = line.split_once(' ')?;
            Some(Connection { local: local.parse().ok()?, peer: peer.parse().ok()? })
        };
        self.report.values("connection").filter_map(parse).collect()
    }

    /// The addresses that the tree listens at, in the order of the directives.
    pub fn listeners(&self) -> Vec<SocketAddr> {
        self.report.values("listening").filter_map(|address| address.parse().ok()).collect()
    }

    /// The container that the tree runs in.
    pub fn container(&self) -> Option<&Container> {
        self.container.as_ref()
    }

    /// Waits until all the processes given are gone.
    pub(crate) fn await_end(&self, pids: &[u32]) {
        let gone = wait_until(|| pids.iter().all(|pid| !process::exists(*pid)).then_some(()));
        assert!(gone.is_some(), "the tree of process {} still runs", self.real_pid());
    }
}

impl Drop for Workload {
    /// The launcher must live to reap the root process: the machine's process 1, which would get it
    /// otherwise, may take its time, and a pid namespace ends only when all in it are reaped.
    fn drop(&mut self) {
        if let Ok(None) = self.launcher.try_wait() {
            self.real_pids().into_iter().for_each(process::kill);
        }
        let ended = wait_until(|| {
            let ended = self.launcher.try_wait().transpose();
            if ended.is_none() {
                // It stops itself when the tree is stopped.
                process::resume(self.launcher.id());
            }
            ended
        });
        if ended.is_none_or(|status| status.is_err()) {
            eprintln!("process {} does not end", self.launcher.id());
        }
    }
}

impl Report {
    pub(crate) fn parse(text: &str, root: u32) -> Self {
        let lines = text.lines().map(|line| line.trim_start_matches("child ").to_owned());
        Self { root, lines: lines.collect() }
    }

    fn values<'a>(&'a self, keyword: &'a str) -> impl Iterator<Item = &'a str> {
        let value = move |line: &'a String| line.strip_prefix(keyword)?.strip_prefix(' ');
        self.lines.iter().filter_map(value)
    }
}
