// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What tells this machine, and this start of it, from others; and the clock of its filesystems. Read-only.

use std::fs;
use std::time::Duration;

use rustix::time::ClockId;

use crate::time::Timestamp;

/// Times of files advance with the kernel's tick, at least a hundred times a second.
const TICK: Duration = Duration::from_millis(10);

/// A number that is new each time the machine starts; the same in all namespaces.
pub fn boot_id() -> Option<String> {
    line_of("/proc/sys/kernel/random/boot_id")
}

/// What systemd and others write once for an installation. Containers have their own.
pub fn machine_id() -> Option<String> {
    line_of("/etc/machine-id")
}

/// The name of the host, for people.
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// What time it is.
pub fn now() -> Timestamp {
    time(ClockId::Realtime)
}

/// For how long the machine has been running, the time asleep included: nobody can set this clock.
pub fn since_boot() -> Duration {
    let time = rustix::time::clock_gettime(ClockId::Boottime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Waits, for two ticks at most, until a file that is changed from now on gets a later time than `time`.
pub fn await_later_file_time(time: Timestamp) {
    for _ in 0..20 {
        if self::time(ClockId::RealtimeCoarse) > time {
            return;
        }
        std::thread::sleep(TICK / 10);
    }
}

/// Makes the calling thread the last for the processor and for disks. What the kernel refuses does not matter.
pub fn go_last() {
    const LOWEST: i32 = 19;
    let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), LOWEST);
    let _ = criu_gc_sys::use_disks_when_idle();
}

fn time(clock: ClockId) -> Timestamp {
    let time = rustix::time::clock_gettime(clock);
    Timestamp::new(time.tv_sec, u32::try_from(time.tv_nsec).unwrap_or(0))
}

fn line_of(path: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.trim();
    (!line.is_empty()).then(|| line.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_changed_after_the_wait_has_a_later_time() {
        let directory = tempfile::tempdir().unwrap();
        let change = |name: &str| {
            let path = directory.path().join(name);
            fs::write(&path, "").unwrap();
            crate::system::dir::last_written(&fs::File::open(path).unwrap()).unwrap()
        };
        let first = change("first");
        await_later_file_time(first);
        assert!(change("second") > first);
    }

    #[test]
    fn the_boot_id_is_a_uuid() {
        assert_eq!(boot_id().unwrap().len(), 36);
    }
}
