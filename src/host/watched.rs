// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Work on filesystems that may never answer, in a thread that is abandoned if a single wait takes too long.
//!
//! The limit applies to one wait, not to the work: criu-gc waits for a slow filesystem to the end. The kernel shows
//! whether a thread makes progress: it counts each time that the thread falls asleep.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::io::{self, BufReader};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Pid;

use super::channel::{NoMessage, Receiver, Sender, channel};
use super::proc::read_file;
use crate::system::mountinfo::{self, Brief, HostMount, unescape};

/// How long one wait may be.
pub const PATIENCE: Duration = Duration::from_millis(1500);
/// The same where a disk may have to be mounted, and its log read.
pub const PATIENCE_FOR_DEVICES: Duration = Duration::from_secs(30);
/// How often a thread that says nothing is looked at.
const INTERVAL: Duration = Duration::from_millis(100);

/// Work on a thread of its own, which tells how it goes on.
#[derive(Debug)]
pub struct Watched<M> {
    messages: Receiver<M>,
    thread: Arc<OnceLock<Pid>>,
    last: Option<Activity>,
    waited: Duration,
}

/// What comes next of watched work.
#[derive(Debug)]
pub enum Next<M> {
    /// A message.
    Message(M),
    /// The work has ended, and let go of all that it had open.
    Ended,
    /// It has waited for one thing too long. The thread may go on when that answers, or never.
    Silent,
}

/// What the kernel tells of a thread; the same again if it still waits for the same thing.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Activity {
    state: u8,
    switches: Vec<u8>,
}

impl<M: Send + 'static> Watched<M> {
    /// Starts the work.
    pub fn start(name: &str, work: impl FnOnce(&Sender<M>) + Send + 'static) -> io::Result<Self> {
        let (sender, messages) = channel();
        let thread = Arc::new(OnceLock::new());
        let own = Arc::clone(&thread);
        let run = move || {
            let _ = own.set(rustix::thread::gettid());
            // What the work has open is closed before the other end is told that it has ended.
            work(&sender);
        };
        thread::Builder::new().name(name.to_owned()).spawn(run)?;
        Ok(Watched { messages, thread, last: None, waited: Duration::ZERO })
    }

    /// Waits for the next message, and for no single wait of the work's longer than that.
    pub fn next(&mut self, patience: Duration) -> Next<M> {
        self.next_within(|| patience)
    }

    /// The same with a patience that may come to an end while this waits.
    pub fn next_within(&mut self, patience: impl Fn() -> Duration) -> Next<M> {
        loop {
            let since = Instant::now();
            match self.messages.receive_within(INTERVAL) {
                Ok(message) => {
                    self.waited = Duration::ZERO;
                    return Next::Message(message);
                }
                Err(NoMessage::Ever) => return Next::Ended,
                Err(NoMessage::Yet) => self.note(since.elapsed()),
            }
            if self.waited >= patience() {
                return Next::Silent;
            }
        }
    }

    /// A machine that is busy is not a filesystem that does not answer: a thread that could run is not waiting.
    fn note(&mut self, passed: Duration) {
        // One that has not begun yet waits for a processor.
        let Some(thread) = self.thread.get() else { return };
        let activity = Activity::of(*thread);
        let is_same = activity.is_none() || activity == self.last;
        let is_running = activity.as_ref().is_some_and(|activity| activity.state == b'R');
        self.waited = if is_same && !is_running { self.waited + passed } else { Duration::ZERO };
        self.last = activity;
    }
}

impl Activity {
    fn of(thread: Pid) -> Option<Self> {
        let status = read_file(format!("/proc/self/task/{}/status", thread.as_raw_nonzero()).as_ref()).ok()?;
        let lines = || status.split(|byte| *byte == b'\n');
        let state = lines().find_map(|line| line.strip_prefix(b"State:\t"))?.first().copied()?;
        let is_count = |line: &&[u8]| line.windows(13).any(|part| part == b"ctxt_switches");
        Some(Activity { state, switches: lines().filter(is_count).collect::<Vec<_>>().concat() })
    }
}

/// Does the work on what is at the paths, or gives up on it: `None`.
pub fn answer<T: Send + 'static>(paths: &[&Path], work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let send = move |sender: &Sender<T>| {
        let _ = sender.send(work());
    };
    let mut watched = Watched::start("watched", send).ok()?;
    match watched.next(patience_with(paths)) {
        Next::Message(answer) => Some(answer),
        Next::Ended | Next::Silent => None,
    }
}

/// How long one wait may be for what is at the paths: a disk may be busy, and has no server that can be gone.
pub fn patience_with(paths: &[&Path]) -> Duration {
    const OF_DISKS: [&[u8]; 7] = [b"ext2", b"ext3", b"ext4", b"xfs", b"btrfs", b"f2fs", b"tmpfs"];
    let points = MountPoints::above(paths.iter().copied());
    let is_on_disk = |path: &&Path| points.of(path).is_some_and(|point| OF_DISKS.contains(&point.fstype.as_slice()));
    if paths.iter().all(is_on_disk) { PATIENCE_FOR_DEVICES } else { PATIENCE }
}

