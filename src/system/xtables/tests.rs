// SPDX-License-Identifier: Apache-2.0 OR MIT
use super::*;

fn delete(arguments: &[&str]) -> Change {
    Change::DeleteRule {
        chain: "INPUT".to_owned(),
        arguments: arguments.iter().map(|word| (*word).to_owned()).collect(),
    }
}

#[test]
fn changes_are_written_in_their_order() {
    let changes = [
        delete(&["!", "-s", "10.0.0.1/32", "--comment", "a \"b\" \\c"]),
        Change::FlushChain { chain: "CRIU".to_owned() },
        Change::DeleteChain { chain: "CRIU".to_owned() },
    ];
    let expected = "*filter\n-D INPUT ! -s 10.0.0.1/32 --comment \"a \\\"b\\\" \\\\c\"\n-F CRIU\n-X CRIU\nCOMMIT\n";
    assert_eq!(script(&changes).unwrap(), expected);
}

#[test]
fn a_word_that_would_not_stay_one_word_is_refused() {
    for word in ["", "a\nCOMMIT", "a\0b", "a\rb"] {
        assert!(matches!(script(&[delete(&[word])]), Err(ApplyError::Unwritable { .. })), "{word:?}");
    }
}

#[test]
fn no_change_runs_nothing() {
    apply(IpVersion::V4, &[]).unwrap();
}
