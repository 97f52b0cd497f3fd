// SPDX-License-Identifier: Apache-2.0 OR MIT
//! criu-gc against real dumps, on throw-away hosts, once for every CRIU that `cargo xtask setup` brought.
//!
//! Each test first proves without criu-gc that the residue is there, else it is void. A test that cannot run says why
//! and counts as ignored; where the suite is meant to run whole (`CRIU_GC_REQUIRE_PRIVILEGED`), it has failed.

#[path = "privileged/answers.rs"]
mod answers;
#[path = "privileged/archives.rs"]
mod archives;
#[path = "privileged/attack.rs"]
mod attack;
#[path = "privileged/attack_devices.rs"]
mod attack_devices;
#[path = "privileged/attack_fresh_hidden.rs"]
mod attack_fresh_hidden;
#[path = "privileged/attack_fresh_looks.rs"]
mod attack_fresh_looks;
#[path = "privileged/attack_fresh_moments.rs"]
mod attack_fresh_moments;
#[path = "privileged/attack_fresh_names.rs"]
mod attack_fresh_names;
#[path = "privileged/attack_fresh_owners.rs"]
mod attack_fresh_owners;
#[path = "privileged/attack_fresh_places.rs"]
mod attack_fresh_places;
#[path = "privileged/attack_fresh_trees.rs"]
mod attack_fresh_trees;
#[path = "privileged/attack_fresh_weights.rs"]
mod attack_fresh_weights;
#[path = "privileged/attack_laws.rs"]
mod attack_laws;
#[path = "privileged/attack_mounts.rs"]
mod attack_mounts;
#[path = "privileged/attack_networks.rs"]
mod attack_networks;
#[path = "privileged/attack_overlays.rs"]
mod attack_overlays;
#[path = "privileged/attack_processes.rs"]
mod attack_processes;
#[path = "privileged/bundles.rs"]
mod bundles;
#[path = "privileged/case.rs"]
mod case;
#[path = "privileged/closed.rs"]
mod closed;
#[path = "privileged/connections.rs"]
mod connections;
#[path = "privileged/container.rs"]
mod container;
#[path = "privileged/container_links.rs"]
mod container_links;
#[path = "privileged/core.rs"]
mod core;
#[path = "privileged/covered.rs"]
mod covered;
#[path = "privileged/crash.rs"]
mod crash;
#[path = "privileged/detached.rs"]
mod detached;
#[path = "privileged/device_links.rs"]
mod device_links;
#[path = "privileged/disk.rs"]
mod disk;
#[path = "privileged/faults.rs"]
mod faults;
#[path = "privileged/filters.rs"]
mod filters;
#[path = "privileged/held.rs"]
mod held;
#[path = "privileged/helpers.rs"]
mod helpers;
#[path = "privileged/hidden.rs"]
mod hidden;
#[path = "support/image_file.rs"]
mod image_file;
#[path = "privileged/incomplete.rs"]
mod incomplete;
#[path = "privileged/links.rs"]
mod links;
#[path = "privileged/living.rs"]
mod living;
#[path = "privileged/locks.rs"]
mod locks;
#[path = "privileged/look_alikes.rs"]
mod look_alikes;
#[path = "privileged/looking.rs"]
mod looking;
#[path = "privileged/moment.rs"]
mod moment;
#[path = "privileged/mount_links.rs"]
mod mount_links;
#[path = "privileged/namespace_links.rs"]
mod namespace_links;
#[path = "privileged/neighbours.rs"]
mod neighbours;
#[path = "privileged/old_images.rs"]
mod old_images;
#[path = "privileged/other_namespaces.rs"]
mod other_namespaces;
#[path = "privileged/outside.rs"]
mod outside;
#[path = "privileged/overlay_links.rs"]
mod overlay_links;
#[path = "privileged/pod.rs"]
mod pod;
#[path = "privileged/podman.rs"]
mod podman;
#[path = "privileged/races.rs"]
mod races;
#[path = "privileged/reader.rs"]
mod reader;
#[path = "privileged/recorded.rs"]
mod recorded;
#[path = "privileged/recording.rs"]
mod recording;
#[path = "privileged/refusals.rs"]
mod refusals;
#[path = "privileged/replaced.rs"]
mod replaced;
#[path = "privileged/restored.rs"]
mod restored;
#[path = "privileged/save.rs"]
mod save;
#[path = "privileged/save_copies.rs"]
mod save_copies;
#[path = "privileged/saving.rs"]
mod saving;
#[path = "privileged/scope.rs"]
mod scope;
#[path = "privileged/shared_namespaces.rs"]
mod shared_namespaces;
#[path = "privileged/signals.rs"]
mod signals;
#[path = "privileged/stale.rs"]
mod stale;
#[path = "privileged/stuck.rs"]
mod stuck;
#[path = "privileged/supervised.rs"]
mod supervised;
#[path = "privileged/tables.rs"]
mod tables;
#[path = "privileged/terminal.rs"]
mod terminal;
#[path = "privileged/ties.rs"]
mod ties;
#[path = "privileged/times.rs"]
mod times;
#[path = "privileged/tool.rs"]
mod tool;
#[path = "privileged/trace.rs"]
mod trace;
#[path = "privileged/traffic.rs"]
mod traffic;
#[path = "privileged/xfs_file.rs"]
mod xfs_file;
#[path = "privileged/xfs_forms.rs"]
mod xfs_forms;
#[path = "privileged/xfs_garbled.rs"]
mod xfs_garbled;
#[path = "privileged/xfs_links.rs"]
mod xfs_links;
#[path = "privileged/xt_compat.rs"]
mod xt_compat;

