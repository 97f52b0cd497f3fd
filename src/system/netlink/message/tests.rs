// SPDX-License-Identifier: Apache-2.0 OR MIT
use super::*;

fn attributes(bytes: &[u8]) -> Vec<Result<(u16, Vec<u8>), Malformed>> {
    Attributes::nested(bytes).map(|each| each.map(|(kind, value)| (kind, value.to_vec()))).collect()
}

fn sent() -> Vec<u8> {
    let request = Request::new(0x0a07, &[2, 0, 0, 0]).flags(0x300).text(1, "filter").be32(2, 5).be64(3, 0x0102);
    let mut bytes = Vec::new();
    request.append_to(&mut bytes, 77);
    bytes
}

#[test]
fn a_message_is_read_as_it_was_written() {
    let mut bytes = sent();
    Request::new(3, &[]).append_to(&mut bytes, 78);
    let messages: Vec<_> = Messages::new(&bytes).collect::<Result<_, _>>().unwrap();
    assert_eq!((messages[0].kind, messages[0].flags, messages[0].sequence), (0x0a07, 0x301, 77));
    assert_eq!((messages[1].kind, messages[1].sequence, messages[1].payload), (3, 78, &[][..]));

    let fields: Fields<'_, 4> = Fields::of(messages[0].attributes(4)).unwrap();
    assert_eq!(fields.text(1), Some("filter"));
    assert_eq!(fields.be32(2), Some(5));
    assert_eq!(fields.be64(3), Some(0x0102));
    assert!(fields.are_among(&[1, 2, 3]));
    assert!(!fields.are_among(&[1, 2]));
}

#[test]
fn every_cut_of_a_message_is_malformed() {
    let bytes = sent();
    for length in 1..bytes.len() {
        assert_eq!(Messages::new(&bytes[..length]).last(), Some(Err(Malformed)), "{length} bytes");
    }
}

#[test]
fn lengths_that_do_not_fit_are_malformed_and_end_the_list() {
    // A length of 0, of less than the header, and of more than there is.
    for length in [0u32, 15, 17, u32::MAX] {
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.resize(16, 0);
        assert_eq!(Messages::new(&bytes).collect::<Vec<_>>(), [Err(Malformed)], "{length}");
    }
    for length in [0u16, 3, 9, u16::MAX] {
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.resize(8, 0);
        assert_eq!(attributes(&bytes), [Err(Malformed)], "{length}");
    }
}

#[test]
fn the_last_attribute_needs_no_padding_and_flags_are_no_part_of_its_number() {
    let mut bytes = [5u16.to_ne_bytes(), 0x8001u16.to_ne_bytes()].concat();
    bytes.push(9);
    assert_eq!(attributes(&bytes), [Ok((1, vec![9]))]);
}

#[test]
fn a_payload_shorter_than_its_fixed_part_has_no_readable_attributes() {
    let message = Message { kind: 16, flags: 0, sequence: 0, payload: &[0; 3], bytes: &[] };
    assert_eq!(message.attributes(4).collect::<Vec<_>>(), [Err(Malformed)]);
}

#[test]
fn an_attribute_that_comes_twice_or_is_not_known_is_noticed() {
    let once = [4u16.to_ne_bytes(), 1u16.to_ne_bytes()].concat();
    let twice = [once.clone(), once.clone()].concat();
    let far = [4u16.to_ne_bytes(), 9u16.to_ne_bytes()].concat();
    let are_among = |bytes: &[u8]| Fields::<'_, 4>::of(Attributes::nested(bytes)).unwrap().are_among(&[1]);
    assert!(are_among(&once));
    assert!(!are_among(&twice));
    assert!(!are_among(&far));
}

#[test]
fn a_text_with_a_nul_in_it_is_no_text() {
    let value = |text: &[u8]| {
        let length = u16::try_from(4 + text.len()).unwrap();
        let bytes = [&length.to_ne_bytes()[..], &1u16.to_ne_bytes(), text].concat();
        Fields::<'_, 4>::of(Attributes::nested(&bytes)).unwrap().text(1).map(str::to_owned)
    };
    assert_eq!(value(b"CRIU\0").as_deref(), Some("CRIU"));
    assert_eq!(value(b"CRIU").as_deref(), Some("CRIU"));
    assert_eq!(value(b"CRIU\0x\0"), None);
    assert_eq!(value(b"\xff\0"), None);
}

#[test]
fn a_value_that_is_too_long_is_cut_to_what_an_attribute_can_hold() {
    let mut bytes = Vec::new();
    Request::new(0, &[]).text(1, &"x".repeat(100_000)).append_to(&mut bytes, 0);
    let message = Messages::new(&bytes).next().unwrap().unwrap();
    assert_eq!(message.attributes(0).next(), Some(Ok((1, &[b'x'; 65531][..]))));
}
