// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The index of handmade checkpoints: what is read, and where it ends.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Instant;

use handmade::Checkpoint;

use super::*;
use crate::mounts::Wanted;

fn options(checkpoints: &[&Checkpoint]) -> IndexOptions {
    IndexOptions {
        images: checkpoints.iter().map(|checkpoint| checkpoint.images()).collect(),
        stores: Stores::Skip,
        record_store: RecordStore::at("/no/such/records"),
        ..IndexOptions::default()
    }
}

fn index(options: &IndexOptions) -> Index {
    Index::build(options, &Host::look(Wanted::default()))
}

fn written() -> Checkpoint {
    let checkpoint = Checkpoint::new("");
    checkpoint.write();
    checkpoint
}

fn name(path: &Path) -> Object {
    let file = path.symlink_metadata().unwrap();
    let device = (rustix::fs::major(file.dev()), rustix::fs::minor(file.dev()));
    Object::Name { device, inode: file.ino(), path: path.to_owned() }
}

#[test]
fn each_link_has_the_owner_that_names_it() {
    let [one, other] = [written(), written()];
    let index = index(&options(&[&one, &other]));
    assert_eq!(index.checkpoints().len(), 2);
    assert!(index.checkpoints().iter().all(|checkpoint| checkpoint.state == State::Restorable));
    for checkpoint in [&one, &other] {
        let owner = index.owner(&name(&checkpoint.link())).unwrap();
        assert_eq!(owner.directory, checkpoint.images());
    }
    assert_eq!(index.unseen(), []);
}

#[test]
fn what_has_the_name_and_is_another_file_has_no_owner() {
    let one = written();
    let elsewhere = tempfile::tempdir().unwrap();
    let same_name = elsewhere.path().join(one.link().file_name().unwrap());
    fs::write(&same_name, "1234").unwrap();
    // The same inode, but in another directory.
    let same_inode = elsewhere.path().join("below");
    fs::create_dir(&same_inode).unwrap();
    let same_inode = same_inode.join(one.link().file_name().unwrap());
    let index = index(&options(&[&one]));
    assert_eq!(index.ownership(&name(&same_name)), Ownership::Unclaimed);
    if fs::hard_link(one.link(), &same_inode).is_ok() {
        assert_eq!(index.ownership(&name(&same_inode)), Ownership::Unclaimed);
    }
    assert_eq!(index.ownership(&name(&one.data().join("data.keep"))), Ownership::Unclaimed);
    assert!(index.owner(&name(&one.link())).is_some());
}

#[test]
fn images_without_an_inventory_are_incomplete_and_still_name_their_link() {
    let one = written();
    fs::remove_file(one.images().join("inventory.img")).unwrap();
    let index = index(&options(&[&one]));
    assert_eq!(index.checkpoints()[0].state, State::Incomplete);
    assert!(index.owner(&name(&one.link())).is_some());
}

#[test]
fn a_pre_dump_is_no_checkpoint() {
    let mut one = Checkpoint::new("");
    one.inventory.img_version = 0;
    one.write();
    for image in ["pstree.img", "files.img", "remap-fpath.img"] {
        fs::remove_file(one.images().join(image)).unwrap();
    }
    assert_eq!(index(&options(&[&one])).checkpoints(), []);
}

#[test]
fn limits_hold_and_are_said() {
    let all = [written(), written(), written()];
    let all: Vec<&Checkpoint> = all.iter().collect();
    let with = |limits: Limits| index(&IndexOptions { limits, ..options(&all) });
    let few = with(Limits { checkpoints: 2, ..Limits::default() });
    assert!(few.checkpoints().len() == 2 && few.hit_limit());
    assert!(few.unseen().iter().all(|unseen| unseen.why == Why::Limit(Limit::Checkpoints(2))), "{:?}", few.unseen());
    let small = with(Limits { bytes: 10, ..Limits::default() });
    assert!(small.checkpoints().is_empty() && small.hit_limit());
    let blind = with(Limits { candidates: 0, ..Limits::default() });
    assert_eq!((blind.checkpoints().len(), blind.hit_limit()), (3, false));
    assert_eq!(blind.ownership(&name(&all[0].link())), Ownership::Unclaimed);
    assert!(blind.hit_limit(), "who looks no further says so");
    let late = index(&IndexOptions { deadline: Some(Instant::now()), ..options(&all) });
    assert!(late.checkpoints().is_empty());
    assert!(late.unseen().iter().all(|unseen| unseen.why == Why::Limit(Limit::Time)), "{:?}", late.unseen());
}

#[test]
fn a_checkpoint_that_is_named_twice_counts_once() {
    let one = written();
    let mut options = options(&[&one, &one]);
    options.images.push(one.images().parent().unwrap().to_owned());
    options.limits.checkpoints = 1;
    let index = index(&options);
    assert_eq!((index.checkpoints().len(), index.hit_limit()), (1, false));
}
