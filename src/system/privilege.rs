// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The capabilities of the calling thread, for messages about refusals.

use rustix::thread::{self, CapabilitySet};

/// A capability whose absence messages name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capability {
    /// To read and change packet filters.
    NetAdmin,
    /// To enter namespaces.
    SysAdmin,
    /// To enter a mount namespace, which changes the root directory.
    SysChroot,
    /// To see namespaces of other processes.
    SysPtrace,
}

impl Capability {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Capability::NetAdmin => "CAP_NET_ADMIN",
            Capability::SysAdmin => "CAP_SYS_ADMIN",
            Capability::SysChroot => "CAP_SYS_CHROOT",
            Capability::SysPtrace => "CAP_SYS_PTRACE",
        }
    }

    /// Whether the calling thread has it.
    pub fn is_there(self) -> bool {
        let set = match self {
            Capability::NetAdmin => CapabilitySet::NET_ADMIN,
            Capability::SysAdmin => CapabilitySet::SYS_ADMIN,
            Capability::SysChroot => CapabilitySet::SYS_CHROOT,
            Capability::SysPtrace => CapabilitySet::SYS_PTRACE,
        };
        thread::capabilities(None).is_ok_and(|sets| sets.effective.contains(set))
    }
}

/// What to do about a capability that is missing, as the end of a sentence; nothing where it is there, and something else
/// is in the way.
pub fn advice(capability: Capability) -> String {
    let name = capability.name();
    match (rustix::process::geteuid().is_root(), capability.is_there()) {
        (false, _) => format!(": run as root ({name})"),
        (true, false) => format!(": {name} is missing"),
        (true, true) => String::new(),
    }
}
