// SPDX-License-Identifier: Apache-2.0 OR MIT
//! nf_tables over bare netlink. Nothing of an answer is decoded but where its messages end.

use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType, netlink, sockopt};

/// The chains of iptables in which CRIU inserts.
pub(crate) const CHAINS: [&str; 2] = ["INPUT", "OUTPUT"];

const IPV4: u8 = 2;
const INET: u8 = 1;
const SUBSYSTEM: u16 = 10 << 8;
const GETTABLE: u16 = SUBSYSTEM | 1;
const GETCHAIN: u16 = SUBSYSTEM | 4;
const GETRULE: u16 = SUBSYSTEM | 7;
const DELRULE: u16 = SUBSYSTEM | 8;
const REQUEST: u16 = 1;
const DUMP: u16 = 0x300;
const ACKNOWLEDGE: u16 = 4;
const ERROR: u16 = 2;
const DONE: u16 = 3;

/// The rules of these chains of iptables-nft.
pub(crate) fn dump(chains: &[&str]) {
    let socket = open();
    for chain in chains {
        ask(&socket, &message(GETRULE, DUMP, IPV4, 0, &[(1, "filter"), (2, chain)]));
    }
}

/// The same, and then they go.
pub(crate) fn dump_and_flush() {
    dump(&CHAINS);
    let socket = open();
    let mut batch = message(16, 0, 0, 10, &[]);
    batch.extend(message(DELRULE, 0, IPV4, 0, &[(1, "filter"), (2, CHAINS[0])]));
    batch.extend(message(DELRULE, ACKNOWLEDGE, IPV4, 0, &[(1, "filter"), (2, CHAINS[1])]));
    batch.extend(message(17, 0, 0, 10, &[]));
    ask(&socket, &batch);
}

/// The chains of all tables.
pub(crate) fn list_chains() {
    ask(&open(), &message(GETCHAIN, DUMP, 0, 0, &[]));
}

/// The tables of family inet.
pub(crate) fn list_tables() {
    ask(&open(), &message(GETTABLE, DUMP, INET, 0, &[]));
}

fn open() -> OwnedFd {
    let protocol = Some(netlink::NETFILTER);
    let socket = rustix::net::socket(AddressFamily::NETLINK, SocketType::RAW, protocol).expect("a netlink socket");
    sockopt::set_socket_recv_buffer_size_force(&socket, 1 << 24).expect("a buffer");
    socket
}

/// Sends it, and receives to the end of the answer.
fn ask(socket: &OwnedFd, request: &[u8]) {
    rustix::net::send(socket, request, SendFlags::empty()).expect("netlink");
    let mut buffer = vec![0; 1 << 16];
    loop {
        let (length, _) = rustix::net::recv(socket, buffer.as_mut_slice(), RecvFlags::empty()).expect("netlink");
        let mut rest = &buffer[..length];
        while rest.len() >= 16 {
            let size = u32::from_ne_bytes(rest[..4].try_into().expect("four bytes")) as usize;
            let kind = u16::from_ne_bytes([rest[4], rest[5]]);
            if kind == ERROR {
                assert_eq!(rest[16..20], [0; 4], "netlink refuses");
            }
            if kind == DONE || kind == ERROR {
                return;
            }
            rest = &rest[size.next_multiple_of(4).min(rest.len())..];
        }
    }
}

fn message(kind: u16, flags: u16, family: u8, resource: u16, names: &[(u16, &str)]) -> Vec<u8> {
    let mut bytes = vec![0; 4];
    bytes.extend(kind.to_ne_bytes());
    bytes.extend((flags | REQUEST).to_ne_bytes());
    bytes.extend([0; 8]);
    bytes.extend([family, 0]);
    bytes.extend(resource.to_be_bytes());
    for (number, name) in names {
        bytes.extend(u16::try_from(name.len() + 5).expect("a name").to_ne_bytes());
        bytes.extend(number.to_ne_bytes());
        bytes.extend(name.as_bytes());
        bytes.push(0);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    let length = u32::try_from(bytes.len()).expect("a message");
    bytes[..4].copy_from_slice(&length.to_ne_bytes());
    bytes
}
