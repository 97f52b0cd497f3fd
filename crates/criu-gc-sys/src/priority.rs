// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How urgent the requests of a thread to disks are (`ioprio_set`).

use rustix::io::Errno;

const IOPRIO_WHO_PROCESS: libc::c_int = 1;
/// The class of the priority is in the bits from this one on.
const IOPRIO_CLASS_SHIFT: libc::c_int = 13;
const IOPRIO_CLASS_IDLE: libc::c_int = 3;

/// From now on the requests of the calling thread to disks wait until nobody else has any.
///
/// # Errors
/// Those of `ioprio_set`: `ENOSYS` on a kernel without it.
///
/// # Examples
/// ```
/// let _ = std::thread::spawn(criu_gc_sys::use_disks_when_idle).join();
/// ```
pub fn use_disks_when_idle() -> Result<(), Errno> {
    let priority = IOPRIO_CLASS_IDLE << IOPRIO_CLASS_SHIFT;
    // SAFETY: the arguments are plain numbers, and 0 is the calling thread.
    let result = unsafe { libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, priority) };
    if result == 0 { Ok(()) } else { Err(last_error()) }
}

fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_may_always_be_the_last() {
        std::thread::spawn(use_disks_when_idle).join().unwrap().unwrap();
    }
}
