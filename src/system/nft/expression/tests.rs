// SPDX-License-Identifier: Apache-2.0 OR MIT
use super::*;

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).unwrap();
    let mut bytes = [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), value].concat();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn be32(kind: u16, value: u32) -> Vec<u8> {
    attribute(kind, &value.to_be_bytes())
}

fn expression(name: &str, data: &[Vec<u8>]) -> Vec<u8> {
    let name = attribute(NFTA_EXPR_NAME, format!("{name}\0").as_bytes());
    attribute(NFTA_LIST_ELEM, &[name, attribute(NFTA_EXPR_DATA, &data.concat())].concat())
}

fn decoded(bytes: &[u8]) -> Vec<Expression> {
    decode_list(Attributes::nested(bytes))
}

fn check(name: &str, data: &[Vec<u8>], expected: Expression) {
    assert_eq!(decoded(&expression(name, data)), [expected]);
}

fn unknown(name: &str, data: &[Vec<u8>]) {
    check(name, data, other(name));
}

fn verdict_data(code: i32, rest: &[Vec<u8>]) -> Vec<u8> {
    let verdict = [be32(1, code as u32), rest.concat()].concat();
    attribute(2, &attribute(NFTA_DATA_VERDICT, &verdict))
}

#[test]
fn known_forms_are_decoded() {
    check("meta", &[be32(1, 1), be32(2, 3)], Expression::Meta { key: 3, register: 1 });
    check(
        "payload",
        &[be32(1, 9), be32(2, 2), be32(3, 0), be32(4, 4)],
        Expression::Payload { base: 2, offset: 0, length: 4, register: 9 },
    );
    check(
        "cmp",
        &[be32(1, 1), be32(2, 1), attribute(3, &attribute(NFTA_DATA_VALUE, &[0x14, 0xc1, 0, 0]))],
        Expression::Compare { register: 1, op: 1, value: vec![0x14, 0xc1, 0, 0] },
    );
    check("counter", &[attribute(1, &[0; 8]), attribute(2, &[0; 8])], Expression::Counter);
    check(
        "lookup",
        &[attribute(1, b"conns4\0"), be32(2, 1), be32(5, 1)],
        Expression::Lookup { set: "conns4".to_owned(), register: 1, inverted: true },
    );
    check(
        "match",
        &[attribute(1, b"mark\0"), be32(2, 1), attribute(3, &[1, 2, 3])],
        Expression::Match { name: "mark".to_owned(), revision: 1, info: vec![1, 2, 3] },
    );
    let mask = |bytes: &[u8]| attribute(NFTA_DATA_VALUE, bytes);
    check(
        "bitwise",
        &[be32(1, 1), be32(2, 1), be32(3, 1), attribute(4, &mask(&[7])), attribute(5, &mask(&[0])), be32(6, 0)],
        Expression::Bitwise { source: 1, register: 1, length: 1, mask: vec![7], xor: vec![0] },
    );
}

#[test]
fn verdicts_are_decoded() {
    let chain = [attribute(2, b"CRIU\0")];
    let cases = [
        (0, &[][..], Verdict::Drop),
        (1, &[], Verdict::Accept),
        (-5, &[], Verdict::Return),
        (3, &[], Verdict::Other(3)),
        (-3, &chain, Verdict::Jump("CRIU".to_owned())),
        (-4, &chain, Verdict::Goto("CRIU".to_owned())),
    ];
    for (code, rest, verdict) in cases {
        check("immediate", &[be32(1, 0), verdict_data(code, rest)], Expression::Verdict(verdict));
    }
}

#[test]
fn forms_that_are_not_known_are_not_taken_for_simpler_ones() {
    // Sets the mark instead of loading it.
    unknown("meta", &[be32(2, 3), be32(3, 1)]);
    // Writes into the packet.
    unknown("payload", &[be32(5, 1), be32(2, 2), be32(3, 0), be32(4, 4)]);
    unknown("payload", &[be32(1, 1), be32(2, 2), be32(3, 0), be32(4, 4), be32(8, 1)]);
    // Gives the value that a map has.
    unknown("lookup", &[attribute(1, b"m\0"), be32(2, 1), be32(3, 0), be32(5, 0)]);
    unknown("lookup", &[attribute(1, b"m\0"), be32(2, 1), be32(5, 2)]);
    unknown("lookup", &[attribute(1, b"\xff\0"), be32(2, 1), be32(5, 0)]);
    // Shifts.
    unknown("bitwise", &[be32(1, 1), be32(2, 1), be32(3, 4), be32(6, 1), attribute(7, &[0; 8])]);
    // A verdict in a register that is none, a jump to nowhere, a chain that an accept has no use for.
    unknown("immediate", &[be32(1, 1), verdict_data(0, &[])]);
    unknown("immediate", &[be32(1, 0), verdict_data(-3, &[])]);
    unknown("immediate", &[be32(1, 0), verdict_data(1, &[attribute(2, b"CRIU\0")])]);
    unknown("immediate", &[be32(1, 0), attribute(2, &attribute(NFTA_DATA_VALUE, &[0; 4]))]);
    // Numbers of the wrong size, attributes twice, and what is not there.
    unknown("meta", &[attribute(1, &[0, 1]), be32(2, 3)]);
    unknown("meta", &[be32(1, 1), be32(2, 3), be32(2, 4)]);
    unknown("meta", &[]);
    unknown("counter", &[be32(9, 1)]);
    unknown("notrack", &[]);
}

#[test]
fn an_expression_without_data_or_with_more_than_that_is_unknown() {
    let name = attribute(NFTA_EXPR_NAME, b"counter\0");
    assert_eq!(decoded(&attribute(NFTA_LIST_ELEM, &name)), [Expression::Counter]);
    let more = [name, attribute(NFTA_EXPR_DATA, &[]), attribute(3, &[])].concat();
    assert_eq!(decoded(&attribute(NFTA_LIST_ELEM, &more)), [other("counter")]);
}

#[test]
fn bytes_that_make_no_sense_leave_a_trace_and_never_panic() {
    assert_eq!(decoded(&[1, 2, 3]), [other("malformed")]);
    assert_eq!(decoded(&attribute(7, &[])), [other("malformed")]);
    assert_eq!(decoded(&attribute(NFTA_LIST_ELEM, &[9, 0, 1, 0])), [other("malformed")]);
    assert_eq!(decoded(&attribute(NFTA_LIST_ELEM, &[])), [other("malformed")]);

    let whole = expression("cmp", &[be32(1, 1), be32(2, 1), attribute(3, &attribute(NFTA_DATA_VALUE, &[6]))]);
    let good = decoded(&whole);
    for at in 0..whole.len() {
        for byte in [0, 1, 0x7f, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] = byte;
            assert!(!decoded(&bytes).is_empty());
        }
        if at > 0 {
            // The padding of the last value may be missing.
            assert!(at >= whole.len() - 3 || decoded(&whole[..at]) != good, "cut to {at} bytes");
        }
    }
}
