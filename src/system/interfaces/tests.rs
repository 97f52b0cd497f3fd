// SPDX-License-Identifier: Apache-2.0 OR MIT
use super::*;
use crate::system::netlink::Messages;

fn address_message(family: u8, attributes: &[(u16, &[u8])]) -> Vec<u8> {
    let mut request = Request::new(RTM_NEWADDR, &[family, 24, 0, 0, 7, 0, 0, 0]);
    for (kind, value) in attributes {
        request = request.attribute(*kind, value);
    }
    let mut bytes = Vec::new();
    request.append_to(&mut bytes, 1);
    bytes
}

fn read(bytes: &[u8]) -> Result<Option<LinkAddress>, Malformed> {
    address(&Messages::new(bytes).next().unwrap()?)
}

#[test]
fn the_own_end_of_a_link_is_the_address() {
    let bytes = address_message(2, &[(1, &[10, 0, 0, 2]), (2, &[10, 0, 0, 1])]);
    let expected = LinkAddress { index: u32::from_ne_bytes([7, 0, 0, 0]), address: [10, 0, 0, 1].into() };
    assert_eq!(read(&bytes), Ok(Some(expected)));
}

#[test]
fn an_ipv6_address_without_an_own_end_is_read() {
    let bytes = address_message(10, &[(1, &[0xfd; 16])]);
    assert_eq!(read(&bytes).unwrap().unwrap().address, IpAddr::from([0xfd_u8; 16]));
}

#[test]
fn other_protocols_are_passed_over_and_wrong_lengths_refused() {
    assert_eq!(read(&address_message(12, &[(1, &[1])])), Ok(None));
    assert_eq!(read(&address_message(2, &[])), Ok(None));
    assert_eq!(read(&address_message(2, &[(1, &[0xfd; 16])])), Err(Malformed));
    let bytes = address_message(2, &[(1, &[10, 0, 0, 2])]);
    for length in 1..bytes.len() {
        assert_eq!(read(&bytes[..length]), Err(Malformed), "{length} bytes");
    }
}

#[test]
fn a_link_is_read() {
    let mut fixed = [0; LINK_FIXED_PART];
    fixed[4..8].copy_from_slice(&3u32.to_ne_bytes());
    fixed[8..12].copy_from_slice(&0x1008u32.to_ne_bytes());
    let mut bytes = Vec::new();
    Request::new(RTM_NEWLINK, &fixed).attribute(1, &[2; 6]).text(3, "lo").attribute(50, &[]).append_to(&mut bytes, 1);
    let message = Messages::new(&bytes).next().unwrap().unwrap();
    let expected = Link { index: 3, name: b"lo".to_vec(), hardware_address: vec![2; 6] };
    assert_eq!(link(&message), Some(expected));
}

#[test]
fn every_namespace_has_a_loopback_interface() {
    assert!(links().unwrap().iter().any(|link| link.name == b"lo"));
    addresses().unwrap();
}
