// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How machines end: what goes wrong in one becomes an error that says so, and nothing waits for ever.

use std::time::{Duration, Instant};

use machine::{Error, Kernel};

use crate::case::{Case, Cases, Today};
use crate::scene::Scene;

inventory::submit!(Cases(&[
    Case { name: "a machine that panics is an error with the console's end", test: panics, today: Today::Passes },
    Case { name: "a machine that switches itself off is an error", test: ends, today: Today::Passes },
    Case { name: "a script that takes too long is an error, and the machine ends", test: hangs, today: Today::Passes },
    Case { name: "a kernel without a root file system is an error", test: no_root, today: Today::Passes },
]));

fn panics() {
    let mut scene = Scene::booted(Kernel::V6_1);
    let error = scene.machine().finish("echo c > /proc/sysrq-trigger; sleep 60").expect_err("a panic");
    assert!(matches!(&error, Error::Panic { .. }), "{error}");
    assert!(error.to_string().contains("sysrq triggered crash"), "{error}");
}

fn ends() {
    let mut scene = Scene::booted(Kernel::V6_1);
    let error = scene.machine().finish("echo o > /proc/sysrq-trigger; sleep 60").expect_err("the end");
    assert!(matches!(&error, Error::Ended { .. }), "{error}");
}

fn hangs() {
    let mut scene = Scene::booted(Kernel::V6_1);
    let failed = scene.machine().run("echo said; exit 3").expect_err("a failure").to_string();
    assert!(failed.contains("ended with 3") && failed.contains("said"), "{failed}");
    scene.machine().set_limit(Duration::from_secs(2));
    let start = Instant::now();
    let error = scene.machine().finish("sleep 600").expect_err("a hang");
    assert!(matches!(&error, Error::Hang { .. }) && error.to_string().contains("sleep 600"), "{error}");
    assert!(start.elapsed() < Duration::from_secs(60), "it took {:?}", start.elapsed());
    scene.machine().finish("true").expect_err("a machine that has ended");
}

fn no_root() {
    let mut scene = Scene::new(Kernel::V6_1);
    scene.hardware.add_argument("rdinit=/absent");
    let error = scene.hardware.boot().expect_err("no first program");
    assert!(matches!(&error, Error::Panic { .. }), "{error}");
}
