// SPDX-License-Identifier: Apache-2.0 OR MIT
use super::*;

fn delete(words: &str) -> Change {
    Change::DeleteRule { chain: "INPUT", words: words.into() }
}

#[test]
fn changes_are_written_in_their_order() {
    let changes = [
        delete("! -s 10.0.0.1/32 -j DROP"),
        Change::FlushChain { chain: "CRIU" },
        Change::DeleteChain { chain: "CRIU" },
    ];
    let expected = "*filter\n-D INPUT ! -s 10.0.0.1/32 -j DROP\n-F CRIU\n-X CRIU\nCOMMIT\n";
    assert_eq!(script(&changes).unwrap(), expected);
}

#[test]
fn a_word_that_would_not_stay_one_word_is_refused() {
    for words in ["", "a  b", " a", "a ", "a\nCOMMIT", "a\0b", "a\rb", "a\tb", "\"a", "#a", "a\\b", "ä"] {
        assert!(matches!(script(&[delete(words)]), Err(ApplyError::Unwritable { .. })), "{words:?}");
    }
}

#[test]
fn no_change_runs_nothing() {
    apply(IpVersion::V4, &[]).unwrap();
}
