// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Messages are put together byte by byte here, in the order that iproute2 6.1 was seen to write them.

use super::*;

fn word(order: ByteOrder, number: u32) -> [u8; 4] {
    match order {
        ByteOrder::Little => number.to_le_bytes(),
        ByteOrder::Big => number.to_be_bytes(),
    }
}

fn half(order: ByteOrder, number: u16) -> [u8; 2] {
    match order {
        ByteOrder::Little => number.to_le_bytes(),
        ByteOrder::Big => number.to_be_bytes(),
    }
}

fn attribute(order: ByteOrder, kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = half(order, value.len() as u16 + 4).to_vec();
    bytes.extend(half(order, kind));
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn message(order: ByteOrder, kind: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = word(order, payload.len() as u32 + 16).to_vec();
    bytes.extend(half(order, kind));
    bytes.extend([0; 10]);
    bytes.extend(payload);
    bytes
}

/// An `RTM_NEWADDR` of interface 4.
fn new_address(order: ByteOrder, family: u8, prefix: u8, attributes: &[(u16, &[u8])]) -> Vec<u8> {
    let mut payload = vec![family, prefix, 0x80, 0];
    payload.extend(word(order, 4));
    payload.extend(attributes.iter().flat_map(|(kind, value)| attribute(order, *kind, value)));
    message(order, RTM_NEWADDR, &payload)
}

fn saved(order: ByteOrder, messages: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = word(order, SAVE_MAGIC).to_vec();
    bytes.extend(messages.concat());
    bytes
}

#[track_caller]
fn check(bytes: &[u8], expected: &[&str], expected_error: Option<&str>) {
    let (addresses, error) = interface_addresses(bytes);
    let addresses: Vec<String> =
        addresses.iter().map(|found| format!("{}: {}/{}", found.ifindex, found.address, found.prefix_length)).collect();
    assert_eq!(addresses, expected);
    assert_eq!(error.map(|error| error.to_string()).as_deref(), expected_error);
}

const V4: &[u8] = &[192, 0, 2, 2];
const V4_PEER: &[u8] = &[192, 0, 2, 9];
const V6: &[u8] = &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const LABEL: (u16, &[u8]) = (3, b"eth0\0");

#[test]
fn reads_what_ip_saves_in_both_byte_orders() {
    for order in ByteOrder::ALL {
        let v4 = new_address(order, AF_INET, 24, &[(IFA_ADDRESS, V4), (IFA_LOCAL, V4), LABEL]);
        let v6 = new_address(order, AF_INET6, 64, &[(IFA_ADDRESS, V6), (6, &[0; 16])]);
        check(&saved(order, &[v4, v6]), &["4: 192.0.2.2/24", "4: 2001:db8::1/64"], None);
    }
    check(&saved(ByteOrder::Little, &[]), &[], None);
}

#[test]
fn the_peer_of_a_link_is_not_its_own_address() {
    let order = ByteOrder::Little;
    let message = new_address(order, AF_INET, 32, &[(IFA_ADDRESS, V4_PEER), LABEL, (IFA_LOCAL, V4)]);
    check(&saved(order, &[message]), &["4: 192.0.2.2/32"], None);
}

#[test]
fn messages_about_other_things_are_passed_over() {
    let order = ByteOrder::Little;
    let link = message(order, 16, b"nothing to see");
    let mut unaligned = link.clone();
    unaligned.extend([0, 0]);
    let other_family = new_address(order, 7, 0, &[]);
    let v4 = new_address(order, AF_INET, 24, &[(IFA_LOCAL, V4)]);
    check(&saved(order, &[unaligned, other_family, v4, link]), &["4: 192.0.2.2/24"], None);
}

#[test]
fn what_follows_a_bad_message_is_read_where_it_can_be_found() {
    let order = ByteOrder::Little;
    let good = new_address(order, AF_INET, 24, &[(IFA_LOCAL, V4)]);
    let check_bad = |bad: Vec<u8>, error| {
        check(&saved(order, &[bad, good.clone()]), &["4: 192.0.2.2/24"], Some(error));
    };
    check_bad(new_address(order, AF_INET, 24, &[LABEL]), "at offset 4: the message has no address in it");
    check_bad(new_address(order, AF_INET, 24, &[(IFA_LOCAL, V6)]), "at offset 4: the address has the wrong length");
    check_bad(
        message(order, RTM_NEWADDR, &[2, 24, 0, 0]),
        "at offset 4: the message about an address is too short for one",
    );

    let mut short = good.clone();
    short[..4].copy_from_slice(&15u32.to_le_bytes());
    let error = "at offset 4: the message says it is shorter than its own header";
    check(&saved(order, &[short, good.clone()]), &[], Some(error));

    let mut huge = good.clone();
    huge[..4].copy_from_slice(&u32::MAX.to_le_bytes());
    let error = "at offset 4: the file ends after 64 of the 4294967295 bytes that belong here";
    check(&saved(order, &[huge, good]), &[], Some(error));
}

#[test]
fn another_file_is_refused() {
    check(b"", &[], Some("at offset 0: the file is empty"));
    check(b"\x22\x12", &[], Some("at offset 0: the file ends after 2 of the 4 bytes that belong here"));
    let error = "at offset 0: the magic number is 0x45311224, but that of this kind of image is 0x47361222";
    check(&0x4531_1224_u32.to_le_bytes(), &[], Some(error));
}

#[test]
fn a_cut_is_a_truncation_wherever_it_is() {
    for order in ByteOrder::ALL {
        let v4 = new_address(order, AF_INET, 24, &[(IFA_ADDRESS, V4), (IFA_LOCAL, V4), LABEL]);
        let v6 = new_address(order, AF_INET6, 64, &[(IFA_ADDRESS, V6)]);
        let bytes = saved(order, &[v4, v6]);
        let (whole, _) = interface_addresses(&bytes);
        for cut in 0..bytes.len() {
            let (addresses, error) = interface_addresses(&bytes[..cut]);
            assert!(addresses.len() < whole.len() && whole.starts_with(&addresses));
            assert!(error.is_none_or(|error| error.is_truncation()));
        }
    }
}
