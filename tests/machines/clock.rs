// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A clock that was wrong at boot: times are evidence only where they lie in the time of the dump.
//!
//! One machine boots again and again, each time with another clock. In each boot two trees are dumped; after the next
//! one the link of the first is honest residue, and the second tree is restored and dumped again, so that its link
//! belongs to the newer dump.

use std::sync::LazyLock;

use machine::{Clock, Kernel};

use crate::case::{Case, Today};
use crate::scene::Scene;

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "the link of a dump is removed whatever the clocks of the dump and of the removal",
        test: honest,
        today: Today::Passes,
    },
    Case {
        name: "the link of a newer dump is kept if the clock went on",
        test: || newer(&[(PAST, RIGHT), (RIGHT, FUTURE), (LATER_PAST, RIGHT)]),
        today: Today::Passes,
    },
    Case {
        name: "the link of a newer dump is kept if the clock was set back",
        test: || newer(&[(RIGHT, PAST), (FUTURE, LATER_PAST)]),
        today: Today::Fails {
            because: "a link counts as the dump's if it is older than the images, also if it is older than the dump \
                      (issue 12, 5)",
            message: "the link of the newer dump is gone",
        },
    },
    Case {
        name: "a process that only has the pid of a dumped one does not keep the link if the clock went on",
        test: || pid(&[(PAST, RIGHT), (RIGHT, FUTURE), (LATER_PAST, RIGHT)]),
        today: Today::Passes,
    },
    Case {
        name: "a process that only has the pid of a dumped one does not keep the link if the clock was set back",
        test: || pid(&[(RIGHT, PAST), (FUTURE, LATER_PAST)]),
        today: Today::Fails {
            because: "any process with the pid that started before the images were written counts as the dumped one \
                      (issue 12, 6 and 7)",
            message: "tree-alive",
        },
    },
];

/// The time of the host; the others are far from it.
const RIGHT: &str = "right";
const PAST: &str = "1990-01-02T03:04:05";
const LATER_PAST: &str = "2020-01-02T03:04:05";
const FUTURE: &str = "2040-01-02T03:04:05";

/// The clock of each boot.
const BOOTS: [&str; 6] = [RIGHT, PAST, RIGHT, FUTURE, LATER_PAST, RIGHT];

static STEPS: LazyLock<Vec<Step>> = LazyLock::new(steps);

/// From one boot to the next.
struct Step {
    /// The clocks of the dumps and of the removals.
    clocks: (&'static str, &'static str),
    /// What criu-gc said of the honest link.
    honest: String,
    /// What it said of the older images of the tree that was restored and dumped again.
    newer: String,
    /// How many links that tree has left.
    left_of_newer: u32,
    /// What it said of the third, of which a process of another program has the pid.
    pid: String,
}

fn honest() {
    for Step { clocks, honest, .. } in STEPS.iter() {
        assert!(honest.ends_with("1 object: 1 removed.\nstatus 0\n"), "{clocks:?}\n{honest}");
    }
}

fn newer(of: &[(&str, &str)]) {
    for Step { newer, left_of_newer, .. } in chosen(of) {
        assert_eq!(*left_of_newer, 1, "the link of the newer dump is gone\n{newer}");
        assert!(newer.ends_with("status 1\n"), "{newer}");
    }
}

fn pid(of: &[(&str, &str)]) {
    for Step { pid, .. } in chosen(of) {
        assert!(pid.ends_with("1 object: 1 removed.\nstatus 0\n"), "{pid}");
    }
}

fn chosen(of: &[(&str, &str)]) -> impl Iterator<Item = &'static Step> {
    of.iter().map(|clocks| STEPS.iter().find(|step| step.clocks == *clocks).expect("a step of BOOTS"))
}

fn steps() -> Vec<Step> {
    let mut scene = Scene::new(Kernel::V6_1);
    scene.hardware.set_clock(clock(BOOTS[0]));
    scene.boot();
    let steps = BOOTS.windows(2).enumerate().map(|(number, clocks)| step(&mut scene, number, (clocks[0], clocks[1])));
    steps.collect()
}

fn clock(time: &str) -> Clock {
    if time == RIGHT { Clock::Right } else { Clock::At(time.to_owned()) }
}

fn step(scene: &mut Scene, number: usize, clocks: (&'static str, &'static str)) -> Step {
    scene.run(&format!(
        "at=/srv/step{number}
         mkdir -p $at/honest $at/newer $at/pid
         first_pid=20000
         for name in honest newer pid; do
             tree=$(start_tree deleted $at/$name/file)
             dump 4.3 $tree $at/$name.images
             first_pid=$((first_pid + 1000))
         done"
    ));
    scene.power_off();
    scene.hardware.set_clock(clock(clocks.1));
    scene.boot();
    let prelude = format!("at=/srv/step{number}\n");
    let honest = scene.run(&format!("{prelude} judge $at/honest.images"));
    scene.run(&format!(
        "{prelude} mkdir $at/work
         criu 4.3 restore --restore-detached --images-dir $at/newer.images --work-dir $at/work
         dump 4.3 21000 $at/again.images"
    ));
    let newer = scene.run(&format!("{prelude} judge -v $at/newer.images"));
    let left_of_newer = scene.count(&format!("{prelude} links $at/newer"));
    let pid = scene.run(&format!("{prelude} with_pid 22000 sleep 1000; judge $at/pid.images; kill 22000"));
    Step { clocks, honest, newer, left_of_newer, pid }
}
