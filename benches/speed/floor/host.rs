// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the kernel tells of processes and namespaces, each file read once.

use std::collections::HashSet;
use std::fs;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::nft;

/// In each network namespace that a name or a process leads to: its tables of nf_tables, and the names of legacy ones.
pub(crate) fn networks() {
    let mut seen = HashSet::new();
    for entry in fs::read_dir("/run/netns").into_iter().flatten().flatten() {
        let inode = std::os::unix::fs::MetadataExt::ino(&fs::metadata(entry.path()).expect("a namespace"));
        if seen.insert(inode) {
            look(&entry.path());
        }
    }
    for process in processes() {
        let path = process.join("ns/net");
        if number_of(&path).is_some_and(|number| seen.insert(number)) {
            look(&path);
        }
    }
}

/// The mount table of each mount namespace.
pub(crate) fn mount_tables() {
    let mut seen = HashSet::new();
    for process in processes() {
        if number_of(&process.join("ns/mnt")).is_some_and(|number| seen.insert(number)) {
            std::hint::black_box(fs::read(process.join("mountinfo")).unwrap_or_default());
        }
    }
}

/// All that a scan reads, once: of each process its state, program, namespaces and descriptors' names; each mount table; each
/// network namespace.
pub(crate) fn all() {
    for process in processes() {
        for file in ["stat", "status", "cmdline"] {
            std::hint::black_box(fs::read(process.join(file)).unwrap_or_default());
        }
        std::hint::black_box(fs::read_link(process.join("exe")).ok());
        for descriptor in fs::read_dir(process.join("fd")).into_iter().flatten().flatten() {
            std::hint::black_box(fs::read_link(descriptor.path()).ok());
        }
    }
    mount_tables();
    networks();
}

fn look(path: &Path) {
    let Ok(namespace) = fs::File::open(path) else { return };
    if move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).is_err() {
        return;
    }
    nft::list_tables();
    for names in ["/proc/thread-self/net/ip_tables_names", "/proc/thread-self/net/ip6_tables_names"] {
        std::hint::black_box(fs::read(names).unwrap_or_default());
    }
}

fn processes() -> impl Iterator<Item = PathBuf> {
    let is_process = |path: &PathBuf| path.file_name().is_some_and(|name| name.as_encoded_bytes()[0].is_ascii_digit());
    fs::read_dir("/proc").expect("/proc").flatten().map(|entry| entry.path()).filter(is_process)
}

fn number_of(link: &Path) -> Option<u64> {
    let text = fs::read_link(link).ok()?;
    let (_, number) = text.to_str()?.split_once('[')?;
    number.strip_suffix(']')?.parse().ok()
}
