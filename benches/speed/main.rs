// SPDX-License-Identifier: Apache-2.0 OR MIT
//! criu-gc on full hosts, against floor programs that do the least that must be done, and against other programs.
//!
//! `cargo bench --bench speed -- WORD` runs the scenes whose name contains a word. A scene builds a throw-away host,
//! runs floor, peer and criu-gc in turn, and compares the minima of one run: machines are noisy, and all suffer alike.
//! The program calls itself again in the host, in the roles of [`roles`].
#![expect(clippy::disallowed_macros, reason = "a benchmark prints what it measured")]

mod calls;
mod checkpoints;
mod crowd;
mod entries;
mod floor;
mod links;
mod measure;
mod roles;
mod rules;
mod saving;
mod scan;
mod sys;

use measure::Report;

type Scene = fn(&mut Report);

/// In the order of the table in `docs/performance.md`.
const SCENES: [(&str, Scene); 15] = [
    ("legacy", rules::legacy),
    ("nft", rules::nft),
    ("table", rules::table),
    ("strangers", rules::strangers),
    ("networks", crowd::networks),
    ("processes", crowd::processes),
    ("node", crowd::node),
    ("calls", calls::many),
    ("mounts", links::times_mounts),
    ("memory", links::memory),
    ("entries", entries::many),
    ("save", saving::by_link),
    ("scan", scan::of_node),
    ("small", crowd::empty),
    ("links", links::growing),
];

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if roles::play(&words) {
        return;
    }
    // `cargo test` builds it, so that it cannot rot, and calls it without this word.
    if !words.iter().any(|word| word == "--bench") {
        return;
    }
    if let Some(reason) = testkit::cannot_run() {
        println!("cannot run: {reason}");
        return;
    }
    let wanted: Vec<&String> = words.iter().filter(|word| !word.starts_with('-')).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|word| name.contains(word.as_str()));
    let mut report = Report::begin();
    for (_, scene) in SCENES.iter().filter(|(name, _)| is_wanted(name)) {
        scene(&mut report);
    }
    report.end();
}
