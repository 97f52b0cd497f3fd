// SPDX-License-Identifier: Apache-2.0 OR MIT
#[cfg(target_arch = "x86_64")]
mod unmapping;

use super::*;
use std::process::{Child, Command};

struct Sleeper(Child);

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn sleeper() -> (Sleeper, Pid) {
    let child = Sleeper(Command::new("sleep").arg("60").spawn().unwrap());
    let pid = pid_of(&child.0);
    (child, pid)
}

fn pid_of(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap()
}

#[test]
fn a_thread_gets_another_set_of_blocked_signals_and_runs_on() {
    let (mut child, pid) = sleeper();
    let seize = || Tracee::seize(pid, Duration::from_secs(10)).unwrap();
    assert_eq!(seize().blocked_signals(), Ok(0));
    // SIGTERM, which is not delivered then.
    seize().block_signals(1 << 14).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(seize().blocked_signals(), Ok(1 << 14));
    assert!(child.0.try_wait().unwrap().is_none());
    seize().block_signals(0).unwrap();
    let status = child.0.wait().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(15));
}

#[test]
fn a_thread_that_somebody_traces_is_refused() {
    let (_child, pid) = sleeper();
    let _tracee = Tracee::seize(pid, Duration::from_secs(10)).unwrap();
    let again = std::thread::scope(|scope| {
        let again = || Tracee::seize(pid, Duration::from_secs(10)).map(drop);
        scope.spawn(again).join().unwrap()
    });
    assert_eq!(again, Err(SeizeError::Refused(Errno::PERM)));
}
