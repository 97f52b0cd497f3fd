// SPDX-License-Identifier: Apache-2.0 OR MIT

mod mount;

use criu_images::RegFileEntry;

use std::sync::Arc;

use super::*;
use crate::checkpoint::example::checkpoint;
use crate::checkpoint::{Completeness, ImageProblem, ImageProblemKind};
use crate::kind::{Residue, named_by_images};

const LINKED: Option<i32> = Some(0);

fn file(id: u32, name: &[u8]) -> RegFileEntry {
    RegFileEntry::default().with(|file| {
        file.id = id;
        file.name = name.to_vec();
        file.mnt_id = Some(-1);
    })
}

fn original(id: u32, name: &[u8]) -> RegFileEntry {
    file(id, name).with(|file| {
        file.size = Some(41);
        file.mode = Some(0o100_640);
    })
}

/// A checkpoint with one link remap as CRIU writes it.
fn example() -> Checkpoint {
    let mut checkpoint = checkpoint();
    checkpoint.add_file(original(5, b"/srv/data"));
    checkpoint.add_file(file(6, b"/srv/link_remap.6"));
    checkpoint.add_remap(5, 6, LINKED);
    checkpoint
}

fn text(link: &LinkRemap) -> String {
    let or_unknown = |text: Option<String>| text.unwrap_or_else(|| "?".to_owned());
    let evidence: Vec<String> = link.evidence.iter().map(|entry| format!("{} {}", entry.image, entry.record)).collect();
    format!(
        "{}: {} -> {}, mode {}, size {}, mount {:?}, by {}",
        link.id,
        link.link.escape_ascii(),
        or_unknown(link.original.as_ref().map(|name| name.escape_ascii().to_string())),
        or_unknown(link.mode.map(|mode| format!("{mode:o}"))),
        or_unknown(link.size.map(|size| size.to_string())),
        link.mount,
        evidence.join(", ")
    )
}

fn links(residues: &[Residue]) -> Vec<Arc<LinkRemap>> {
    let link = |residue: &Residue| match residue {
        Residue::LinkRemap(link) => Some(Arc::clone(link)),
        _ => None,
    };
    residues.iter().filter_map(link).collect()
}

/// The images of open files end too early.
fn end_early(checkpoint: &mut Checkpoint) {
    checkpoint.completeness = Completeness::Incomplete;
    checkpoint.problems.push(ImageProblem { image: "files.img".to_owned(), kind: ImageProblemKind::Missing });
}

#[track_caller]
fn check(checkpoint: &Checkpoint, expected: &[&str]) {
    let claims = named_by_images(checkpoint);
    let said = |Unknown { sentence, .. }: &Unknown| match sentence.rsplit_once("; ") {
        Some((odd, kept)) if kept.ends_with(" is kept") => format!("kept: {odd}"),
        _ => format!("unknown: {sentence}"),
    };
    let unknown = claims.unknown.iter().map(said);
    let lines: Vec<String> = links(&claims.residues).iter().map(|link| text(link)).chain(unknown).collect();
    assert_eq!(lines, expected);
}

/// One link of two has an entry that CRIU would not have written so: it is kept, and the other is derived.
#[track_caller]
fn check_odd(change: impl FnOnce(&mut Checkpoint), expected: &str) {
    let mut checkpoint = example();
    checkpoint.add_file(original(50, b"/srv/other"));
    checkpoint.add_file(file(60, b"/srv/link_remap.60"));
    checkpoint.add_remap(50, 60, LINKED);
    change(&mut checkpoint);
    let other = "60: /srv/link_remap.60 -> /srv/other, mode 100640, size 41, mount Shared, \
                 by remap-fpath.img 1, files.img 60, files.img 50";
    check(&checkpoint, &[other, &format!("kept: {expected}")]);
}

#[track_caller]
fn check_changed(mut checkpoint: Checkpoint, change: impl FnOnce(&mut Checkpoint), expected: &str) {
    change(&mut checkpoint);
    check(&checkpoint, &[expected]);
}

const WHOLE: &str = "6: /srv/link_remap.6 -> /srv/data, mode 100640, size 41, mount Shared, \
                     by remap-fpath.img 0, files.img 6, files.img 5";

#[test]
fn an_entry_as_criu_writes_it_is_derived() {
    check(&checkpoint(), &[]);
    check(&example(), &[WHOLE]);
}

#[test]
fn a_link_may_be_in_any_directory_above_the_file() {
    for (link, name) in [
        ("/link_remap.6", "/srv/a/data"),
        ("/srv/link_remap.6", "/srv/a/b/data"),
        ("/link_remap.6", "/data"),
        ("/srv/link_remap.6.0123456789abcdef", "/srv/data"),
    ] {
        let expected = WHOLE.replace("/srv/link_remap.6", link).replace("/srv/data", name);
        let change = |checkpoint: &mut Checkpoint| {
            checkpoint.add_file(original(5, name.as_bytes()));
            checkpoint.add_file(file(6, link.as_bytes()));
        };
        check_changed(example(), change, &expected);
    }
}