use core::Choice;

fn main() -> std::process::ExitCode {
    take_signals_back();
    let cases = [
        links::CASES,
        container_links::CASES,
        device_links::CASES,
        namespace_links::CASES,
        mount_links::CASES,
        overlay_links::CASES,
        refusals::CASES,
        recording::CASES,
        recorded::CASES,
        replaced::CASES,
        stale::CASES,
        save::CASES,
        save_copies::CASES,
        neighbours::CASES,
        incomplete::CASES,
        old_images::CASES,
        closed::CASES,
        shared_namespaces::CASES,
        ties::CASES,
        tables::CASES,
        restored::CASES,
        looking::CASES,
        connections::CASES,
        look_alikes::CASES,
        terminal::CASES,
        xt_compat::CASES,
        held::CASES,
        reader::CASES,
        signals::CASES,
        locks::CASES,
        archives::CASES,
        bundles::CASES,
        podman::CASES,
        hidden::CASES,
        container::CASES,
        living::CASES,
        xfs_links::CASES,
    ];
    let with_newest = [
        answers::CASES,
        attack_devices::CASES,
        attack_fresh_hidden::CASES,
        attack_fresh_looks::CASES,
        attack_fresh_moments::CASES,
        attack_fresh_names::CASES,
        attack_fresh_owners::CASES,
        attack_fresh_places::CASES,
        attack_fresh_trees::CASES,
        attack_fresh_weights::CASES,
        attack_laws::CASES,
        attack_mounts::CASES,
        attack_networks::CASES,
        attack_overlays::CASES,
        attack_processes::CASES,
        covered::CASES,
        crash::CASES,
        detached::CASES,
        faults::CASES,
        helpers::CASES,
        moment::CASES,
        other_namespaces::CASES,
        outside::CASES,
        races::CASES,
        scope::CASES,
        stuck::CASES,
        supervised::CASES,
        times::CASES,
        xfs_forms::CASES,
        xfs_garbled::CASES,
    ];
    let all = || {
        let mut trials = case::trials(&cases);
        trials.extend(case::trials_with_newest(&with_newest));
        trials
    };
    testkit::suite::conclude(match Choice::of_environment() {
        Choice::All => all(),
        Choice::Core => core::of(all()),
    })
}

/// Whoever starts the tests in the background may have signals ignored, which programs that are started inherit. One
/// that is caught they do not.
fn take_signals_back() {
    use signal_hook::consts::{SIGHUP, SIGINT};
    for signal in [SIGHUP, SIGINT] {
        let as_ever = std::sync::Arc::new(true.into());
        signal_hook::flag::register_conditional_default(signal, as_ever).expect("a signal");
    }
}
