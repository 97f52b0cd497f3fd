// SPDX-License-Identifier: Apache-2.0 OR MIT

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use criu_images::MntEntry;

use super::*;
use crate::checkpoint::example::checkpoint;
use crate::checkpoint::{DumpedMemory, Ending, RestoreEvidence};
use crate::memory::{MemoryLayout, Randomisation};

/// No process has this pid, so that nothing more can be read of it.
const PID: u32 = u32::MAX;

/// The images were written at second 1000.
const OLDER: Timestamp = Timestamp::new(999, 0);
const YOUNGER: Timestamp = Timestamp::new(1001, 0);

/// A process with nothing of the example's task but its pid.
fn process(pid: u32, started: Timestamp) -> Process {
    Process {
        pid,
        pids: vec![pid],
        name: b"sh".to_vec(),
        state: b'S',
        started,
        after_boot: Duration::from_secs(50),
        is_kernel_thread: false,
        threads: 1,
        tracer: None,
        parent: Some(1),
        blocked: 0,
        layout: None,
        executable: Some(PathBuf::from("/bin/sh")),
        criu: OnceLock::new(),
    }
}

fn with_name(process: Process) -> Process {
    Process { name: b"job".to_vec(), ..process }
}

fn with_program(process: Process) -> Process {
    Process { executable: Some(PathBuf::from("/usr/bin/job")), ..process }
}

/// The same as process 100 of a pid namespace below this one.
fn inside(process: Process) -> Process {
    Process { pid: PID, pids: vec![PID, 100], ..process }
}

/// The example, dumped in a pid namespace of its own.
fn container() -> Checkpoint {
    let mut checkpoint = checkpoint();
    checkpoint.ids_mut().pid_ns_id = Some(90);
    checkpoint
}

#[track_caller]
fn check(checkpoint: &Checkpoint, process: Process, expected: &str) {
    let found = match Matcher::new(checkpoint).classify(&process) {
        Some(Kinship::Dumped) => "dumped",
        Some(Kinship::Restored) => "restored",
        Some(Kinship::Undecided) => "undecided",
        Some(Kinship::Nameless) => "nameless",
        Some(Kinship::Fallback) => "fallback",
        Some(Kinship::Resembling) => "resembling",
        None => "none of the tree",
    };
    assert_eq!(found, expected, "{process:?}");
}

/// The example after a restore that came to its end.
fn restored(mut checkpoint: Checkpoint) -> Checkpoint {
    let written = Timestamp::new(1001, 0);
    checkpoint.restores.succeeded = Some(RestoreEvidence { file: "stats-restore".to_owned(), written });
    checkpoint
}

const LAYOUT: MemoryLayout = MemoryLayout { start_code: 0x5500, start_stack: 0x7ffe, start_brk: 0x5600 };

/// The example with a task of which the layout is known.
fn laid_out(mut checkpoint: Checkpoint, randomisation: Randomisation) -> Checkpoint {
    checkpoint.tasks[0].memory = Some(DumpedMemory { layout: LAYOUT, randomisation });
    checkpoint
}

/// The same process, with this stack.
fn with_stack(process: Process, start_stack: u64) -> Process {
    Process { layout: Some(MemoryLayout { start_stack, ..LAYOUT }), ..process }
}

/// These decide with random addresses, which the machine of the tests may not have.
#[track_caller]
fn check_memory(checkpoint: &Checkpoint, process: Process, expected: Option<Kinship>) {
    let matcher = Matcher::new(checkpoint).with_random_addresses();
    assert_eq!(matcher.classify(&process), expected, "{process:?}");
}

#[test]
fn a_container_alike_is_not_the_tree_of_an_interrupted_dump() {
    let alike = || inside(with_name(process(PID, OLDER)));
    let interrupted = |mut checkpoint: Checkpoint| {
        (checkpoint.ending, checkpoint.inventory) = (Ending::Interrupted, None);
        checkpoint
    };
    check(&container(), alike(), "dumped");
    check(&interrupted(container()), alike(), "none of the tree");
    // Without a pid namespace of its own it has the pid here.
    check(&interrupted(checkpoint()), with_name(process(100, OLDER)), "dumped");
}