#[test]
fn names_without_a_leading_slash_are_absolute_all_the_same() {
    let change = |checkpoint: &mut Checkpoint| {
        checkpoint.add_file(original(5, b"srv/data"));
        checkpoint.add_file(file(6, b"srv/link_remap.6"));
    };
    check_changed(example(), change, WHOLE);
}

#[test]
fn names_need_not_be_text() {
    let change = |checkpoint: &mut Checkpoint| checkpoint.add_file(original(5, b"/srv/\xff\n"));
    check_changed(example(), change, &WHOLE.replace("/srv/data", r"/srv/\xff\n"));
}

#[test]
fn what_old_images_do_not_record_is_unknown() {
    let change = |checkpoint: &mut Checkpoint| checkpoint.add_file(file(5, b"/srv/data"));
    check_changed(example(), change, &WHOLE.replace("100640", "?").replace("41", "?"));
}

#[test]
fn without_a_type_bit_31_marks_a_ghost_and_with_one_it_is_part_of_the_id() {
    let remap = |remap_id: u32, remap_type: Option<i32>| {
        let mut checkpoint = example();
        checkpoint.remaps.clear();
        checkpoint.add_remap(5, remap_id, remap_type);
        checkpoint
    };
    check(&remap(6, None), &[WHOLE]);
    check(&remap(6 | 1 << 31, None), &[]);
    let text = "remap-fpath.img record 0 at offset 0 names file 2147483654, which the images do not contain";
    check(&remap(6 | 1 << 31, LINKED), &[&format!("kept: {text}")]);
}

#[test]
fn other_remap_types_are_no_link_remaps() {
    for (remap_type, is_known) in [(1, true), (2, true), (3, false), (-1, false), (256, false)] {
        let mut checkpoint = example();
        checkpoint.remaps.clear();
        checkpoint.add_remap(5, 6, Some(remap_type));
        let entry = "remap-fpath.img record 0 at offset 0";
        let unknown = format!("unknown: {entry} is a remap of type {remap_type}, which this criu-gc does not support");
        let unknown = [unknown.as_str()];
        check(&checkpoint, if is_known { &[] } else { &unknown });
    }
}

#[test]
fn a_link_with_a_name_that_criu_would_not_give_is_kept() {
    let names = ["link_remap.7", "link_remap.06", "link_remap.66", "link_remap.6 ", "Link_remap.6", "passwd"];
    let suffixes = ["link_remap.6.", "link_remap.6.A", "link_remap.6.g", "link_remap.6.0.0"];
    for name in names.into_iter().chain(suffixes).chain(["link_remap.6.00112233445566778"]) {
        let path = format!("/srv/{name}");
        let expected = format!("files.img record 6 at offset 600 is an entry for link remap 6, but its name is {path}");
        check_odd(|checkpoint| checkpoint.add_file(file(6, path.as_bytes())), &expected);
    }
}

/// Paths that CRIU never writes, each of which leads elsewhere or nowhere.
fn crooked_paths(last: &str) -> Vec<String> {
    let long_component = format!("/{}/{last}", "x".repeat(256));
    let long_path = format!("{}/{last}", "/x".repeat(2048));
    let short = ["/srv/../etc/", "/srv/./", "/srv//", "//", "/srv/\0/"].map(|directory| format!("{directory}{last}"));
    short.into_iter().chain([long_component, long_path, "/".to_owned(), format!("/srv/{last}/")]).collect()
}

#[test]
fn what_has_a_name_that_is_not_a_plain_path_is_kept() {
    for path in crooked_paths("link_remap.6") {
        let expected =
            "files.img record 6 at offset 600 is an entry for link remap 6, but its name is not a plain path";
        check_odd(|checkpoint| checkpoint.add_file(file(6, path.as_bytes())), expected);
    }
    for path in crooked_paths("data") {
        let expected = "files.img record 5 at offset 500 has a name that is not a plain path";
        check_odd(|checkpoint| checkpoint.add_file(original(5, path.as_bytes())), expected);
    }
}

#[test]
fn the_longest_names_that_linux_has_are_plain() {
    let directory = format!("/{}", "x".repeat(255));
    let path = format!("{}/{}", directory.repeat(15), "y".repeat(4095 - 15 * 256 - 1));
    let change = |checkpoint: &mut Checkpoint| {
        checkpoint.add_file(original(5, path.as_bytes()));
        checkpoint.add_file(file(6, b"/link_remap.6"));
    };
    let expected = WHOLE.replace("/srv/link_remap.6", "/link_remap.6").replace("/srv/data", &path);
    check_changed(example(), change, &expected);
}

