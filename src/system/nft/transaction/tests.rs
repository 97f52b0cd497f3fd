// SPDX-License-Identifier: Apache-2.0 OR MIT
use super::*;
use crate::system::netlink::Fields;

fn transaction() -> Transaction {
    let mut transaction = Transaction::new();
    transaction.delete_rule(Family::Ipv4, "filter", "INPUT", 7);
    transaction.flush_chain(Family::Ipv4, "filter", "X");
    transaction.delete_chain(Family::Ipv4, "filter", "X", 5);
    transaction.delete_table(Family::Inet, "t", 3);
    transaction
}

#[test]
fn a_batch_carries_the_generation_and_asks_for_one_answer() {
    let bytes = encode(&transaction(), Generation(42), 100);
    let messages: Vec<_> = Messages::new(&bytes).collect::<Result<_, _>>().unwrap();
    let heads: Vec<_> = messages.iter().map(|message| (message.kind, message.flags, message.sequence)).collect();
    let expected = [
        (0x10, 1, 100),
        (0x0a08, 1, 101),
        (0x0a08, 1, 102),
        (0x0a05, 0x101, 103),
        (0x0a02, 1 | NLM_F_ACK, 104),
        (0x11, 1, 105),
    ];
    assert_eq!(heads, expected);
    assert_eq!(messages[0].payload[..4], [0, 0, 0, 10]);
    let begin: Fields<'_, 4> = Fields::of(messages[0].attributes(4)).unwrap();
    assert_eq!(begin.be32(NFNL_BATCH_GENID), Some(42));
}

#[test]
fn every_deletion_names_what_it_is_about() {
    let bytes = encode(&transaction(), Generation(42), 0);
    for message in Messages::new(&bytes).flatten().filter(|message| message.kind >= SUBSYSTEM) {
        // Without a table's name, or with no family, the kernel would take it for all tables.
        assert_ne!(message.payload[0], 0);
        let fields: Fields<'_, 4> = Fields::of(message.attributes(4)).unwrap();
        assert!(fields.text(1).is_some_and(|table| !table.is_empty()));
    }
}

#[test]
fn what_the_kernel_says_is_told_apart() {
    let judge = |answers: Answers| answers.judge(&transaction(), Generation(u32::MAX));
    let nothing = Answers::default();
    // 0 is no generation.
    assert_eq!(judge(Answers { is_acknowledged: true, ..nothing }).unwrap(), Generation(1));
    assert!(matches!(judge(nothing), Err(CommitError::Unknown)));
    assert!(matches!(judge(Answers { whole: Some(Errno::RESTART), ..nothing }), Err(CommitError::Changed)));
    let denied = judge(Answers { whole: Some(Errno::PERM), is_acknowledged: true, ..nothing });
    assert!(matches!(denied, Err(CommitError::Other(Error::NotPermitted(_)))));

    let mut answers = Answers { is_acknowledged: true, ..nothing };
    answers.add(2, Errno::BUSY);
    answers.add(1, Errno::NOENT);
    answers.add(3, Errno::BUSY);
    match judge(answers) {
        Err(CommitError::Rejected { index: 1, change, source: Errno::NOENT }) => {
            assert_eq!(change, "empty chain X of table ip filter");
        }
        other => panic!("{other:?}"),
    }
}