#[test]
fn the_layout_of_the_memory_decides_whatever_else_agrees() {
    let checkpoint = laid_out(checkpoint(), Randomisation::On);
    check_memory(&checkpoint, with_stack(process(100, OLDER), LAYOUT.start_stack), Some(Kinship::Dumped));
    check_memory(&checkpoint, with_stack(with_name(with_program(process(100, OLDER))), 1), None);
    check_memory(&checkpoint, with_stack(process(101, OLDER), LAYOUT.start_stack), None);
}

#[test]
fn any_pid_of_a_process_may_be_the_tasks() {
    let nested = |pids: &[u32]| with_stack(Process { pids: pids.to_vec(), ..process(PID, OLDER) }, LAYOUT.start_stack);
    for checkpoint in [checkpoint(), container()] {
        let checkpoint = laid_out(checkpoint, Randomisation::On);
        check_memory(&checkpoint, nested(&[PID, 100, 7]), Some(Kinship::Dumped));
        check_memory(&checkpoint, nested(&[PID, 7, 100]), Some(Kinship::Dumped));
        check_memory(&checkpoint, nested(&[PID, 7, 8]), None);
    }
}

#[test]
fn without_random_addresses_an_equal_layout_decides_nothing() {
    let checkpoint = laid_out(container(), Randomisation::Off);
    let same = |process: Process| with_stack(inside(process), LAYOUT.start_stack);
    check_memory(&checkpoint, same(process(PID, OLDER)), None);
    check_memory(&checkpoint, same(with_name(process(PID, OLDER))), Some(Kinship::Dumped));
    check_memory(&checkpoint, with_stack(inside(with_name(process(PID, OLDER))), 1), None);
}

#[test]
fn a_start_after_the_images_alone_shows_no_restore() {
    let younger = || with_stack(process(100, YOUNGER), LAYOUT.start_stack);
    let known = || laid_out(checkpoint(), Randomisation::On);
    check_memory(&known(), younger(), Some(Kinship::Dumped));
    check_memory(&restored(known()), younger(), Some(Kinship::Restored));
    check_memory(&restored(known()), with_stack(process(100, OLDER), LAYOUT.start_stack), Some(Kinship::Dumped));
    let uptime = |microseconds: u64| {
        let mut checkpoint = known();
        checkpoint.inventory_mut().dump_uptime = Some(microseconds);
        checkpoint
    };
    check_memory(&uptime(49_000_000), younger(), Some(Kinship::Restored));
    check_memory(&uptime(51_000_000), younger(), Some(Kinship::Dumped));
}

#[test]
fn a_thread_of_the_kernel_is_of_no_tree() {
    let thread = |process: Process| Process { is_kernel_thread: true, ..process };
    check(&checkpoint(), thread(with_name(process(100, OLDER))), "none of the tree");
}

#[test]
fn an_older_process_with_the_pid_is_the_dumped_one_whatever_it_is_called_now() {
    check(&checkpoint(), process(100, OLDER), "dumped");
    check(&checkpoint(), process(101, OLDER), "none of the tree");
    check(&checkpoint(), with_name(process(101, OLDER)), "none of the tree");
}

#[test]
fn a_younger_process_with_the_pid_resembles_a_restored_one_if_there_was_a_restore_and_it_looks_alike() {
    check(&restored(checkpoint()), with_name(process(100, YOUNGER)), "resembling");
    check(&restored(checkpoint()), with_program(process(100, YOUNGER)), "resembling");
    check(&checkpoint(), with_name(process(100, YOUNGER)), "undecided");
    check(&checkpoint(), process(100, YOUNGER), "none of the tree");
    check(&checkpoint(), with_name(with_program(process(101, YOUNGER))), "none of the tree");
}

#[test]
fn a_process_of_the_very_second_of_the_images_is_an_older_one() {
    check(&checkpoint(), process(100, Timestamp::new(1000, 999_999_999)), "dumped");
    let mut exact = checkpoint();
    exact.written_until = Some(Timestamp::new(1000, 5));
    check(&exact, process(100, Timestamp::new(1000, 5)), "dumped");
    check(&exact, process(100, Timestamp::new(1000, 6)), "none of the tree");
}

