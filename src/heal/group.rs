// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which processes are meant, and whether they may be touched.

use std::collections::{BTreeMap, BTreeSet};

use super::damage::{MASKS_OF_RESTORE, Member, Why};
use crate::checkpoint::Checkpoint;
use crate::host::{Host, Process, living};
use crate::session::living::Clues;
use crate::tree;

/// The processes that are meant.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) members: Vec<Member>,
    /// Why none of them is touched, and the sentence for it.
    pub(super) hands_off: Option<(Why, String)>,
    /// What is not known.
    pub(super) unknown: Vec<String>,
}

/// Why a pid cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoProcess {
    #[error("process {0} is a thread of the kernel")]
    OfKernel(u32),
    #[error("process {0} cannot be read")]
    Unreadable(u32),
    #[error("there is no process {0}")]
    Absent(u32),
}

/// Finds them. The error: the target is no process.
pub(super) fn find(host: &Host, clues: &Clues) -> Result<Group, NoProcess> {
    let mut unknown = Vec::new();
    let parents = living::parents(host.processes().list.iter().map(|process| process.pid));
    let (roots, at_work) = match clues {
        Clues::Process(pid) => (vec![root(host, *pid)?], Vec::new()),
        Clues::Images(images) => {
            let tree = tree::look(host, &images.given, &images.checkpoint);
            let mut roots: Vec<u32> = tree.alive.iter().map(|task| task.pid).collect();
            if roots.is_empty() {
                roots.extend(logged_root(host, &images.checkpoint));
            }
            if roots.is_empty() && tree.unknown.is_some() {
                unknown.push("the images name no running process; name one with --pid PID".to_owned());
            }
            (roots, tree.criu.iter().map(|criu| criu.pid).collect())
        }
    };
    let members = with_descendants(host, &roots, &parents);
    let hands_off = hands_off(host, &members, &parents, &at_work);
    Ok(Group { members, hands_off, unknown })
}

fn root(host: &Host, pid: u32) -> Result<u32, NoProcess> {
    match host.processes().get(pid) {
        Some(process) if process.is_kernel_thread => Err(NoProcess::OfKernel(pid)),
        Some(_) => Ok(pid),
        None if host.processes().unreadable.contains(&pid) => Err(NoProcess::Unreadable(pid)),
        None => Err(NoProcess::Absent(pid)),
    }
}

/// The root task by the log, if the process with its pid is older than the images.
fn logged_root(host: &Host, checkpoint: &Checkpoint) -> Option<u32> {
    let process = host.processes().get(checkpoint.log.root_pid?)?;
    let written = checkpoint.written_until.or(checkpoint.began);
    let is_older = written.is_none_or(|written| process.started <= written.latest());
    (is_older && !process.is_kernel_thread).then_some(process.pid)
}

fn with_descendants(host: &Host, roots: &[u32], parents: &BTreeMap<u32, u32>) -> Vec<Member> {
    let mut pids: BTreeSet<u32> = roots.iter().copied().collect();
    loop {
        let more = parents.iter().filter(|(pid, parent)| pids.contains(parent) && !pids.contains(pid));
        let more: Vec<u32> = more.map(|(pid, _)| *pid).collect();
        if more.is_empty() {
            break;
        }
        pids.extend(more);
    }
    // criu-gc may be a descendant of what it heals: of a shell.
    let _ = pids.remove(&std::process::id());
    pids.into_iter().filter_map(|pid| host.processes().get(pid)).map(Member::new).collect()
}

impl Member {
    fn new(process: &Process) -> Self {
        Member {
            pid: process.pid,
            name: process.name.clone(),
            state: process.state,
            started: process.started,
            after_boot: process.after_boot,
        }
    }
}

