// SPDX-License-Identifier: Apache-2.0 OR MIT

use std::ffi::OsStr;

use super::removal::check_name;
use super::*;
use crate::carrier::name::{FileMount, NameAct, NameShape};
use crate::interrupt::Control;
use crate::time::Timestamp;

fn file(inode: u64, changed: i64) -> FileIdentity {
    let changed = Timestamp::new(changed, 0);
    FileIdentity {
        device: (8, 1),
        inode,
        mode: 0o100_640,
        owner: 0,
        links: 2,
        size: 41,
        allocated: 4096,
        changed,
        modified: changed,
        born: None,
        mount_id: 22,
    }
}

#[test]
fn a_file_is_removed_only_as_it_was_looked_at() {
    let planned = file(7, 1000);
    let check = |change: fn(&mut FileIdentity), expected: bool| {
        let mut now = planned;
        change(&mut now);
        assert_eq!(Touched::default().expects(&planned, &now), expected, "{now:?}");
    };
    check(|_| {}, true);
    check(|now| now.inode = 8, false);
    check(|now| now.device = (8, 2), false);
    check(|now| now.mode = 0o100_600, false);
    check(|now| now.size = 42, false);
    check(|now| now.changed = Timestamp::new(1001, 0), false);
    // Who reads it or makes another name of it somewhere else does that too, and the latter changes it.
    check(|now| now.links = 3, true);
}

#[test]
fn the_change_that_this_run_made_to_an_inode_is_expected_and_no_other() {
    let (planned, other) = (file(7, 1000), file(8, 1000));
    let mut touched = Touched::default();
    touched.extend(Some(file(7, 2000)));
    assert!(touched.expects(&planned, &file(7, 2000)));
    assert!(!touched.expects(&planned, &file(7, 1000)));
    assert!(!touched.expects(&planned, &file(7, 2001)));
    assert!(!touched.expects(&other, &file(8, 2000)));
}

#[test]
fn an_interrupt_ends_between_two_inodes_and_not_between_the_names_of_one() {
    let ended = Control::new().end_when(|| Some("SIGTERM".to_owned())).interrupt;
    let mut touched = Touched::default();
    assert!(touched.may_go_on_with(&file(7, 1000), &ended).is_err());
    touched.extend(Some(file(7, 2000)));
    assert_eq!(touched.may_go_on_with(&file(7, 1000), &ended), Ok(()));
    assert!(touched.may_go_on_with(&file(8, 1000), &ended).is_err());
}

#[test]
fn no_name_but_one_of_the_kind_is_ever_removed() {
    let is_own = |name: &[u8], id: u32| name == format!("link_remap.{id}").as_bytes();
    let shape = NameShape { stem: "link_remap", id: 6, is_own };
    let query = NameQuery {
        path: b"/srv/link_remap.6".to_vec(),
        original: None,
        mount: FileMount::Shared,
        size: None,
        shape,
        act: NameAct::Unlink,
        beside: None,
    };
    assert!(check_name(&query, OsStr::new("link_remap.6")).is_ok());
    for name in ["link_remap.7", "data", "..", ""] {
        let told = check_name(&query, OsStr::new(name)).map(|_| ()).unwrap_err();
        assert_eq!(told.to_string(), format!("{name} is not a link_remap name; not removed"));
    }
}