#[test]
fn without_the_time_of_the_images_every_process_counts_as_older() {
    let mut checkpoint = checkpoint();
    checkpoint.written_until = None;
    check(&checkpoint, process(100, YOUNGER), "dumped");
}

#[test]
fn pids_of_a_namespace_are_compared_with_those_of_namespaces() {
    check(&container(), with_name(inside(process(PID, OLDER))), "dumped");
    check(&restored(container()), with_name(inside(process(PID, YOUNGER))), "resembling");
    check(&container(), with_name(process(101, OLDER)), "none of the tree");
}

#[test]
fn a_pid_of_a_namespace_alone_is_no_evidence() {
    check(&container(), inside(process(PID, OLDER)), "none of the tree");
    check(&container(), inside(process(PID, YOUNGER)), "none of the tree");
}

#[test]
fn without_an_inventory_either_kind_of_pid_may_be_meant() {
    let mut checkpoint = checkpoint();
    checkpoint.inventory = None;
    check(&checkpoint, with_name(process(100, OLDER)), "dumped");
    check(&checkpoint, with_name(inside(process(PID, OLDER))), "dumped");
    check(&checkpoint, process(100, OLDER), "none of the tree");
}

#[test]
fn a_task_without_name_and_program_may_be_whoever_has_its_pid() {
    let cut = |inventory: bool, own: bool| {
        let mut checkpoint = if own { container() } else { checkpoint() };
        (checkpoint.tasks[0].name, checkpoint.tasks[0].executable) = (None, None);
        if !inventory {
            checkpoint.inventory = None;
        }
        checkpoint
    };
    check(&cut(true, false), process(100, OLDER), "dumped");
    check(&cut(true, false), process(100, YOUNGER), "none of the tree");
    check(&cut(true, true), inside(process(PID, OLDER)), "nameless");
    check(&cut(true, true), inside(process(PID, YOUNGER)), "none of the tree");
    check(&cut(false, false), process(100, OLDER), "nameless");
    check(&cut(false, false), process(101, OLDER), "none of the tree");
}

#[test]
fn a_root_filesystem_that_cannot_be_compared_counts_as_the_same() {
    let mut checkpoint = container();
    checkpoint.ids_mut().mnt_ns_id = Some(9);
    check(&checkpoint, with_name(inside(process(PID, OLDER))), "dumped");
    checkpoint.add_mount(9, MntEntry::default().with(|mount| mount.mountpoint = b"/".to_vec()));
    check(&checkpoint, with_name(inside(process(PID, OLDER))), "dumped");
}

#[test]
fn a_process_with_another_root_filesystem_is_of_another_container() {
    let mut checkpoint = container();
    checkpoint.ids_mut().mnt_ns_id = Some(9);
    let impossible = MntEntry::default().with(|mount| {
        mount.root_dev = u32::MAX;
        mount.mountpoint = b"/".to_vec();
    });
    checkpoint.add_mount(9, impossible);
    let readable = |process: Process| Process { pid: std::process::id(), ..process };
    check(&checkpoint, readable(with_name(inside(process(PID, OLDER)))), "none of the tree");
    check(&checkpoint, readable(with_name(inside(process(PID, YOUNGER)))), "none of the tree");
}

#[test]
fn a_tree_is_restored_only_if_none_of_it_is_from_before() {
    let task = || vec![LiveTask::of(&process(100, OLDER))];
    let state = |alive, restored| TreeState { alive, restored, ..TreeState::default() }.is_restored();
    assert_eq!(
        [state(vec![], vec![]), state(task(), vec![]), state(vec![], task()), state(task(), task())],
        [false, false, true, false]
    );
}

#[test]
fn a_criu_is_known_by_its_name_or_program() {
    let named = |name: &str| Process { name: name.into(), ..process(PID, OLDER) };
    let running = |path: &str| Process { executable: Some(PathBuf::from(path)), ..process(PID, OLDER) };
    assert!(named("criu").is_criu());
    assert!(running("/usr/sbin/criu").is_criu());
    assert!(!named("criu-gc").is_criu());
    assert!(!running("/opt/criu-gc").is_criu());
    assert!(!running("/opt/criu/sh").is_criu());
}
