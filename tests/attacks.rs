// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Attacks on the scope of a removal, by whoever wrote the images, and by whoever can write where a link lies. Each is
//! a test of its own: it is refused for the right reason, and no name below the place of the attack has changed.
//!
//! Needs no root, and asks nothing of the machine's packet filters. Those that need it are in `privileged/scope.rs`.

#[path = "attacks/attack.rs"]
mod attack;
#[expect(dead_code, reason = "the tests of bad input change more of it")]
#[path = "bad_input/checkpoint.rs"]
mod checkpoint;
#[path = "attacks/entries.rs"]
mod entries;
#[path = "support/image_file.rs"]
mod image_file;
#[path = "attacks/mounts.rs"]
mod mounts;
#[path = "attacks/names.rs"]
mod names;
#[path = "attacks/places.rs"]
mod places;
#[expect(dead_code, reason = "an attack says by itself what has to become of it")]
#[path = "bad_input/refusal.rs"]
mod refusal;
#[path = "attacks/sizes.rs"]
mod sizes;

use libtest_mimic::{Arguments, Trial};

fn main() -> std::process::ExitCode {
    let attacks =
        [names::attacks(), entries::attacks(), mounts::attacks(), places::attacks(), sizes::attacks()].concat();
    let trial = |attack: attack::Attack| {
        Trial::test(attack.name.clone(), move || {
            attack.is_refused();
            Ok(())
        })
    };
    libtest_mimic::run(&Arguments::from_args(), attacks.into_iter().map(trial).collect()).exit_code()
}
