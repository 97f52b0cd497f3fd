// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Drops unneeded privileges before anything is read that others wrote.
//!
//! This is permanent: the capabilities leave the permitted and the bounding set, and no started program gains any
//! (`no_new_privs`). It applies to the calling thread and the threads that it starts, so it comes first.

use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::thread::{self, CapabilitySet, CapabilitySets};

/// What the process is going to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Duty {
    /// Look, and change nothing.
    Look,
    /// The same, and then make a log file.
    LookAndLog,
    /// Look, and remove names and rules.
    Remove,
    /// The same, and kill processes of any user.
    RemoveAndKill,
    /// Look, remove, and keep files with all that belongs to them.
    Save,
    /// The same, and kill processes of any user.
    SaveAndKill,
}

impl Duty {
    /// The capabilities that it takes.
    pub(crate) fn capabilities(self) -> CapabilitySet {
        // Read images, directories and mounts of any owner; see whose network and mount namespaces and programs
        // processes have; enter network and mount namespaces and mount devices that nobody has mounted; read rules (nf_tables by
        // netlink, legacy ones by a raw socket of iptables').
        let look = CapabilitySet::DAC_READ_SEARCH
            | CapabilitySet::SYS_PTRACE
            | CapabilitySet::SYS_ADMIN
            | CapabilitySet::SYS_CHROOT
            | CapabilitySet::NET_ADMIN
            | CapabilitySet::NET_RAW;
        // Remove names from directories of any owner, also sticky ones.
        let remove = look | CapabilitySet::DAC_OVERRIDE | CapabilitySet::FOWNER;
        match self {
            Duty::Look => look,
            // The file may be in a directory of any owner.
            Duty::LookAndLog => look | CapabilitySet::DAC_OVERRIDE,
            Duty::Remove => remove,
            Duty::RemoveAndKill => remove | CapabilitySet::KILL,
            Duty::SaveAndKill => Duty::Save.capabilities() | CapabilitySet::KILL,
            // Make files of any owner and type, with set-id bits and file capabilities.
            Duty::Save => {
                remove
                    | CapabilitySet::CHOWN
                    | CapabilitySet::FSETID
                    | CapabilitySet::MKNOD
                    | CapabilitySet::SETFCAP
                    | CapabilitySet::MAC_ADMIN
            }
        }
    }
}

/// Keeps what the duty takes, as far as the process had it, and nothing else. What is made is for the user's own eyes,
/// and descriptors that were inherited are not passed on.
pub(crate) fn confine(duty: Duty) -> Result<(), Errno> {
    rustix::process::umask(Mode::from_raw_mode(0o077));
    close_fds::set_fds_cloexec_threadsafe(3, &[]);
    give_up(duty)
}

/// Keeps no capability on this thread, for work that needs none.
pub(crate) fn give_up_all() -> Result<(), Errno> {
    let none = CapabilitySet::empty();
    thread::set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })
}

fn give_up(duty: Duty) -> Result<(), Errno> {
    thread::set_no_new_privs(true)?;
    let kept = duty.capabilities();
    let had = thread::capabilities(None)?;
    // Only who has CAP_SETPCAP has anything to lose by it: others cannot gain what is left in the set.
    if had.effective.contains(CapabilitySet::SETPCAP) {
        leave_bounding_set(kept)?;
    }
    // No ambient set before Linux 4.3, and then nothing in it.
    let _ = thread::clear_ambient_capability_set();
    let permitted = had.permitted & kept;
    let sets = CapabilitySets { effective: permitted, permitted, inheritable: CapabilitySet::empty() };
    thread::set_capabilities(None, sets)
}

fn leave_bounding_set(kept: CapabilitySet) -> Result<(), Errno> {
    for number in 0..u64::BITS {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        if kept.contains(capability) {
            continue;
        }
        match thread::remove_capability_from_bounding_set(capability) {
            Ok(()) => {}
            // The first that this kernel does not have.
            Err(Errno::INVAL) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On a thread of its own: what is given up does not come back.
    #[test]
    fn what_the_duty_does_not_take_is_gone() {
        let after = |duty| {
            let confined = move || {
                give_up(duty).unwrap();
                (thread::capabilities(None).unwrap(), thread::no_new_privs().unwrap())
            };
            std::thread::spawn(confined).join().unwrap()
        };
        let had = thread::capabilities(None).unwrap().permitted;
        for duty in [Duty::Look, Duty::LookAndLog, Duty::Remove, Duty::RemoveAndKill, Duty::Save, Duty::SaveAndKill] {
            let (sets, no_new_privs) = after(duty);
            assert!(no_new_privs);
            assert_eq!(sets.permitted, had & duty.capabilities());
            assert_eq!((sets.effective, sets.inheritable), (sets.permitted, CapabilitySet::empty()));
        }
    }
}
