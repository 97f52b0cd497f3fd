// SPDX-License-Identifier: Apache-2.0 OR MIT
//! criu-gc against real dumps, on throw-away hosts, once for every CRIU that `cargo xtask setup` brought.
//!
//! Each test first proves without criu-gc that the residue is there, else it is void. A test that cannot run says why
//! and counts as ignored; where the suite is meant to run whole (`CRIU_GC_REQUIRE_PRIVILEGED`), it has failed.

mod answers;
mod archives;
mod attack;
mod attack_devices;
mod attack_fresh_hidden;
mod attack_fresh_looks;
mod attack_fresh_moments;
mod attack_fresh_names;
mod attack_fresh_owners;
mod attack_fresh_places;
mod attack_fresh_trees;
mod attack_fresh_weights;
mod attack_laws;
mod attack_mounts;
mod attack_networks;
mod attack_overlays;
mod attack_processes;
mod bundles;
mod case;
mod checkpointed;
mod closed;
mod connections;
mod container;
mod container_links;
mod control_group;
mod core;
mod counts;
mod covered;
mod crash;
mod cri;
mod deploy;
mod detached;
mod device_links;
mod disk;
mod docker;
mod engine_containerd;
mod engine_cri;
mod engine_docker;
mod engine_incus;
mod engine_kills;
mod engine_lxc;
mod engine_podman_crun;
mod failed;
mod failed_restore;
mod fallback;
mod faults;
mod filters;
mod ghost_files;
mod heal;
mod held;
mod helpers;
mod hidden;
mod incomplete;
mod index;
mod index_probe;
mod index_sources;
mod interrupted_dump;
mod links;
mod living;
mod locks;
mod look_alikes;
mod looking;
mod moment;
mod mount_links;
mod names;
mod namespace_links;
mod neighbours;
mod odd;
mod old_images;
mod only;
mod other_namespaces;
mod outside;
mod overlay_links;
mod pages;
mod places;
mod pod;
mod podman;
mod races;
mod reader;
mod recorded;
mod recording;
mod recreated;
mod refusals;
mod replaced;
mod restorable;
mod restore_lines;
mod restored;
mod save;
mod save_copies;
mod saving;
mod scan;
mod scan_places;
mod scan_whole;
mod scope;
mod shared_namespaces;
mod signals;
mod stale;
mod stored;
mod stored_restores;
mod stuck;
mod supervised;
mod sweep;
mod tables;
mod terminal;
mod ties;
mod times;
mod tool;
mod trace;
mod traffic;
mod unmap;
mod watch;
mod xfs_file;
mod xfs_forms;
mod xfs_garbled;
mod xfs_links;
mod xt_compat;

use core::Choice;

fn main() -> std::process::ExitCode {
    let mut words = std::env::args().skip(1);
    if words.next().as_deref() == Some(index_probe::WORD) {
        return index_probe::main(words);
    }
    take_signals_back();
    core::assert_known(&case::names());
    let all = case::trials();
    testkit::suite::conclude(match Choice::from_environment() {
        Choice::All => all,
        Choice::Core(share) => core::choose(all, share),
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
