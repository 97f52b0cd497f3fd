// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Named network namespaces of a host.

use std::path::PathBuf;

use super::TestHost;
use crate::Word;
use crate::command::{CommandExt, Finished};

/// A network namespace that outlives the trees in it, because /run/netns of its host names it.
#[derive(Clone, Debug)]
pub struct NetNamespace {
    name: String,
}

impl TestHost {
    /// Makes a named network namespace whose loopback device is up.
    ///
    /// # Panics
    /// If the host has one of that name.
    pub fn make_net_namespace(&self, name: &str) -> NetNamespace {
        self.run("ip", &[&"netns", &"add", &name]);
        let namespace = NetNamespace { name: name.to_owned() };
        self.run_in(&namespace, "ip", &[&"link", &"set", &"lo", &"up"]);
        namespace
    }

    /// Gives a network namespace that somebody else made, and that has this path, a name as well.
    ///
    /// # Panics
    /// If the host has one of that name.
    pub fn name_net_namespace(&self, path: &std::path::Path, name: &str) -> NetNamespace {
        let script = "touch /run/netns/$1; mount --bind $0 /run/netns/$1";
        self.run("sh", &[&"-ec", &script, &path, &name]);
        let namespace = NetNamespace { name: name.to_owned() };
        self.run_in(&namespace, "ip", &[&"link", &"set", &"lo", &"up"]);
        namespace
    }

    /// Connects the namespace with the host by a pair of devices, `NAME-host` and `NAME-in`, that
    /// have the addresses given (`10.0.0.1/24`).
    ///
    /// # Panics
    /// If the kernel refuses.
    pub fn connect(&self, namespace: &NetNamespace, host_address: &str, inner_address: &str) {
        let (host, inner) = (format!("{}-host", namespace.name), format!("{}-in", namespace.name));
        let link: [Word<'_>; 9] = [&"link", &"add", &host, &"type", &"veth", &"peer", &"name", &inner, &"netns"];
        self.command("ip").args(link).arg(&namespace.name).succeed();
        self.run("ip", &[&"address", &"add", &host_address, &"dev", &host]);
        self.run("ip", &[&"link", &"set", &host, &"up"]);
        self.run_in(namespace, "ip", &[&"address", &"add", &inner_address, &"dev", &inner]);
        self.run_in(namespace, "ip", &[&"link", &"set", &inner, &"up"]);
    }

    /// Runs a program in the host, but in one of its network namespaces.
    ///
    /// # Panics
    /// If it fails or takes too long; the message holds its standard error.
    #[track_caller]
    pub fn run_in(&self, namespace: &NetNamespace, program: &str, words: &[Word<'_>]) -> Finished {
        self.command_in(Some(&namespace.path()), program).args(words).succeed()
    }
}

impl NetNamespace {
    /// The namespace of that name, whoever made it.
    pub(crate) fn named(name: &str) -> Self {
        Self { name: name.to_owned() }
    }

    /// Its name in /run/netns.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its path, as the host names it.
    pub fn path(&self) -> PathBuf {
        PathBuf::from("/run/netns").join(&self.name)
    }
}