/// That what is at the path does not answer, with the filesystem that it seems to be on.
pub fn does_not_answer(path: &Path) -> String {
    MountPoints::above([path]).does_not_answer(path)
}

/// Which mounts some paths seem to be on, by the text of both: nothing is asked that may not answer.
#[derive(Debug, Default)]
pub struct MountPoints(Vec<SeenMount>);

/// Where something is mounted in this mount namespace.
#[derive(Debug)]
struct SeenMount {
    path: PathBuf,
    fstype: Vec<u8>,
}

impl MountPoints {
    /// The mounts of this mount namespace that are on the way to these paths.
    pub fn above<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Self {
        let paths: Vec<PathBuf> = paths.into_iter().filter_map(|path| std::path::absolute(path).ok()).collect();
        let wanted: HashSet<&[u8]> =
            paths.iter().flat_map(|path| path.ancestors()).map(|path| path.as_os_str().as_bytes()).collect();
        let mut points = HashMap::new();
        let is_wanted = |brief: Brief<'_>| wanted.contains(unescape(brief.mountpoint).as_slice());
        // Of two mounts at one point the later one covers the other.
        let add = |mount: HostMount| drop(points.insert(mount.mountpoint, mount.fstype));
        let table = std::fs::File::open("/proc/self/mountinfo");
        // Without the table the message has no mount.
        let _ = table.and_then(|table| mountinfo::read(BufReader::new(table), is_wanted, add));
        let point = |(point, fstype): (Vec<u8>, Vec<u8>)| SeenMount { path: super::path(&point), fstype };
        let mut points: Vec<SeenMount> = points.into_iter().map(point).collect();
        points.sort_by_key(|point| Reverse(point.path.as_os_str().len()));
        MountPoints(points)
    }

    /// The last mount point on the way to one of the paths.
    pub fn point_of(&self, path: &Path) -> Option<&Path> {
        self.of(path).map(|point| point.path.as_path())
    }

    /// The type of the filesystem that the path seems to be on, if a server or a program serves it.
    pub fn remote_filesystem(&self, path: &Path) -> Option<String> {
        const SERVED: [&[u8]; 11] =
            [b"nfs", b"nfs4", b"cifs", b"smb3", b"9p", b"ceph", b"afs", b"autofs", b"lustre", b"gfs2", b"ocfs2"];
        let fstype = self.of(path)?.fstype.as_slice();
        let is_served = SERVED.contains(&fstype) || fstype == b"fuse" || fstype.starts_with(b"fuse.");
        is_served.then(|| String::from_utf8_lossy(fstype).into_owned())
    }

    /// That what is at the path does not answer.
    pub fn does_not_answer(&self, path: &Path) -> String {
        let shown = path.display();
        match self.of(path).filter(|point| point.fstype != b"proc") {
            Some(SeenMount { path, fstype }) => {
                let fstype = String::from_utf8_lossy(fstype);
                format!("{shown} does not answer ({fstype} mounted at {})", path.display())
            }
            None => format!("{shown} does not answer"),
        }
    }

    fn of(&self, path: &Path) -> Option<&SeenMount> {
        let full = std::path::absolute(path).ok()?;
        self.0.iter().find(|point| full.starts_with(&point.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_long_wait_is_too_long_and_many_short_ones_are_not() {
        let patience = Duration::from_millis(500);
        let mut slow = Watched::start("slow", |sender: &Sender<u32>| {
            for _ in 0..8 {
                thread::sleep(Duration::from_millis(150));
            }
            let _ = sender.send(7);
        })
        .unwrap();
        assert!(matches!(slow.next(patience), Next::Message(7)));
        assert!(matches!(slow.next(patience), Next::Ended));
        let mut hung = Watched::start("hung", |_: &Sender<u32>| thread::sleep(Duration::from_secs(30))).unwrap();
        let started = Instant::now();
        assert!(matches!(hung.next(patience), Next::Silent));
        assert!(started.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn work_that_computes_is_not_waiting() {
        let mut busy = Watched::start("busy", |sender: &Sender<u32>| {
            let end = Instant::now() + Duration::from_secs(1);
            while Instant::now() < end {}
            let _ = sender.send(7);
        })
        .unwrap();
        assert!(matches!(busy.next(Duration::from_millis(300)), Next::Message(7)));
    }

    #[test]
    fn the_mount_is_told() {
        let path = Path::new("/proc/self/status");
        assert_eq!(MountPoints::above([path]).point_of(path), Some(Path::new("/proc")));
        assert!(does_not_answer(Path::new("/no/such")).contains(" mounted at /"));
    }
}
