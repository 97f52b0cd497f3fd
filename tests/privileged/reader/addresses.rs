// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The addresses in `ifaddr-*.img`, against what `ip` shows in the namespace before the dump.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use criu_images::InterfaceAddress;
use serde_json::Value;
use testkit::{Container, Criu, DumpOptions, Launch, NetNamespace, Network, TestHost};

type Address = (u32, IpAddr, u8);

pub(super) fn as_ip_shows_them(criu: &Criu) {
    let host = TestHost::new();
    let namespace = host.make_net_namespace("blue");
    host.connect(&namespace, "10.1.2.1/24", "10.1.2.3/24");
    for address in ["fd00:1::3/64", "2001:db8::ffff:1:2/128"] {
        host.run_in(&namespace, "ip", &[&"address", &"add", &address, &"dev", &"blue-in"]);
    }
    host.run_in(&namespace, "ip", &[&"address", &"add", &"10.9.9.9", &"peer", &"10.8.8.8/30", &"dev", &"blue-in"]);
    let container = Container::new(&host, "root");
    let launch = Launch::new(&[]).network(Network::Named(namespace.clone())).container(&container);
    let tree = launch.start(&host);
    let shown = await_addresses(&host, &namespace);
    let images = host.dir().with_file_name("images");
    criu.dump(&host, &tree, &images, &DumpOptions::default());
    assert_eq!(recorded(&images), shown);
}

/// All addresses, once the one that the kernel adds by itself when the device is up is there.
fn await_addresses(host: &TestHost, namespace: &NetNamespace) -> BTreeSet<Address> {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let shown = shown(host, namespace);
        if shown.iter().any(|(_, address, _)| address.to_string().starts_with("fe80:")) {
            return shown;
        }
        assert!(Instant::now() < end, "void: no link-local address comes up: {shown:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn shown(host: &TestHost, namespace: &NetNamespace) -> BTreeSet<Address> {
    let text = host.run_in(namespace, "ip", &[&"-json", &"address"]).stdout;
    let links: Vec<Value> = serde_json::from_str(&text).expect("JSON");
    let of_link = |link: &Value| -> Vec<Address> {
        let number = |value: &Value| value.as_u64().expect("a number");
        let index = u32::try_from(number(&link["ifindex"])).expect("an index");
        let addresses = link["addr_info"].as_array().expect("addresses").iter();
        addresses
            .map(|each| {
                let address = each["local"].as_str().expect("text").parse().expect("an address");
                (index, address, u8::try_from(number(&each["prefixlen"])).expect("a length"))
            })
            .collect()
    };
    links.iter().flat_map(of_link).collect()
}

fn recorded(images: &std::path::Path) -> BTreeSet<Address> {
    let names = std::fs::read_dir(images).expect("the images directory");
    let is_addresses = |name: &str| name.starts_with("ifaddr-");
    let mut paths = names.map(|entry| entry.expect("an entry").path());
    let path = paths.find(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(is_addresses));
    let bytes = std::fs::read(path.expect("an image of addresses")).expect("an image");
    let (addresses, error) = criu_images::interface_addresses(&bytes);
    assert!(error.is_none(), "{error:?}");
    let as_tuple = |found: InterfaceAddress| (found.ifindex, found.address, found.prefix_length);
    addresses.into_iter().map(as_tuple).collect()
}
