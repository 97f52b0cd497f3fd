// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Runs the program as a child of itself, so that it can always exit.
//!
//! A thread that waits for a FUSE server which accepted the request and never answers cannot be killed, and a process
//! has not exited while one of its threads remains. So the child accesses filesystems, and the parent accesses none: it
//! waits, passes signals on, and exits with the child's status once the child has reported it. What remains of the
//! child ends when that server answers or exits.
//!
//! The two share a file in memory. The parent writes a received signal to it, and the child its exit status.
//!
//! A watch starts each of its passes in this way, and a pass does not outlive it.

use std::env;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::MemfdFlags;
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{Pid, PidfdFlags, Signal as KernelSignal, kill_process, pidfd_open};

use crate::cli;
use crate::exit::{self, End};
use crate::interrupt::{self, Interrupt, Signal};
use crate::process;

/// By this variable the child knows its parent, and the descriptor of the file that they share: `PID:NUMBER`.
const VARIABLE: &str = "CRIU_GC_PARENT";
/// What the variable begins with in a pass of a watch: `watch:PID`. A pass has a child of this kind.
const WATCH: &str = "watch:";
/// The name of the process: the file that it is started from is a link of the kernel's.
const NAME: &std::ffi::CStr = c"criu-gc";
/// Where in the file the number of the signal is, and where the exit status, one more than it is.
const SIGNAL: u64 = 0;
const STATUS: u64 = 1;
/// How often a child that has not ended is looked at.
const INTERVAL: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
/// How long the threads of a child have to end, once its first has, and a child that a signal ends.
const GRACE: Duration = Duration::from_millis(300);
/// Signals that come closer together are one: `timeout` and the like send it to the process and to its group.
const SAME: Duration = Duration::from_millis(200);

/// What the child shares with its parent.
static SHARED: OnceLock<File> = OnceLock::new();

/// Starts the program once more and waits for it, if this is not the child already. `None`: go on here, because this is
/// the child, or because there can be none.
pub(crate) fn supervise() -> Option<End> {
    // Whatever else fails, a child never has a child of this kind.
    if let Ok(value) = env::var(VARIABLE) {
        if let Some(watch) = value.strip_prefix(WATCH) {
            return die_with(watch).and_then(|()| Supervisor::start().ok()).map(Supervisor::wait);
        }
        if let Some(file) = of_parent(&value) {
            if let Ok(file) = file.try_clone() {
                interrupt::listen_to(file);
            }
            let _ = SHARED.set(file);
        }
        return None;
    }
    Supervisor::start().ok().map(Supervisor::wait)
}

/// Waits until the parent has followed this process into the host's namespaces, or it is clear that it does not.
pub(crate) fn await_parent() {
    if SHARED.get().is_some() {
        process::await_namespaces_of_parent(GRACE);
    }
}

/// Tells the parent how this ends.
pub(crate) fn tell(status: u8) {
    if let Some(file) = SHARED.get() {
        let _ = file.write_all_at(&[status.wrapping_add(1)], STATUS);
    }
}

fn read(file: &File, at: u64) -> Option<u8> {
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).ok()?;
    (byte[0] != 0).then_some(byte[0])
}

/// A command that runs this program once more, as a pass of this process.
pub(crate) fn pass() -> Command {
    let mut command = Command::new(process::OWN_PROGRAM);
    command.arg0(env::args_os().next().unwrap_or_default());
    command.env(VARIABLE, format!("{WATCH}{}", std::process::id()));
    command
}

/// From now on this process ends with its parent, if that is the process of this number. Who kills the parent means both.
fn die_with(parent: &str) -> Option<()> {
    let is_parent = || rustix::process::getppid().is_some_and(|pid| pid.as_raw_nonzero().to_string() == parent);
    if !is_parent() {
        return None;
    }
    let _ = rustix::process::set_parent_process_death_signal(Some(KernelSignal::KILL));
    let _ = rustix::thread::set_name(NAME);
    is_parent().then_some(())
}

/// The shared file, if this is the child of who set the variable.
fn of_parent(value: &str) -> Option<File> {
    let (parent, number) = value.split_once(':')?;
    let number: u32 = number.parse().ok()?;
    die_with(parent)?;
    OpenOptions::new().read(true).write(true).open(format!("/proc/self/fd/{number}")).ok()
}

