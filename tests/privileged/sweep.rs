// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Dumps and restores that are killed at moments spread over their whole time. Whatever the moment, criu-gc finds what is
//! left, and the tree answers, or the next restore succeeds, as if nothing had been.
//!
//! `CRIU_GC_MOMENTS` sets how many moments there are.

use std::time::{Duration, Instant};

use testkit::{Criu, DumpOptions, IptablesFlavour, TestHost};

use crate::case::{Case, Cases};
use crate::faults::tell;
use crate::filters::make_tables;
use crate::heal::{Echo, damages};
use crate::incomplete::links;
use crate::places::images_of;
use crate::restorable::Killed;
use crate::tool::Tool;

inventory::submit!(Cases::with_each_criu(&[
    Case { name: "after a dump killed at any moment, heal and gc leave nothing of it", test: dumps },
    Case { name: "after a restore killed at any moment, the next one succeeds", test: restores },
]));

/// How long nothing may have changed that a killed criu, its children and the tree do.
const SETTLED: Duration = Duration::from_millis(100);

/// Waits until no process is on its way to where it stays: a child of criu's, which probes the kernel, runs on for a moment and
/// removes the directory in `/tmp` that it makes.
fn settle(host: &TestHost) {
    const LOOK: &str = "grep -hE '\\((criu|workload)\\)' /proc/[0-9]*/stat 2>/dev/null | cut -d ' ' -f 1-3,14,15; \
                        ls -d /tmp/.criu* 2>/dev/null || true";
    let look = || host.run("sh", &[&"-c", &LOOK]).stdout;
    let mut before = look();
    let has_settled = || {
        std::thread::sleep(SETTLED);
        let now = look();
        let is_same = now == before;
        before = now;
        is_same.then_some(())
    };
    testkit::wait_until(has_settled).expect("void: the processes do not come to rest");
}

/// How many moments there are if nobody says.
const FEW: u32 = 10;

/// How many moments somebody wants.
pub(crate) fn moments_wanted() -> Option<u32> {
    std::env::var("CRIU_GC_MOMENTS").ok().and_then(|text| text.parse().ok())
}

/// How long after its start each dump or restore is killed, if a whole one takes so long.
pub(crate) fn moments(whole: Duration, few: u32) -> Moments {
    let left = moments_wanted().unwrap_or(few);
    Moments { whole, number: 0, left, again: left }
}

/// Moments spread evenly over a time.
pub(crate) struct Moments {
    whole: Duration,
    number: u32,
    left: u32,
    /// How many may still be replaced.
    again: u32,
}

impl Moments {
    /// The run ended before it could be killed: the machine has more time for it than when a whole one was measured.
    fn replace_the_last(&mut self) {
        self.whole = self.whole.mul_f64(0.9);
        let replaced = self.again.min(1);
        self.again -= replaced;
        self.left += replaced;
    }
}

impl Iterator for Moments {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.left = self.left.checked_sub(1)?;
        self.number += 1;
        // The fractional parts of multiples of the golden ratio are spread evenly.
        Some(self.whole.mul_f64((f64::from(self.number) * 0.618_034).fract()))
    }
}

fn dumps(criu: &Criu) {
    let start = || {
        let echo = Echo::busy();
        make_tables(&echo.host, None, IptablesFlavour::Nft);
        echo
    };
    let (whole, options) = (start(), DumpOptions::default());
    let whole = criu.dump(&whole.host, &whole.tree, &images_of(&whole.host), &options).duration;
    let (mut killed, mut early, mut damaged, mut dead, mut linked, mut unknown) = (0, 0, 0, 0, 0, 0);
    let mut moments = moments(whole, FEW);
    while let Some(time) = moments.next() {
        let echo = start();
        let images = images_of(&echo.host);
        if criu.dump_killed_at(&echo.host, &echo.tree, &images, &options, time).is_none() {
            moments.replace_the_last();
            continue;
        }
        killed += 1;
        settle(&echo.host);
        if matches!(echo.tree.state(), None | Some('Z')) {
            dead += 1;
            continue;
        }
        let pid = echo.pid();
        let shown = damages(&echo.heal(&["--pid", &pid, "--show", "--json"]));
        damaged += u32::from(shown.iter().any(|damage| damage["verdict"] == "heal"));
        let healed = echo.heal(&["--pid", &pid]);
        assert_eq!(healed.code(), 0, "after {time:?}: {healed}");
        assert!(echo.answers(), "after {time:?}: {healed}");
        let again = echo.heal(&["--pid", &pid, "--show", "--exit-code"]);
        assert_eq!(again.code(), 0, "after {time:?}: {again}");
        linked += u32::from(!links(echo.host.dir()).is_empty());
        if !images.join("dump.log").exists() {
            early += 1;
            continue;
        }
        let removed = Tool::on(&echo.host).run(&["--from-log", "--kill"]);
        assert!(links(echo.host.dir()).is_empty(), "after {time:?}: {removed}");
        assert!(removed.code() <= 1 && removed.stderr.is_empty(), "after {time:?}: {removed}");
        unknown += u32::from(removed.code() == 1);
        assert!(echo.answers(), "after {time:?}: {removed}");
        assert!(echo.ends_by_sigterm(), "after {time:?}: {removed}");
    }
    tell(&format!(
        "{killed} dumps killed, {early} before their log: {damaged} trees damaged, {linked} with link remaps, {dead} dead; \
         {unknown} times something stayed unknown"
    ));
    assert!(damaged > 0 && linked > 0, "void: of {killed} dumps {damaged} did damage, and {linked} left links");
}

fn restores(criu: &Criu) {
    let whole = Killed::dumped(criu, &[]);
    let start = Instant::now();
    whole.assert_restores(criu);
    let whole = start.elapsed();
    let (mut killed, mut littered, mut finished) = (0, 0, 0);
    let mut moments = moments(whole, FEW);
    while let Some(time) = moments.next() {
        let dumped = Killed::dumped(criu, &[]);
        if !criu.restore_killed_at(&dumped.host, &dumped.dump, &dumped.options, time) {
            moments.replace_the_last();
            continue;
        }
        killed += 1;
        settle(&dumped.host);
        littered += u32::from(dumped.processes() > 0 || !dumped.names(".ghost").is_empty());
        let undone = dumped.restorable(&["--kill"]);
        // The last that a restore does is to remove the links that it used; then the tree runs.
        if links(dumped.host.dir()).is_empty() {
            let said = ["whether a restore can succeed: it needs ", "a restore from these images completed"];
            assert!(said.iter().any(|said| undone.stdout.contains(said)), "after {time:?}: {undone}");
            finished += 1;
            continue;
        }
        assert_eq!(undone.code(), 0, "after {time:?}: {undone}");
        let again = dumped.restorable(&["--kill", "--show", "--exit-code"]);
        assert_eq!(again.code(), 0, "after {time:?}: {undone}\n{again}");
        dumped.assert_restores(criu);
    }
    tell(&format!(
        "{killed} restores killed, {littered} left processes or ghost files, {finished} had removed the links; each other next \
         one succeeded"
    ));
    assert!(littered > 0, "void: none of {killed} killed restores left anything");
}
