// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Names of links that lead elsewhere, or are no link remap's.

use std::os::unix::ffi::OsStrExt;

use handmade::Checkpoint;

use crate::attack::{Attack, Attacks, Fate};

const NOT_PLAIN: Fate = Fate::NotKnown("is an entry for link remap 9, but its name is not a plain path");
const NOT_ITS_NAME: Fate = Fate::NotKnown("is an entry for link remap 9, but its name is ");
const OUTSIDE: Fate = Fate::NotKnown("has its link remap outside its own directories");

/// This, below the directory of the file.
fn below(checkpoint: &Checkpoint, rest: &[u8]) -> Vec<u8> {
    [checkpoint.data().as_os_str().as_bytes(), b"/", rest].concat()
}

inventory::submit!(Attacks(attacks));

fn attacks() -> Vec<Attack> {
    let attack = Attack::of_name;
    vec![
        attack("a name that leads up and down again", NOT_PLAIN, |c| below(c, b"../data/link_remap.9")),
        attack("a name that leads up into another directory", NOT_PLAIN, |c| below(c, b"../elsewhere/link_remap.9")),
        attack("a name that ends by leading up", NOT_PLAIN, |c| below(c, b"link_remap.9/..")),
        attack("a name of one that leads up behind the link's", NOT_PLAIN, |c| below(c, b"link_remap.9/../precious")),
        attack("a relative name that leads up", NOT_PLAIN, |_| b"../../../link_remap.9".to_vec()),
        attack("a name with a dot for a component", NOT_PLAIN, |c| below(c, b"./link_remap.9")),
        attack("a name with an empty component", NOT_PLAIN, |c| below(c, b"/link_remap.9")),
        attack("a name with two leading slashes", NOT_PLAIN, |c| [b"/", below(c, b"link_remap.9").as_slice()].concat()),
        attack("a name that ends with a slash", NOT_PLAIN, |c| below(c, b"link_remap.9/")),
        attack("a name that ends with a dot for a component", NOT_PLAIN, |c| below(c, b"link_remap.9/.")),
        attack("a name with a NUL at its end", NOT_PLAIN, |c| below(c, b"link_remap.9\0")),
        attack("a name that a NUL cuts before the number", NOT_PLAIN, |c| below(c, b"precious\0/link_remap.9")),
        attack("a name that a NUL cuts after another link's", NOT_PLAIN, |c| below(c, b"link_remap.7\0link_remap.9")),
        Attack::of_images(
            "names that lead through a process's root directory",
            Fate::NotKnown("cannot be reached: "),
            |c| {
                c.original_entry().name.splice(..0, *b"/proc/self/root");
                c.link_entry().name.splice(..0, *b"/proc/self/root");
            },
        ),
        attack("an empty name", NOT_PLAIN, |_| Vec::new()),
        attack("the root directory for a name", NOT_PLAIN, |_| b"/".to_vec()),
        attack("a name with a component that no filesystem has", NOT_PLAIN, |c| {
            below(c, &[[b'x'; 256].as_slice(), b"/link_remap.9"].concat())
        }),
        attack("a name longer than any path", NOT_PLAIN, |c| {
            below(c, &[b"x/".repeat(2048), b"link_remap.9".to_vec()].concat())
        }),
        attack("the name of a user's file", NOT_ITS_NAME, |c| below(c, b"precious")),
        attack("the link of another entry", NOT_ITS_NAME, |c| below(c, b"link_remap.7")),
        attack("the link of the original's own number", NOT_ITS_NAME, |c| below(c, b"link_remap.8")),
        attack("a longer number that begins the same", NOT_ITS_NAME, |c| below(c, b"link_remap.90")),
        attack("a number with a leading zero", NOT_ITS_NAME, |c| below(c, b"link_remap.09")),
        attack("a number with a sign", NOT_ITS_NAME, |c| below(c, b"link_remap.+9")),
        attack("a number in another base", NOT_ITS_NAME, |c| below(c, b"link_remap.0x9")),
        attack("a number in another script", NOT_ITS_NAME, |c| below(c, "link_remap.٩".as_bytes())),
        attack("no number", NOT_ITS_NAME, |c| below(c, b"link_remap.")),
        attack("a suffix that is no random one", NOT_ITS_NAME, |c| below(c, b"link_remap.9.bak")),
        attack("a suffix in capitals", NOT_ITS_NAME, |c| below(c, b"link_remap.9.ABCDEF")),
        attack("an empty suffix", NOT_ITS_NAME, |c| below(c, b"link_remap.9.")),
        attack("a suffix that is longer than any", NOT_ITS_NAME, |c| below(c, b"link_remap.9.0123456789abcdef0")),
        attack("two suffixes", NOT_ITS_NAME, |c| below(c, b"link_remap.9.ab.cd")),
        attack("a space behind the number", NOT_ITS_NAME, |c| below(c, b"link_remap.9 ")),
        attack("a newline behind the number", NOT_ITS_NAME, |c| below(c, b"link_remap.9\n")),
        attack("capitals", NOT_ITS_NAME, |c| below(c, b"LINK_REMAP.9")),
        attack("a letter before the name", NOT_ITS_NAME, |c| below(c, b"xlink_remap.9")),
        attack("the name of a restore's ghost file", NOT_ITS_NAME, |c| below(c, b"data.cr.9.ghost")),
        attack("a link in a directory that its file was never in", OUTSIDE, |c| {
            [c.data().with_file_name("elsewhere").as_os_str().as_bytes(), b"/link_remap.9"].concat()
        }),
        attack("a link below the directory of its file", OUTSIDE, |c| below(c, b"deep/link_remap.9")),
        attack("a link in /dev/shm of a file that is not there", OUTSIDE, |_| b"/dev/shm/link_remap.9".to_vec()),
        attack("a link in a directory whose name begins the same", OUTSIDE, |c| {
            [c.data().as_os_str().as_bytes(), b"2/link_remap.9"].concat()
        }),
    ]
}
