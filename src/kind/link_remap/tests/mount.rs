// SPDX-License-Identifier: Apache-2.0 OR MIT
//! On which mount a link is.

use criu_images::MntEntry;

use super::*;

fn mount(mnt_id: u32, mountpoint: &[u8]) -> MntEntry {
    MntEntry::default().with(|mount| {
        mount.mnt_id = mnt_id;
        mount.root = b"/".to_vec();
        mount.mountpoint = mountpoint.to_vec();
    })
}

/// The same in a mount namespace of its own, with two mounts.
fn in_own_namespace() -> Checkpoint {
    let mut checkpoint = example();
    checkpoint.ids_mut().mnt_ns_id = Some(9);
    checkpoint.add_mount(9, mount(30, b"/"));
    checkpoint.add_mount(9, mount(31, b"/srv"));
    checkpoint.add_file(original(5, b"/srv/data").with(|file| file.mnt_id = Some(31)));
    checkpoint
}

#[test]
fn a_mount_of_the_tree_is_named_with_its_evidence() {
    check(&in_own_namespace(), &[&format!("{}, mountpoints-9.img 1", WHOLE.replace("Shared", "Id(31)"))]);
}

#[test]
fn a_link_on_a_mount_that_cannot_hold_it_is_kept() {
    let file = "files.img record 5 at offset 500";
    let missing = format!("{file} is on mount 31, which the images do not contain");
    check_changed(in_own_namespace(), |checkpoint| drop(checkpoint.mounts.remove(&31)), &format!("kept: {missing}"));
    for mountpoint in ["/srv/data", "/srv/d", "/other", "/sr"] {
        let outside = format!("{file} has its link remap outside its mount, {mountpoint}");
        let change = |checkpoint: &mut Checkpoint| checkpoint.add_mount(9, mount(31, mountpoint.as_bytes()));
        check_changed(in_own_namespace(), change, &format!("kept: {outside}"));
    }
    let cut = |checkpoint: &mut Checkpoint| {
        checkpoint.completeness = Completeness::Incomplete;
        checkpoint.mounts.remove(&31);
    };
    check_changed(in_own_namespace(), cut, &WHOLE.replace("Shared", "Unknown"));
}

#[test]
fn without_a_recorded_mount_the_longest_mount_point_of_the_root_task_is_meant() {
    let without_id = || {
        let mut checkpoint = in_own_namespace();
        checkpoint.add_file(original(5, b"/srv/data"));
        checkpoint
    };
    let by_root = |namespace: u32, id: u32, mountpoint: &'static [u8]| {
        move |checkpoint: &mut Checkpoint| checkpoint.add_mount(namespace, mount(id, mountpoint))
    };
    let on = |mount: &str, record: u32| {
        format!("{}, mountpoints-9.img {record}", WHOLE.replace("Shared", &format!("Id({mount})")))
    };
    check_changed(without_id(), |_| {}, &on("31", 1));
    check_changed(without_id(), by_root(9, 32, b"./srv"), &on("32", 2));
    check_changed(without_id(), by_root(9, 32, b"/srv/data"), &on("31", 1));
    check_changed(without_id(), by_root(10, 32, b"/srv"), &on("31", 1));
    check_changed(without_id(), |checkpoint| drop(checkpoint.mounts.remove(&31)), &on("30", 0));
    check_changed(
        without_id(),
        |checkpoint| checkpoint.odd.has_lost_mounts = true,
        &WHOLE.replace("Shared", "Unknown"),
    );
    check_changed(without_id(), |checkpoint| checkpoint.mounts.clear(), &WHOLE.replace("Shared", "Unknown"));
}

#[test]
fn a_link_on_a_mount_whose_root_is_no_plain_path_is_kept() {
    for root in ["", "tmp", "/tmp/../etc", "/tmp//x", "/./tmp", "/a\0b"] {
        let mut checkpoint = in_own_namespace();
        for record in checkpoint.mounts.values_mut() {
            record.entry.root = root.into();
        }
        let claims = super::named_by_images(&checkpoint);
        let [Unknown { sentence, .. }] = &claims.unknown[..] else { panic!("{root}: {claims:?}") };
        assert!(claims.residues.is_empty() && sentence.contains("whose root is "), "{root}: {sentence}");
    }
}
