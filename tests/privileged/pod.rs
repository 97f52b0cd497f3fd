// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A pod: containers of a real engine in one network namespace, a volume, and peers outside.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use testkit::{IptablesFlavour, LockMethod, NetNamespace, Specification, TestHost, Word};

use crate::closed::PROGRAMS;
use crate::filters::{Filters, make_tables, tables};
use crate::traffic::{Net, Outside, Peer};

/// How CRIU may lock a network namespace.
pub(crate) const LOCKS: [(LockMethod, IptablesFlavour); 3] = [
    (LockMethod::Iptables, IptablesFlavour::Nft),
    (LockMethod::Iptables, IptablesFlavour::Legacy),
    (LockMethod::Nftables, IptablesFlavour::Nft),
];

/// Where the sidecar serves.
const SIDECAR: &str = "10.9.0.2:8080";

/// A network namespace that containers share, and a volume.
pub(crate) struct Pod<'a> {
    host: &'a TestHost,
    pub(crate) network: NetNamespace,
    volume: PathBuf,
    outside: Outside,
}

impl<'a> Pod<'a> {
    /// A pod of which the host is the network. The tables of iptables are made: no use of iptables takes them away.
    pub(crate) fn new(host: &'a TestHost, flavour: IptablesFlavour) -> Self {
        let network = host.net_namespace("pod");
        host.connect(&network, "10.9.0.1/24", "10.9.0.2/24");
        make_tables(host, None, flavour);
        make_tables(host, Some(&network.path()), flavour);
        let volume = host.dir().join("volume");
        fs::create_dir(&volume).expect("a new directory");
        let outside = Outside::listen(&Net::of_host(host), "10.9.0.1:0");
        Pod { host, network, volume, outside }
    }

    /// The container that lives on: a server, and a client of a peer outside.
    pub(crate) fn sidecar(&self) -> Specification {
        self.specification(&[&"serve", &SIDECAR, &"connect", &self.outside.address()])
    }

    /// The container to checkpoint: with a file on its volume and one in its root directory that lost their names, a
    /// named semaphore, and a connection with a peer outside.
    pub(crate) fn container(&self) -> Specification {
        let files: [Word<'_>; 6] = [&"deleted", &"/data/one", &"deleted", &"/tmp/two", &"semaphore", &"name"];
        let connection: [Word<'_>; 2] = [&"connect", &self.outside.address()];
        self.specification(&[files.as_slice(), &connection].concat())
    }

    fn specification(&self, words: &[Word<'_>]) -> Specification {
        Specification::new(&self.network, &self.volume, words)
    }

    /// The outer end of the connection of the container that was started last.
    pub(crate) fn peer(&self) -> Peer {
        self.outside.accept()
    }

    /// Whether the sidecar answers to the host.
    pub(crate) fn sidecar_answers(&self) -> bool {
        let server: SocketAddr = SIDECAR.parse().expect("an address");
        Net::of_host(self.host).reaches(server)
    }

    /// The chains and tables of the network namespace that have CRIU's name.
    pub(crate) fn locks(&self, flavour: IptablesFlavour) -> Vec<String> {
        let path = self.network.path();
        let filters = Filters::of_namespace(self.host, &path, flavour);
        let chains =
            PROGRAMS.iter().flat_map(|program| filters.lines(program)).filter(|line| line.starts_with(":CRIU"));
        chains.chain(tables(self.host, Some(&path)).into_iter().filter(|name| name.starts_with("CRIU-"))).collect()
    }

    /// Where the link remaps of the container lie, by the place of its root directory's files.
    pub(crate) fn link_places(&self, root: &Path) -> [PathBuf; 3] {
        [self.volume.clone(), "/dev/shm".into(), root.join("tmp")]
    }
}