#[test]
fn a_link_of_which_more_is_recorded_than_criu_writes_is_kept() {
    let link = || file(6, b"/srv/link_remap.6");
    let never = "has a mount, size or mode, which CRIU never writes there";
    for (entry, why) in [
        (link().with(|file| file.ext = true), "is an external file"),
        (link().with(|file| file.mnt_id = Some(3)), never),
        (link().with(|file| file.size = Some(0)), never),
        (link().with(|file| file.mode = Some(0)), never),
    ] {
        let expected = format!("files.img record 6 at offset 600 is an entry for link remap 6, but {why}");
        check_odd(|checkpoint| checkpoint.add_file(entry), &expected);
    }
}

#[test]
fn a_link_whose_original_has_no_business_with_it_is_kept() {
    let external = original(5, b"/srv/data").with(|file| file.ext = true);
    let text = "files.img record 5 at offset 500 is an external file, but has a link remap";
    check_odd(|checkpoint| checkpoint.add_file(external), text);
    for name in ["/data", "/etc/data", "/srv2/data", "/sr/data"] {
        let text = "files.img record 5 at offset 500 has its link remap outside its own directories, \
                    at /srv/link_remap.6";
        check_odd(|checkpoint| checkpoint.add_file(original(5, name.as_bytes())), text);
    }
}

#[test]
fn a_link_that_lacks_an_entry_or_is_used_twice_is_kept() {
    let remap = "remap-fpath.img record 0 at offset 0";
    let no_link = format!("{remap} names file 6, which the images do not contain");
    check_odd(|checkpoint| drop(checkpoint.files.remove(&6)), &no_link);
    let no_original = format!("{remap} remaps file 5, which the images do not contain");
    check_odd(|checkpoint| drop(checkpoint.files.remove(&5)), &no_original);
    let twice = format!("remap-fpath.img record 2 at offset 200 uses file 6 for a second remap (the first: {remap})");
    check_odd(|checkpoint| checkpoint.add_remap(5, 6, LINKED), &twice);
}

/// Without the entry of its original its type, mode and size are not compared: only images that end too early lack it.
#[test]
fn a_link_whose_original_has_an_odd_entry_is_kept() {
    let odd = |change: fn(&mut Odd)| {
        move |checkpoint: &mut Checkpoint| {
            end_early(checkpoint);
            checkpoint.files.remove(&5);
            change(&mut checkpoint.odd);
        }
    };
    let text = "remap-fpath.img record 0 at offset 0 remaps file 5, which the images do not contain";
    check_odd(odd(|odd| odd.files.extend([5])), text);
    check_odd(odd(|odd| odd.has_lost_files = true), text);
}

#[test]
fn cut_images_leave_unknown_what_they_do_not_name() {
    let cut = |id: u32| {
        let mut checkpoint = example();
        end_early(&mut checkpoint);
        checkpoint.files.remove(&id);
        checkpoint
    };
    check(
        &cut(6),
        &[
            "unknown: remap-fpath.img record 0 at offset 0 is a link remap, but the images are truncated before its name",
        ],
    );
    let no_original = "6: /srv/link_remap.6 -> ?, mode ?, size ?, mount Shared, by remap-fpath.img 0, files.img 6";
    check(&cut(5), &[no_original]);
    let change = |checkpoint: &mut Checkpoint| checkpoint.ids_mut().mnt_ns_id = Some(9);
    check_changed(cut(5), change, &no_original.replace("Shared", "Unknown"));
}

#[test]
fn a_name_that_nfs_gave_is_told_from_others() {
    for (name, expected) in [
        ("/srv/.nfs000000000000002a00000001", true),
        ("/srv/.nfs000000000000002A00000001.x", true),
        ("/srv/.nfs000000000000002a0000001", false),
        ("/srv/.nfs000000000000002g00000001", false),
        ("/.nfs000000000000002a00000001/data", false),
    ] {
        let mut checkpoint = example();
        checkpoint.add_file(original(5, name.as_bytes()));
        if name.starts_with("/.nfs") {
            checkpoint.add_file(file(6, b"/link_remap.6"));
        }
        let links = links(&named_by_images(&checkpoint).residues);
        assert_eq!(links[0].is_silly_rename(), expected, "{name}");
    }
}

#[test]
fn links_come_in_the_order_of_their_ids() {
    let mut checkpoint = example();
    checkpoint.add_file(original(3, b"/srv/more"));
    checkpoint.add_file(file(4, b"/srv/link_remap.4"));
    checkpoint.add_remap(3, 4, LINKED);
    let ids: Vec<u32> = links(&named_by_images(&checkpoint).residues).iter().map(|link| link.id).collect();
    assert_eq!(ids, [4, 6]);
}

#[test]
fn a_link_may_be_named_by_the_shape_of_its_entries_alone() {
    let mut checkpoint = example();
    checkpoint.shaped = std::mem::take(&mut checkpoint.remaps);
    check(&checkpoint, &[&WHOLE.replace("remap-fpath.img 0, ", "")]);
    assert_eq!(links(&named_by_images(&checkpoint).residues)[0].naming, Naming::Shape);
}
