// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Entries that contradict each other, or what CRIU writes: what they name is kept.

use criu_images::RemapFilePathEntry;
use handmade::{Checkpoint, LINK, ORIGINAL, connection_without_addresses, named, regular, remap};

use crate::attack::{Attack, Attacks, Fate};

const ATTRIBUTES: Fate = Fate::NotKnown("has a mount, size or mode, which CRIU never writes there");

fn set_type(checkpoint: &mut Checkpoint, remap_type: Option<i32>, remap_id: u32) {
    checkpoint.remaps = vec![RemapFilePathEntry::default().with(|remap| {
        remap.orig_id = ORIGINAL;
        remap.remap_id = remap_id;
        remap.remap_type = remap_type;
    })];
}

inventory::submit!(Attacks(attacks));

fn attacks() -> Vec<Attack> {
    let attack = Attack::of_images;
    vec![
        attack("a link that has a mode", ATTRIBUTES, |c| c.link_entry().mode = Some(0o100_644)),
        attack("a link that has a size", ATTRIBUTES, |c| c.link_entry().size = Some(4)),
        attack("a link that has a mount", ATTRIBUTES, |c| c.link_entry().mnt_id = Some(1)),
        attack("a link that is an external file", Fate::NotKnown("is an external file"), |c| c.link_entry().ext = true),
        attack("an original that is an external file", Fate::NotKnown("is an external file"), |c| {
            c.original_entry().ext = true;
        }),
        attack("an original whose name leads up", Fate::NotKnown("has a name that is not a plain path"), |c| {
            c.original_entry().name.extend_from_slice(b"/../../elsewhere/x");
        }),
        attack("an original whose name has a NUL", Fate::NotKnown("has a name that is not a plain path"), |c| {
            c.original_entry().name.extend_from_slice(b"\0");
        }),
        attack("a remap of a file that no entry describes", Fate::NotKnown("remaps file 108"), |c| {
            c.remaps = vec![remap(108, LINK)];
        }),
        attack("a remap to a file that no entry describes", Fate::NotKnown("names file 77"), |c| {
            c.remaps = vec![remap(ORIGINAL, 77)];
        }),
        attack("two remaps to one link", Fate::NotKnown("uses file 9 for a second remap"), |c| {
            c.remaps.push(remap(ORIGINAL, LINK));
        }),
        attack("a remap from a link to its original", Fate::NotKnown("has a mount, size or mode"), |c| {
            c.remaps = vec![remap(LINK, ORIGINAL)];
        }),
        attack("a user's file for the link of a remap", Fate::NotKnown("its name is "), |c| {
            let precious = c.data().join("precious");
            c.files.push(regular(named(10, &precious)));
            c.remaps = vec![remap(ORIGINAL, 10)];
        }),
        attack("two files with one id", Fate::NotKnown("has the id of another file"), |c| {
            let precious = c.data().join("precious");
            c.files.push(regular(named(LINK, &precious)));
        }),
        attack("different ids inside and outside", Fate::NotKnown("has different ids inside and outside"), |c| {
            c.files[0].id = ORIGINAL;
        }),
        attack("a remap of a type to come", Fate::NotKnown("which this criu-gc does not support"), |c| {
            set_type(c, Some(3), LINK)
        }),
        attack("a remap of a negative type", Fate::NotKnown("which this criu-gc does not support"), |c| {
            set_type(c, Some(-1), LINK)
        }),
        attack("a link that is remapped as a ghost", Fate::NotKnown("that other images have"), |c| {
            set_type(c, Some(1), LINK)
        }),
        attack("a link that is remapped as a process", Fate::NotKnown("that other images have"), |c| {
            set_type(c, Some(2), LINK)
        }),
        attack("a link that is remapped as a ghost of old images", Fate::NotKnown("that other images have"), |c| {
            set_type(c, None, LINK | 1 << 31);
        }),
        attack("a connection without addresses", Fate::NotKnown("with invalid addresses"), |c| {
            c.remaps.clear();
            c.files = vec![connection_without_addresses()];
        }),
        attack("a way of locking that is to come", Fate::NotKnown("which this criu-gc does not support"), |c| {
            c.inventory.network_lock_method = Some(9);
            c.remaps.clear();
            c.files.clear();
        }),
        attack("images of a pre-dump alone", Fate::Nothing, |c| {
            c.inventory.img_version = 0;
            c.remaps.clear();
            c.files.clear();
        }),
    ]
}
