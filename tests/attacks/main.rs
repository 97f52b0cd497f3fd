// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Attacks on the scope of a removal, by whoever wrote the images, and by whoever can write where a link lies. Each is
//! a test of its own: it is refused for the right reason, and no name below the place of the attack has changed.
//!
//! Needs no root, and asks nothing of the machine's packet filters. Those that need it are in `tests/privileged/scope.rs`.

mod attack;
mod entries;
mod mounts;
mod names;
mod places;
mod sizes;

use testkit::suite;

use attack::{Attack, Attacks};

fn main() -> std::process::ExitCode {
    let attacks = inventory::iter::<Attacks>().flat_map(|attacks| attacks.0());
    let trial = |attack: Attack| suite::trial(attack.name.clone(), move || attack.assert_is_refused());
    suite::conclude(attacks.map(trial).collect())
}
