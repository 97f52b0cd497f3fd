// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Processes: the tree, what kernel objects each has, and how each was.
//!
//! From `images/pstree.proto`, `images/core.proto` and `images/mm.proto`. Pids are those in the task's own pid namespace.

use crate::message::message;
use crate::raw_enum::raw_enum;

message! {
    /// `task_kobj_ids_entry`: CRIU's numbers for the namespaces of a task.
    ///
    /// The numbers have a meaning only within the dump: they are not the inodes that `/proc/<pid>/ns` shows.
    #[derive(Copy)]
    pub struct TaskKobjIds {
        /// The pid namespace.
        #[prost(uint32, optional, tag = "5")]
        pub pid_ns_id: Option<u32>,
        /// The network namespace.
        #[prost(uint32, optional, tag = "6")]
        pub net_ns_id: Option<u32>,
        /// The IPC namespace.
        #[prost(uint32, optional, tag = "7")]
        pub ipc_ns_id: Option<u32>,
        /// The UTS namespace.
        #[prost(uint32, optional, tag = "8")]
        pub uts_ns_id: Option<u32>,
        /// The mount namespace.
        #[prost(uint32, optional, tag = "9")]
        pub mnt_ns_id: Option<u32>,
        /// The user namespace.
        #[prost(uint32, optional, tag = "10")]
        pub user_ns_id: Option<u32>,
        /// The cgroup namespace.
        #[prost(uint32, optional, tag = "11")]
        pub cgroup_ns_id: Option<u32>,
        /// The time namespace.
        #[prost(uint32, optional, tag = "12")]
        pub time_ns_id: Option<u32>,
    }
}

message! {
    /// `pstree_entry`: a process.
    pub struct PstreeEntry {
        /// Its pid, which is in the names of its other images.
        #[prost(uint32, required, tag = "1")]
        pub pid: u32,
        /// The pid of its parent; 0 for the root of the tree.
        #[prost(uint32, required, tag = "2")]
        pub ppid: u32,
        /// Its process group.
        #[prost(uint32, required, tag = "3")]
        pub pgid: u32,
        /// Its session.
        #[prost(uint32, required, tag = "4")]
        pub sid: u32,
        /// The ids of its threads.
        #[prost(uint32, repeated, packed = "false", tag = "5")]
        pub threads: Vec<u32>,
    }
}

message! {
    /// `core_entry`: a task.
    pub struct CoreEntry {
        /// What belongs to the process; absent for a thread that is not its leader.
        #[prost(message, optional, tag = "3")]
        pub tc: Option<TaskCore>,
        /// What is in an image of its own (`ids-<pid>.img`) since CRIU 0.4.
        #[prost(message, optional, tag = "4")]
        pub ids: Option<TaskKobjIds>,
        /// What belongs to the thread.
        #[prost(message, optional, tag = "5")]
        pub thread_core: Option<ThreadCore>,
    }
}

message! {
    /// `thread_core_entry`: a thread as it was.
    #[derive(Copy)]
    pub struct ThreadCore {
        /// The signals that it blocked, a bit each, the first signal in the lowest bit.
        #[prost(uint64, optional, tag = "6")]
        pub blk_sigset: Option<u64>,
    }
}

message! {
    /// `task_core_entry`: a process as it was.
    pub struct TaskCore {
        /// Whether it ran; see [`TaskCore::state`].
        #[prost(uint32, required, tag = "1")]
        pub task_state: u32,
        /// The status that its parent will get, if it is dead.
        #[prost(uint32, required, tag = "2")]
        pub exit_code: u32,
        /// How the kernel treats it, as personality(2) has it.
        #[prost(uint32, optional, tag = "3")]
        pub personality: Option<u32>,
        /// The signals that its first thread blocked, as in [`ThreadCore::blk_sigset`].
        #[prost(uint64, optional, tag = "5")]
        pub blk_sigset: Option<u64>,
        /// Its name, as `/proc/<pid>/comm` has it.
        #[prost(bytes = "vec", required, tag = "6")]
        pub comm: Vec<u8>,
    }
}

raw_enum! {
    /// What a process was doing: `compel/include/uapi/task-state.h`.
    pub enum TaskState: u32 {
        /// It ran.
        Alive = 1,
        /// It had ended, and its parent had not waited for it.
        Dead = 2,
        /// It was stopped.
        Stopped = 3,
        /// It had ended; a state within CRIU, which writes `Dead`.
        Zombie = 6,
    }
}

impl CoreEntry {
    /// The signals that the thread blocked, by whichever record has them.
    pub fn blocked_signals(&self) -> Option<u64> {
        let thread = self.thread_core.and_then(|thread| thread.blk_sigset);
        self.tc.as_ref().and_then(|task| task.blk_sigset).or(thread)
    }
}

impl TaskCore {
    /// What the process was doing.
    pub fn state(&self) -> TaskState {
        self.task_state.into()
    }
}

message! {
    /// `mm_entry`: the memory of a process.
    pub struct MmEntry {
        /// Where its code begins.
        #[prost(uint64, optional, tag = "1")]
        pub mm_start_code: Option<u64>,
        /// Where its stack began.
        #[prost(uint64, optional, tag = "5")]
        pub mm_start_stack: Option<u64>,
        /// Where its heap begins.
        #[prost(uint64, optional, tag = "6")]
        pub mm_start_brk: Option<u64>,
        /// The id of the regular file that it executes.
        #[prost(uint32, required, tag = "12")]
        pub exe_file_id: u32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::sealed::Sealed;

    #[track_caller]
    fn check(state: u8, expected: TaskState) {
        let core = CoreEntry::decode(&[8, 1, 26, 6, 8, state, 50, 2, b'a', 0xff][..]).unwrap();
        let task = core.tc.unwrap();
        assert_eq!((task.state(), task.comm.as_slice()), (expected, &b"a\xff"[..]));
    }

    #[test]
    fn a_state_without_a_name_is_kept() {
        check(1, TaskState::Alive);
        check(2, TaskState::Dead);
        check(3, TaskState::Stopped);
        check(6, TaskState::Zombie);
        check(99, TaskState::Unknown(99));
    }

    #[test]
    fn threads_are_read_packed_or_not() {
        let threads = |bytes: &[u8]| PstreeEntry::decode(bytes).unwrap().threads;
        assert_eq!(threads(&[8, 5, 40, 5, 40, 6]), [5, 6]);
        assert_eq!(threads(&[8, 5, 42, 2, 5, 6]), [5, 6]);
    }
}