struct Supervisor {
    child: Child,
    file: File,
    interrupt: Interrupt,
    /// The last signal that was passed on, and when.
    passed: Option<(Signal, Instant)>,
    /// The second signal, which the child was killed for.
    killed_for: Option<Signal>,
    /// Since when the first thread of the child has ended.
    ended: Option<Instant>,
}

impl Supervisor {
    fn start() -> io::Result<Self> {
        let file = File::from(rustix::fs::memfd_create("criu-gc", MemfdFlags::CLOEXEC)?);
        file.write_all_at(&[0, 0], SIGNAL)?;
        // Signals that come from now on are for the child.
        let interrupt = Interrupt::count()?;
        fcntl_setfd(&file, FdFlags::empty())?;
        let mut words = env::args_os();
        let own_name = words.next().unwrap_or_default();
        let value = format!("{}:{}", std::process::id(), file.as_raw_fd());
        let child = Command::new(process::OWN_PROGRAM).arg0(own_name).args(words).env(VARIABLE, value).spawn()?;
        // Else the namespaces of the container would be among those that the child finds.
        if cli::enters_host(&env::args_os().collect::<Vec<_>>()) {
            let _ = criu_gc::enter_host();
        }
        Ok(Supervisor { child, file, interrupt, passed: None, killed_for: None, ended: None })
    }

    fn wait(mut self) -> End {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let descriptor = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        loop {
            match &descriptor {
                // A signal ends the wait early.
                Some(descriptor) => drop(poll(&mut [PollFd::new(descriptor, PollFlags::IN)], Some(&INTERVAL))),
                // Before Linux 5.3.
                None => std::thread::sleep(Duration::from_millis(2)),
            }
            match self.child.try_wait() {
                Ok(Some(status)) => return self.end_of(status),
                Ok(None) => {}
                Err(_) => return self.told(),
            }
            self.pass_on(pid);
            if self.is_left_behind() {
                return self.told();
            }
        }
    }

    /// A child that waits for signals looks for them in the file; else they do what they always do. The second one ends
    /// it at once.
    fn pass_on(&mut self, pid: Option<Pid>) {
        let (Some(signal), Some(pid)) = (self.interrupt.take(), pid) else { return };
        match self.passed {
            Some((last, at)) if last == signal && at.elapsed() < SAME => return,
            Some(_) => {
                let _ = kill_process(pid, KernelSignal::KILL);
                self.killed_for = Some(signal);
            }
            None if process::catches(self.child.id(), signal.number()) => {
                let number = u8::try_from(signal.number()).unwrap_or_default();
                let _ = self.file.write_all_at(&[number], SIGNAL);
            }
            None => drop(kill_process(pid, signal.into())),
        }
        self.passed = Some((signal, Instant::now()));
    }

    /// Whether all has ended of the child that can end.
    fn is_left_behind(&mut self) -> bool {
        let is_over = process::has_exited(self.child.id()) || self.is_killed();
        self.ended = self.ended.filter(|_| is_over).or_else(|| is_over.then(Instant::now));
        self.ended.is_some_and(|since| since.elapsed() >= GRACE)
    }

    /// Whether a signal was passed on that a child cannot live on after.
    fn is_killed(&self) -> bool {
        self.passed.is_some_and(|(signal, _)| !process::catches(self.child.id(), signal.number()))
    }

    /// How the child has ended. That it was killed is nobody's business: the signal that came was another.
    fn end_of(&self, status: ExitStatus) -> End {
        match (self.killed_for, status.signal()) {
            (Some(signal), Some(_)) => End::Signal(signal.number()),
            (Some(_) | None, _) => End::of(status),
        }
    }

    /// How the child ends, by what it told.
    fn told(&self) -> End {
        match (read(&self.file, STATUS), self.passed) {
            (Some(status), _) => End::of_number(status.wrapping_sub(1)),
            (None, Some((signal, _))) => End::Signal(signal.number()),
            (None, None) => End::Status(exit::ExitStatus::Unusable as u8),
        }
    }
}

impl End {
    fn of(status: ExitStatus) -> Self {
        match (status.code().and_then(|code| u8::try_from(code).ok()), status.signal()) {
            (Some(code), _) => End::Status(code),
            (None, Some(signal)) => End::Signal(signal),
            (None, None) => End::Status(exit::ExitStatus::Unusable as u8),
        }
    }
}
