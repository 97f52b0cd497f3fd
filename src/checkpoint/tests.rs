// SPDX-License-Identifier: Apache-2.0 OR MIT

use super::example::checkpoint;
use super::*;

/// The images of a pre-dump whose inventory has these.
fn pre_dump(img_version: u32, pre_dump_mode: Option<u32>) -> Checkpoint {
    let mut checkpoint = checkpoint();
    checkpoint.tasks.clear();
    let inventory = checkpoint.inventory.as_mut().unwrap();
    (inventory.entry.img_version, inventory.entry.pre_dump_mode) = (img_version, pre_dump_mode);
    checkpoint
}

#[test]
fn a_pre_dump_is_known_by_its_mode_or_by_version_zero() {
    assert!(pre_dump(2, Some(1)).is_pre_dump());
    assert!(pre_dump(0, None).is_pre_dump());
    assert!(!pre_dump(2, None).is_pre_dump());
    assert!(!checkpoint().is_pre_dump());
}

#[test]
fn images_that_name_processes_are_not_of_a_pre_dump_alone() {
    for (img_version, pre_dump_mode) in [(2, Some(1)), (0, None)] {
        let mut both = pre_dump(img_version, pre_dump_mode);
        both.tasks = checkpoint().tasks;
        assert!(!both.is_pre_dump());
    }
}
