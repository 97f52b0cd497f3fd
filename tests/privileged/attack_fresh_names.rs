// SPDX-License-Identifier: Apache-2.0 OR MIT
//! More attacks on the names of network namespaces (L1): two that changed names since the dumps, each of which is older
//! than all images and is closed by a chain that says nothing of its owner.

use std::fs;
use std::path::PathBuf;

use testkit::{Criu, DumpOptions, IptablesFlavour, Launch, Network, TestHost};

use crate::case::{Case, Cases};
use crate::filters::make_tables;
use crate::held::Pod;
use crate::tool::Tool;
use crate::traffic::Net;

inventory::submit!(Cases::with_newest_criu(&[
    Case { name: "attack: network namespaces that changed names keep each its lock", test: exchanged },
    Case { name: "attack: network namespaces that are alike and changed names keep each its lock", test: alike },
]));

const NAMES: [&str; 2] = ["blue", "green"];

fn bundle(host: &TestHost, name: &str) -> PathBuf {
    host.dir().with_file_name("bundles").join(name)
}

/// A second name keeps a namespace, and its age, while the first is given to another.
fn alias(name: &str) -> String {
    format!("/run/alias.{name}")
}

fn is_open(host: &TestHost, name: &str) -> bool {
    Net::at(host, alias(name).as_ref()).lets_packets_pass()
}

/// A namespace, and a bundle whose configuration names it.
fn dump(criu: &Criu, host: &TestHost, name: &str, addresses: Option<[&str; 2]>) {
    let namespace = host.make_net_namespace(name);
    if let Some([outer, inner]) = addresses {
        host.connect(&namespace, outer, inner);
    }
    host.run("touch", &[&alias(name)]);
    host.run("mount", &[&"--bind", &namespace.path(), &alias(name)]);
    make_tables(host, Some(&namespace.path()), IptablesFlavour::Nft);
    let launch = Launch::new(&[&"listen-connect", &"127.0.0.1:0"]).network(Network::Named(namespace.clone()));
    let images = bundle(host, name).join("checkpoint");
    fs::create_dir_all(&images).expect("new directories");
    criu.dump(host, &launch.start(host), &images, &DumpOptions::default());
    fs::write(bundle(host, name).join("config.json"), Pod::config(&namespace.path())).expect("a new file");
    assert!(!is_open(host, name), "void: the namespace is open");
}

/// Gives each name to the namespace of this alias.
fn give_names(host: &TestHost, aliases: [&str; 2]) {
    for (name, other) in NAMES.iter().zip(aliases) {
        let path = format!("/run/netns/{name}");
        host.run("umount", &[&path]);
        host.run("mount", &[&"--bind", &alias(other), &path]);
    }
}

fn exchanged(criu: &Criu) {
    assert_kept_apart(criu, [Some(["10.1.0.1/24", "10.1.0.2/24"]), Some(["10.2.0.1/24", "10.2.0.2/24"])]);
}

fn alike(criu: &Criu) {
    assert_kept_apart(criu, [None, None]);
}

fn assert_kept_apart(criu: &Criu, addresses: [Option<[&str; 2]>; 2]) {
    let host = TestHost::new();
    make_tables(&host, None, IptablesFlavour::Nft);
    for (name, addresses) in NAMES.iter().zip(addresses) {
        dump(criu, &host, name, addresses);
    }
    give_names(&host, ["green", "blue"]);
    let told = Tool::new(&host, &bundle(&host, "blue")).run(&[]);
    assert!(!is_open(&host, "green"), "GOT: another dump's lock was removed: {told}");
    assert!(told.code() == 1 || is_open(&host, "blue"), "GOT: clean: {told}");
    give_names(&host, ["blue", "green"]);
    // The lock of the first may be removed already, by its devices.
    for name in NAMES.into_iter().rev() {
        let told = Tool::new(&host, &bundle(&host, name)).run(&[]);
        assert!(told.code() == 0 && is_open(&host, name), "NOT CLEANED: {told}");
    }
}
