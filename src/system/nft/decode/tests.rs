// SPDX-License-Identifier: Apache-2.0 OR MIT
use super::*;
use crate::system::netlink::{Messages, Request};
use crate::system::nft::Expression;

const INET: [u8; 4] = [1, 0, 0, 0];

fn nested(attributes: &[(u16, &[u8])]) -> Vec<u8> {
    let mut request = Request::new(0, &[]);
    for (kind, value) in attributes {
        request = request.attribute(*kind, value);
    }
    let bytes = bytes(request);
    bytes[16..].to_vec()
}

fn bytes(request: Request) -> Vec<u8> {
    let mut bytes = Vec::new();
    request.append_to(&mut bytes, 1);
    bytes
}

/// Decodes a message, and makes sure that no cut of it makes the decoder panic.
fn read<T>(request: Request, decode: impl Fn(&Message<'_>) -> T) -> T {
    let bytes = bytes(request);
    for length in 16..bytes.len() {
        let mut cut = bytes[..length].to_vec();
        cut[..4].copy_from_slice(&u32::try_from(length).unwrap().to_ne_bytes());
        decode(&Messages::new(&cut).next().unwrap().unwrap());
    }
    decode(&Messages::new(&bytes).next().unwrap().unwrap())
}

fn a_set(flags: u32) -> Request {
    Request::new(0, &INET).text(1, "t").text(2, "conns4").be32(3, flags).be32(4, 0x1c_d1cd).be32(5, 16).be64(16, 5)
}

fn form(request: Request) -> SetForm {
    read(request, set).unwrap().item.form
}

#[test]
fn a_plain_set_may_describe_its_key_and_carry_user_data() {
    assert_eq!(form(a_set(0)), SetForm::Plain);
    let concat = nested(&[(2, &[])]);
    assert_eq!(form(a_set(0).attribute(9, &concat).attribute(13, b"x").be32(20, 7)), SetForm::Plain);
}

#[test]
fn a_set_that_is_more_than_keys_is_not_plain() {
    for flag in [1, 2, 4, 8, 0x10, 0x20, 0x40, 0x80, 0x100, 0x8000_0000] {
        assert!(matches!(form(a_set(flag)), SetForm::Other(_)), "flag {flag:#x}");
    }
    for attribute in [6, 7, 10, 11, 12, 15, 17, 18, 21, 22, 40] {
        assert!(matches!(form(a_set(0).be64(attribute, 1)), SetForm::Other(_)), "attribute {attribute}");
    }
    let size = nested(&[(1, &[0, 0, 0, 9])]);
    assert_eq!(form(a_set(0).attribute(9, &size)), SetForm::Other("with a size limit"));
    assert_eq!(form(a_set(0).attribute(9, &[1])), SetForm::Other("malformed"));
}

#[test]
fn elements_are_keys_or_the_set_is_not_plain() {
    let elements_of = |element: &[u8]| {
        let list = nested(&[(1, element)]);
        read(Request::new(0, &INET).text(1, "t").text(2, "s").attribute(3, &list), elements)
    };
    let value = nested(&[(1, &[10, 0, 0, 1])]);
    let key = (1, value.as_slice());
    assert_eq!(elements_of(&nested(&[key])).unwrap(), (vec![vec![10, 0, 0, 1]], SetForm::Plain));
    // Data, flags, a timeout, a comment, the end of a range, an expression.
    for more in [2, 3, 4, 6, 7, 9, 10, 11, 30] {
        let (keys, form) = elements_of(&nested(&[key, (more, &[0; 8])])).unwrap();
        assert_eq!(keys.len(), 1);
        assert!(matches!(form, SetForm::Other(_)), "attribute {more}");
    }
    assert!(matches!(elements_of(&nested(&[(3, &[0, 0, 0, 2])])).unwrap().1, SetForm::Other(_)));
    assert!(elements_of(&nested(&[(1, &[1, 2])])).is_err());
}

#[test]
fn a_rule_with_an_attribute_that_is_not_known_shows_it() {
    let a_rule = || Request::new(0, &INET).text(1, "t").text(2, "c").be64(3, 9).attribute(4, &[]);
    let (chain, plain) = read(a_rule().be64(6, 8).attribute(7, b"comment"), rule).unwrap().item;
    assert_eq!((chain.as_str(), plain.handle, plain.expressions), ("c", 9, vec![]));
    for unknown in [5, 9, 40] {
        let (_, rule) = read(a_rule().be32(unknown, 1), rule).unwrap().item;
        assert!(matches!(rule.expressions[..], [Expression::Other { .. }]), "attribute {unknown}");
    }
}

#[test]
fn what_every_kernel_gives_must_be_there() {
    assert!(read(Request::new(0, &INET).text(1, "t").text(2, "c"), rule).is_err());
    assert!(read(Request::new(0, &INET).text(1, "t").be32(2, 0).be32(3, 0), table).is_err());
    assert!(read(Request::new(0, &INET), chain).is_err());
    let a_chain = || Request::new(0, &INET).text(1, "t").be64(2, 1).text(3, "c").be32(6, 0);
    assert_eq!(read(a_chain(), chain).unwrap().item.hook, None);
    // A hook without its number, without a policy.
    assert!(read(a_chain().attribute(4, &[]).be32(5, 1).text(7, "filter"), chain).is_err());
    let hook = nested(&[(1, &[0, 0, 0, 1]), (2, &[0xff, 0xff, 0xff, 0xff])]);
    assert!(read(a_chain().attribute(4, &hook).text(7, "filter"), chain).is_err());
    let read = read(a_chain().attribute(4, &hook).be32(5, 1).text(7, "filter"), chain).unwrap().item;
    assert_eq!(read.hook.unwrap().priority, -1);
    assert_eq!(read.flags, 1);
}
