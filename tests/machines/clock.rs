// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A clock that was wrong at boot: times are evidence only where they lie in the time of the dump.
//!
//! One machine boots again and again, each time with another clock. In each boot two trees are dumped; after the next
//! one the link of the first is honest residue, and the second tree is restored and dumped again, so that its link
//! belongs to the newer dump.

use std::sync::LazyLock;

use machine::{Clock, Kernel};

use crate::case::{Case, Cases};
use crate::scene::Scene;

inventory::submit!(Cases(&[
    Case::new("the link of a dump is removed if the clock went on", || assert_removed(&WENT_ON)),
    Case::new("the link of a dump is kept while the clock is set back, and removed when it is right again", set_back),
    Case::new("the link of a newer dump is kept if the clock went on", || assert_newer_kept(&WENT_ON)),
    Case::new("the link of a newer dump is kept if the clock was set back", || assert_newer_kept(&SET_BACK)),
    Case::new("a process that only has the pid of a dumped one does not keep the link if the clock went on", || {
        assert_not_kept_for_pid(&WENT_ON)
    }),
    Case::new(
        "a process that only has the pid of a dumped one is not called alive if the clock was set back",
        pid_while_set_back
    ),
]));

/// The time of the host; the others are far from it.
const RIGHT: &str = "right";
const PAST: &str = "1990-01-02T03:04:05";
const LATER_PAST: &str = "2020-01-02T03:04:05";
const FUTURE: &str = "2040-01-02T03:04:05";

/// The clock of each boot.
const BOOTS: [&str; 6] = [RIGHT, PAST, RIGHT, FUTURE, LATER_PAST, RIGHT];

/// The clocks of the dumps and of the removals, where the removals come later by them.
const WENT_ON: [(&str, &str); 3] = [(PAST, RIGHT), (RIGHT, FUTURE), (LATER_PAST, RIGHT)];

/// The same where they come earlier: the times of the images have not come yet, and prove nothing.
const SET_BACK: [(&str, &str); 2] = [(RIGHT, PAST), (FUTURE, LATER_PAST)];

static STEPS: LazyLock<(Vec<Step>, String)> = LazyLock::new(take_steps);

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

fn assert_removed(of: &[(&str, &str)]) {
    for Step { clocks, honest, .. } in chosen(of) {
        assert!(honest.ends_with("1 object: 1 removed.\nstatus 0\n"), "{clocks:?}\n{honest}");
    }
}

fn set_back() {
    for Step { clocks, honest, .. } in chosen(&SET_BACK) {
        let told = "an image's time lies in the future, so criu-gc ignores the times of the images";
        assert!(honest.contains("kept: changed-since)") && honest.contains(told), "{clocks:?}\n{honest}");
    }
    let (_, again) = &*STEPS;
    assert!(again.ends_with("1 object: 1 removed.\nstatus 0\n"), "{again}");
}

fn assert_newer_kept(of: &[(&str, &str)]) {
    for Step { newer, left_of_newer, .. } in chosen(of) {
        assert_eq!(*left_of_newer, 1, "the link of the newer dump is gone\n{newer}");
        assert!(newer.ends_with("status 1\n"), "{newer}");
    }
}

fn assert_not_kept_for_pid(of: &[(&str, &str)]) {
    for Step { pid, .. } in chosen(of) {
        assert!(pid.ends_with("1 object: 1 removed.\nstatus 0\n"), "{pid}");
    }
}

fn pid_while_set_back() {
    for Step { clocks, pid, .. } in chosen(&SET_BACK) {
        assert!(pid.contains("kept: changed-since)") && !pid.contains("tree-alive"), "{clocks:?}\n{pid}");
    }
}

fn chosen(of: &[(&str, &str)]) -> impl Iterator<Item = &'static Step> {
    of.iter().map(|clocks| STEPS.0.iter().find(|step| step.clocks == *clocks).expect("a step of BOOTS"))
}

/// The steps, and what criu-gc says in the end of the link of the first, when the clock is right again.
fn take_steps() -> (Vec<Step>, String) {
    let mut scene = Scene::new(Kernel::V6_1);
    scene.hardware.set_clock(clock(BOOTS[0]));
    scene.boot();
    let steps =
        BOOTS.windows(2).enumerate().map(|(number, clocks)| take_step(&mut scene, number, (clocks[0], clocks[1])));
    let steps = steps.collect();
    (steps, scene.run("judge /srv/step0/honest.images"))
}

fn clock(time: &str) -> Clock {
    if time == RIGHT { Clock::Right } else { Clock::At(time.to_owned()) }
}

fn take_step(scene: &mut Scene, number: usize, clocks: (&'static str, &'static str)) -> Step {
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
