// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A pod: containers of a real engine in one network namespace, a volume, and peers outside.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use testkit::{IptablesFlavour, LockMethod, NetNamespace, Specification, TestHost, Word};

use crate::closed::PROGRAMS;
use crate::filters::{Filters, make_tables, tables};
use crate::places::link_in;
use crate::tool::NOTHING;
use crate::traffic::{Net, Outside, Peer};

/// How CRIU may lock a network namespace.
pub(crate) const LOCKS: [(LockMethod, IptablesFlavour); 3] = [
    (LockMethod::Iptables, IptablesFlavour::Nft),
    (LockMethod::Iptables, IptablesFlavour::Legacy),
    (LockMethod::Nftables, IptablesFlavour::Nft),
];

/// The outer ends of the connections of the two containers.
pub(crate) struct Peers {
    pub(crate) sidecar: Peer,
    pub(crate) container: Peer,
}

/// Where the sidecar serves.
const SIDECAR: &str = "10.9.0.2:8080";

/// A network namespace that containers share, and a volume.
pub(crate) struct Pod<'a> {
    host: &'a TestHost,
    pub(crate) network: NetNamespace,
    pub(crate) volume: PathBuf,
    outside: Outside,
}

impl<'a> Pod<'a> {
    /// A pod of which the host is the network. The tables of iptables are made: no use of iptables takes them away.
    pub(crate) fn new(host: &'a TestHost, flavour: IptablesFlavour) -> Self {
        Self::around(host, flavour, host.make_net_namespace("pod"))
    }

    /// The same around a network namespace that an engine has made.
    pub(crate) fn around(host: &'a TestHost, flavour: IptablesFlavour, network: NetNamespace) -> Self {
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

    /// The same program, which may be started again and again: it removes its old files first.
    pub(crate) fn restartable_container(&self) -> Specification {
        let old: [Word<'_>; 6] =
            [&"remove-old", &"/data/one.keep", &"remove-old", &"/tmp/two.keep", &"remove-old", &"/dev/shm/sem.name"];
        let files: [Word<'_>; 6] = [&"deleted", &"/data/one", &"deleted", &"/tmp/two", &"semaphore", &"name"];
        let connection: [Word<'_>; 2] = [&"connect", &self.outside.address()];
        self.specification(&[old.as_slice(), &files, &connection].concat())
    }

    fn specification(&self, words: &[Word<'_>]) -> Specification {
        Specification::new(&self.network, &self.volume, words)
    }

    /// The outer end of the connection of the container that was started last.
    pub(crate) fn peer(&self) -> Peer {
        self.outside.accept()
    }

    /// Whether the sidecar answers to the host.
    fn sidecar_answers(&self) -> bool {
        let server: SocketAddr = SIDECAR.parse().expect("an address");
        Net::of_host(self.host).reaches(server)
    }

    /// Proves that the checkpoint left what it is known to leave: three link remaps, by the place of the container's
    /// root directory, and a network without packets.
    pub(crate) fn assert_has_residue(&self, root: &Path, flavour: IptablesFlavour, peers: &mut Peers) {
        for place in [&self.volume, Path::new("/dev/shm"), &root.join("tmp")] {
            link_in(&self.host.path(place));
        }
        assert!(!self.locks(flavour).is_empty() && !self.sidecar_answers(), "void: the network is not locked");
        peers.sidecar.send();
        peers.sidecar.assert_gets_no_answer();
    }

    /// Whether anything of CRIU's locks the network.
    pub(crate) fn is_locked(&self, flavour: IptablesFlavour) -> bool {
        !self.locks(flavour).is_empty()
    }

    /// Proves that nobody in the pod has a network.
    pub(crate) fn assert_locked(&self, flavour: IptablesFlavour) {
        assert!(self.is_locked(flavour) && !self.sidecar_answers(), "void: the network is not locked");
    }

    /// The sidecar has its network again.
    pub(crate) fn assert_sidecar_has_network(&self, flavour: IptablesFlavour, peers: &mut Peers) {
        assert_eq!(self.locks(flavour), NOTHING);
        assert!(self.sidecar_answers());
        peers.sidecar.assert_gets_an_answer();
    }

    /// The sidecar has its network again, and what waited for it is through; the container's peer learns of its end.
    pub(crate) fn assert_has_network_again(&self, flavour: IptablesFlavour, peers: &mut Peers) {
        assert_eq!(self.locks(flavour), NOTHING);
        assert!(self.sidecar_answers());
        peers.sidecar.assert_gets_an_answer();
        peers.container.send();
        peers.container.assert_reset();
    }

    /// The container lives again, and its connections with it.
    pub(crate) fn assert_restored(&self, peers: &mut Peers) {
        for peer in [&mut peers.sidecar, &mut peers.container] {
            peer.send();
            peer.assert_gets_an_answer();
        }
        assert!(self.sidecar_answers());
    }

    /// The chains and tables of the network namespace that have CRIU's name.
    fn locks(&self, flavour: IptablesFlavour) -> Vec<String> {
        let path = self.network.path();
        let filters = Filters::of_namespace(self.host, &path, flavour);
        let chains =
            PROGRAMS.iter().flat_map(|program| filters.lines(program)).filter(|line| line.starts_with(":CRIU"));
        chains.chain(tables(self.host, Some(&path)).into_iter().filter(|name| name.starts_with("CRIU-"))).collect()
    }
}
