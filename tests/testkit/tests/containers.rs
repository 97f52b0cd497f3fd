// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Dumps of trees with namespaces of their own: what outlives them holds the residue.

use std::path::Path;

use testkit::suite::{self, Case};
use testkit::{
    Access, Connection, Container, Crit, Criu, DumpOptions, DumpResult, Launch, LockMethod, Network, TestHost, Workload,
};

fn main() -> std::process::ExitCode {
    suite::run(&[
        Case {
            name: "links are made in the root and in bind mounts",
            test: links_are_made_in_the_root_and_in_bind_mounts,
        },
        Case { name: "a named network namespace stays locked", test: a_named_network_namespace_stays_locked },
        Case {
            name: "the devices of a network namespace are recorded",
            test: the_devices_of_a_network_namespace_are_recorded,
        },
        Case {
            name: "nothing outlives a network namespace of ones own",
            test: nothing_outlives_a_network_namespace_of_ones_own,
        },
    ])
}

fn images(host: &TestHost) -> std::path::PathBuf {
    host.dir().with_file_name("images")
}

fn dump(criu: &Criu, host: &TestHost, tree: &Workload, options: &DumpOptions) -> DumpResult {
    let dump = criu.dump(host, tree, &images(host), options);
    assert_eq!(tree.state(), None);
    println!("{} {:?}: {:?}", criu.version(), options.lock, dump.duration);
    dump
}

fn links_are_made_in_the_root_and_in_bind_mounts() {
    for criu in Criu::all() {
        let host = TestHost::new();
        let volume = host.dir().join("volume");
        std::fs::create_dir(&volume).unwrap();
        let container = Container::new(&host, "root").bind(&volume, "/data".as_ref(), Access::ReadWrite);
        let container = container.tmpfs("/dev/shm".as_ref()).bind(&volume, "/same".as_ref(), Access::ReadOnly);
        std::fs::write(volume.join("to read"), "").unwrap();
        let directives: [testkit::Word<'_>; 8] = [
            &"deleted",
            &"/tmp/one",
            &"deleted",
            &"/data/two",
            &"deleted",
            &"/dev/shm/three",
            &"open",
            &"/same/to read",
        ];
        let tree = Launch::new(&directives).container(&container).start(&host);
        let before = host.snapshot(&[host.dir()]);
        let dump = dump(&criu, &host, &tree, &DumpOptions::default());
        let residue = before.difference(&host.snapshot(&[host.dir()]));
        let is_in = |place: &str| residue.iter().any(|line| line.contains(&format!("+ {place}/link_remap.")));
        assert!(is_in("root/tmp") && is_in("volume"), "{residue:#?}");
        assert_eq!(Crit::records(&criu, &dump.images.join("remap-fpath.img")).len(), 3);
    }
}

fn a_named_network_namespace_stays_locked() {
    for criu in Criu::all() {
        for (lock, text) in
            [(LockMethod::Iptables, "+ filter: -A INPUT -j CRIU"), (LockMethod::Nftables, "+ table inet CRIU-")]
        {
            let host = TestHost::new();
            let network = Network::Named(host.make_net_namespace("blue"));
            let container = Container::new(&host, "root");
            let launch = Launch::new(&[&"listen-connect", &"127.0.0.1:0"]).network(network).container(&container);
            let tree = launch.start(&host);
            let before = host.snapshot(&[]);
            dump(&criu, &host, &tree, &DumpOptions { lock, ..DumpOptions::default() });
            let residue = before.difference(&host.snapshot(&[]));
            assert!(residue.iter().all(|line| line.contains("in blue: +")), "{residue:#?}");
            assert!(residue.iter().any(|line| line.contains(text)), "{residue:#?}");
        }
    }
}

fn the_devices_of_a_network_namespace_are_recorded() {
    for criu in Criu::all() {
        let host = TestHost::new();
        let blue = host.make_net_namespace("blue");
        host.connect(&blue, "10.9.0.1/24", "10.9.0.2/24");
        let server = host.start_workload(&[&"serve", &"10.9.0.1:0"]);
        let address = server.listeners()[0];
        let launch = Launch::new(&[&"connect", &address.to_string()]).network(Network::Named(blue));
        let tree = launch.start(&host);
        let [Connection { local, peer }] = tree.connections()[..] else { panic!("one connection") };
        assert_eq!((local.ip().to_string().as_str(), peer), ("10.9.0.2", address));
        let dump = dump(&criu, &host, &tree, &DumpOptions::default());
        let names: Vec<_> = std::fs::read_dir(&dump.images).unwrap().map(|e| e.unwrap().file_name()).collect();
        let devices = names.iter().find(|name| name.to_str().unwrap().starts_with("netdev-")).expect("netdev image");
        let devices = Crit::records(&criu, &dump.images.join(Path::new(devices)));
        assert!(devices.iter().any(|device| device["name"] == "blue-in"), "{devices:#?}");
    }
}

fn nothing_outlives_a_network_namespace_of_ones_own() {
    for criu in Criu::all() {
        let host = TestHost::new();
        let container = Container::new(&host, "root");
        let launch = Launch::new(&[&"open", &"/workload"]).network(Network::Own).container(&container);
        let tree = launch.start(&host);
        let before = host.snapshot(&[host.dir()]);
        dump(&criu, &host, &tree, &DumpOptions::default());
        assert_eq!(before.difference(&host.snapshot(&[host.dir()])), [""; 0]);
    }
}