fn hands_off(host: &Host, members: &[Member], parents: &BTreeMap<u32, u32>, at_work: &[u32]) -> Option<(Why, String)> {
    let pids: BTreeSet<u32> = members.iter().map(|member| member.pid).collect();
    for member in members {
        let threads = living::threads(member.pid).unwrap_or_default();
        if let Some(tracer) = threads.iter().find_map(|thread| thread.tracer) {
            return Some((Why::AtWork, format!("process {tracer} traces process {}", member.pid)));
        }
        let is_waiting = !threads.is_empty() && threads.iter().all(|thread| MASKS_OF_RESTORE.contains(&thread.blocked));
        let shares = || living::mappings(member.pid).unwrap_or_default().iter().any(living::Mapping::is_of_restore);
        if is_waiting && shares() {
            let why = format!("process {} is of a restore that did not end, and never ran", member.pid);
            return Some((Why::HalfRestored, why));
        }
    }
    let criu = host.processes().list.iter().find(|process| {
        process.is_criu()
            && !pids.contains(&process.pid)
            && (is_at_work(host, process, &pids, parents)
                || at_work.contains(&process.pid) && !is_orphan(process.pid, parents))
    })?;
    Some((Why::AtWork, format!("criu process {} may be at work on the processes", criu.pid)))
}

/// What a criu does that traces nobody yet is only known from its command line. One whose parent has ended is what a
/// killed criu left, and does nothing any more.
fn is_at_work(host: &Host, criu: &Process, members: &BTreeSet<u32>, parents: &BTreeMap<u32, u32>) -> bool {
    const IDLE: [&[u8]; 4] = [b"service", b"page-server", b"lazy-pages", b"check"];
    let mut tracees = host.processes().list.iter().filter(|process| process.tracer == Some(criu.pid)).peekable();
    if tracees.peek().is_some() {
        return tracees.any(|tracee| members.contains(&tracee.pid));
    }
    if members.iter().any(|member| is_ancestor(criu.pid, *member, parents)) {
        return true;
    }
    let arguments = criu.arguments();
    if is_orphan(criu.pid, parents) || arguments.iter().any(|argument| IDLE.contains(&argument.as_slice())) {
        return false;
    }
    let named = named_tree(&arguments);
    named.is_none_or(|pid| members.contains(&pid))
}

fn is_orphan(pid: u32, parents: &BTreeMap<u32, u32>) -> bool {
    parents.get(&pid).is_none_or(|parent| *parent <= 1)
}

fn is_ancestor(ancestor: u32, of: u32, parents: &BTreeMap<u32, u32>) -> bool {
    let mut at = of;
    // A table that was read while processes ended may have a circle.
    for _ in 0..parents.len() {
        match parents.get(&at) {
            Some(parent) if *parent == ancestor => return true,
            Some(parent) if *parent != at && *parent != 0 => at = *parent,
            Some(_) | None => return false,
        }
    }
    false
}

/// The pid behind `-t` or `--tree`. A criu that a runtime started has its whole command line in one word.
fn named_tree(arguments: &[Vec<u8>]) -> Option<u32> {
    let joined = arguments.join(&b' ');
    let text = String::from_utf8_lossy(&joined);
    let words: Vec<&str> = text.split_whitespace().collect();
    let number = |text: &str| text.parse().ok();
    words.iter().enumerate().find_map(|(at, word)| match word.strip_prefix("-t") {
        Some("") => number(words.get(at + 1)?),
        Some(attached) => number(attached),
        None if *word == "--tree" => number(words.get(at + 1)?),
        None => number(word.strip_prefix("--tree=")?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(words: &[&str]) -> Option<u32> {
        named_tree(&words.iter().map(|word| word.as_bytes().to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn the_tree_of_a_dump_is_read_from_its_command_line() {
        assert_eq!(named(&["criu", "dump", "-t", "42", "-D", "/x"]), Some(42));
        assert_eq!(named(&["criu", "dump", "-t42"]), Some(42));
        assert_eq!(named(&["criu", "dump", "--tree=42"]), Some(42));
        assert_eq!(named(&["criu: dump --rpc -t 110 "]), Some(110));
        assert_eq!(named(&["criu", "swrk", "3"]), None);
        assert_eq!(named(&["criu", "dump", "--tcp-established", "--tree"]), None);
    }

    #[test]
    fn ancestors_are_followed_and_circles_end() {
        let parents = BTreeMap::from([(5, 4), (4, 3), (3, 1), (9, 8), (8, 9)]);
        assert!(is_ancestor(3, 5, &parents) && is_ancestor(4, 5, &parents));
        assert!(!is_ancestor(5, 3, &parents) && !is_ancestor(7, 9, &parents));
        assert!(is_orphan(3, &parents) && is_orphan(77, &parents) && !is_orphan(5, &parents));
    }
}
