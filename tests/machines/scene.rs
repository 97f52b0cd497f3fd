// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Real dumps in a machine: what the scripts of the tests have in common.

use std::fs::OpenOptions;
use std::io::Write;

use machine::{Ended, Hardware, Installation, Kernel, Machine};

/// Functions of bash that each script of [`Scene::run`] may use.
const PRELUDE: &str = include_str!("scene.sh");

/// A machine with a kernel, on or off.
pub(crate) struct Scene {
    /// What outlives boots.
    pub(crate) hardware: Hardware,
    machine: Option<Machine>,
}

impl Scene {
    /// A machine that is switched off.
    pub(crate) fn new(kernel: Kernel) -> Self {
        Self { hardware: Hardware::new(kernel).expect("a machine"), machine: None }
    }

    /// A machine that runs.
    pub(crate) fn booted(kernel: Kernel) -> Self {
        let mut scene = Self::new(kernel);
        scene.boot();
        scene
    }

    /// Switches it on.
    #[track_caller]
    pub(crate) fn boot(&mut self) {
        self.machine = Some(self.hardware.boot().unwrap_or_else(|error| panic!("{error}")));
    }

    /// Switches it off in order, and on again. On a busy host an emulated clock runs fast, and the one with which a machine
    /// starts does not: this waits until time has not gone back.
    #[track_caller]
    pub(crate) fn reboot(&mut self) {
        let before = self.run("date +%s").trim().to_owned();
        self.power_off();
        self.boot();
        self.run(&format!("until [ $(date +%s) -gt {before} ]; do sleep 0.2; done"));
    }

    /// Switches it off in order.
    #[track_caller]
    pub(crate) fn power_off(&mut self) {
        let machine = self.machine.take().expect("a machine that runs");
        machine.power_off().unwrap_or_else(|error| panic!("{error}"));
    }

    /// Switches it off at once.
    pub(crate) fn cut_power(&mut self) {
        self.machine.take().expect("a machine that runs").cut_power();
    }

    /// Runs a script, which must succeed, and gives its standard output.
    #[track_caller]
    pub(crate) fn run(&mut self, script: &str) -> String {
        let ended = self.finish(script);
        assert_eq!(ended.code, 0, "{script}\n{}{}", ended.stdout, ended.stderr);
        ended.stdout
    }

    /// Runs a script that prints a number.
    #[track_caller]
    pub(crate) fn count(&mut self, script: &str) -> u32 {
        let printed = self.run(script);
        printed.trim().parse().unwrap_or_else(|_| panic!("{script} prints {printed:?}"))
    }

    /// Runs a script, whatever comes of it.
    #[track_caller]
    pub(crate) fn finish(&mut self, script: &str) -> Ended {
        let machine = self.machine();
        machine.finish(&format!("{PRELUDE}\n{script}")).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Starts a script without waiting for it; the next thing has to be [`Scene::cut_power`].
    #[track_caller]
    pub(crate) fn start_script(&mut self, script: &str) {
        let started = self.machine().start_script(&format!("{PRELUDE}\n{script}"));
        started.unwrap_or_else(|error| panic!("{error}"));
    }

    /// The machine, which has to run.
    pub(crate) fn machine(&mut self) -> &mut Machine {
        self.machine.as_mut().expect("a machine that runs")
    }
}

/// Whether criu-gc says that there is nothing to do.
pub(crate) fn is_clean(answer: &str) -> bool {
    answer.contains("Nothing is left") || answer.ends_with("status 0\n")
}

/// Adds a line to `target/machine/cuts.log`: what a power cut left differs from run to run.
pub(crate) fn note(line: &str) {
    let path = Installation::of_workspace().directory().join("cuts.log");
    let log = OpenOptions::new().create(true).append(true).open(path);
    log.and_then(|mut log| writeln!(log, "{line}")).expect("the log of the power cuts");
}
