// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A user namespace for a container, made before the container is: its other namespaces are to belong to it.

use std::ffi::OsString;
use std::fs;
use std::process::Child;

use crate::command::wait_until;
use crate::host::TestHost;
use crate::process;

/// How many user and group ids a namespace has.
const IDS: u32 = 65_536;

/// A user namespace, held by a process that does nothing else and ends with this value.
#[derive(Debug)]
pub(crate) struct UserNamespace {
    holder: Child,
    /// The process in it, as the machine numbers it.
    pid: u32,
}

impl UserNamespace {
    /// One whose user and group 0 is `first` of the host; those that follow follow.
    pub(crate) fn new(host: &TestHost, first: u32) -> Self {
        let holder = host.spawn("unshare", &[&"--user", &"sleep", &"infinity"]);
        let is_inside = || {
            let child = process::children(holder.id()).first().copied()?;
            process::program(child)?.ends_with("sleep").then_some(child)
        };
        let pid = wait_until(is_inside).expect("a process in a new user namespace");
        for map in ["uid_map", "gid_map"] {
            fs::write(format!("/proc/{pid}/{map}"), format!("0 {first} {IDS}"))
                .expect("a map, which only root can write");
        }
        Self { holder, pid }
    }

    /// The options with which `nsenter` of the host enters it as its root.
    pub(crate) fn entry(&self) -> Vec<OsString> {
        let number = process::numbers(self.pid);
        let pid = number.get(1).expect("a process of a host");
        vec![format!("--user=/proc/{pid}/ns/user").into(), "--setuid=0".into(), "--setgid=0".into()]
    }
}

impl Drop for UserNamespace {
    fn drop(&mut self) {
        process::kill(self.pid);
        // The child is the nsenter that waits for it.
        if let Err(error) = self.holder.wait() {
            eprintln!("a user namespace of process {} may not end: {error}", self.pid);
        }
    }
}
