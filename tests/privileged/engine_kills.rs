// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Engines that are killed at moments spread over a checkpoint or a restore, with all that they have started but the
//! containers. Whatever the moment, criu-gc leaves nothing, and who lives has its network.
//!
//! `CRIU_GC_MOMENTS` sets how many moments there are.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use testkit::{CommandExt, Criu, Engines, Finished, IptablesFlavour, LockMethod, Runtime, TestHost, wait_until};

use crate::case::{Case, Cases};
use crate::faults::tell;
use crate::places::has_link;
use crate::pod::{Peers, Pod};
use crate::sweep::{moments, moments_wanted};
use crate::tool::Tool;

inventory::submit!(Cases::with_newest_criu(&[
    Case {
        name: "after runc was killed at any moment of a checkpoint nothing is left",
        test: |criu| checkpoints(criu, runc)
    },
    Case {
        name: "after runc was killed at any moment of a restore nothing is left",
        test: |criu| restores(criu, runc)
    },
    Case {
        name: "after podman was killed at any moment of a checkpoint nothing is left",
        test: |criu| checkpoints(criu, podman)
    },
    Case {
        name: "after podman was killed at any moment of a restore nothing is left",
        test: |criu| restores(criu, podman)
    },
    Case {
        name: "after Docker was killed at any moment of a checkpoint nothing is left",
        test: |criu| checkpoints(criu, docker)
    },
    Case {
        name: "after Docker was killed at any moment of a restore nothing is left",
        test: |criu| restores(criu, docker)
    },
]));

const NAME: &str = "job";
const FLAVOUR: IptablesFlavour = IptablesFlavour::Nft;

/// How many moments there are if nobody says, and something was left after one of them.
const FEW: u32 = 3;

/// How many there are at most until something was left.
const MOST: u32 = 20;

/// After so long no process is on its way to where it stays.
const SETTLED: Duration = Duration::from_millis(200);

/// An engine with a sidecar and a job that both run.
struct Running<'a> {
    host: &'a TestHost,
    engines: &'a Engines<'a>,
    pod: &'a Pod<'a>,
    peers: Peers,
    /// The first process of the job.
    pid: u32,
    /// The files of its root directory, as the host names them.
    root: PathBuf,
    checkpoint: Box<dyn Fn() -> Command + 'a>,
    restore: Box<dyn Fn() -> Command + 'a>,
    /// Where an operator looks for the images.
    images: PathBuf,
}

/// Sets an engine up, and gives what it runs to the test.
type SetUp = fn(&Criu, &mut dyn FnMut(Running<'_>));

fn runc(criu: &Criu, test: &mut dyn FnMut(Running<'_>)) {
    let host = TestHost::new();
    let pod = Pod::new(&host, FLAVOUR);
    let engines = Engines::new(&host, criu, LockMethod::Iptables, FLAVOUR);
    engines.make_bundle(Runtime::Runc, "sidecar", &pod.sidecar()).start();
    let sidecar = pod.peer();
    let bundle = engines.make_bundle(Runtime::Runc, NAME, &pod.container());
    bundle.start();
    test(Running {
        host: &host,
        engines: &engines,
        pod: &pod,
        peers: Peers { sidecar, container: pod.peer() },
        pid: bundle.pid().expect("a running container"),
        root: bundle.root(),
        checkpoint: Box::new(|| bundle.checkpoint_command()),
        restore: Box::new(|| bundle.restore_command()),
        images: bundle.directory().to_owned(),
    });
}

fn podman(criu: &Criu, test: &mut dyn FnMut(Running<'_>)) {
    let host = TestHost::new();
    let pod = Pod::new(&host, FLAVOUR);
    let engines = Engines::new(&host, criu, LockMethod::Iptables, FLAVOUR);
    let podman = engines.set_up_podman();
    podman.start("sidecar", &pod.sidecar());
    let sidecar = pod.peer();
    podman.start(NAME, &pod.container());
    test(Running {
        host: &host,
        engines: &engines,
        pod: &pod,
        peers: Peers { sidecar, container: pod.peer() },
        pid: podman.pid(NAME).expect("a running container"),
        root: podman.upper_directory(NAME),
        checkpoint: Box::new(|| podman.checkpoint_command(NAME, &["--keep"])),
        restore: Box::new(|| podman.restore_command(NAME, &["--keep"])),
        images: podman.directory(NAME),
    });
}

fn docker(criu: &Criu, test: &mut dyn FnMut(Running<'_>)) {
    use crate::engine_docker::{CHECKPOINT, Options, with_scene};
    with_scene(criu, LockMethod::Iptables, &Options::default(), |scene| {
        let docker = &scene.docker;
        test(Running {
            host: scene.host,
            engines: scene.engines,
            pod: scene.pod,
            pid: docker.pid(NAME).expect("a running container"),
            root: docker.upper_directory(NAME),
            checkpoint: Box::new(|| docker.checkpoint_command(NAME, CHECKPOINT, &[])),
            restore: Box::new(|| docker.restore_command(NAME, CHECKPOINT)),
            images: docker.directory(NAME),
            peers: scene.peers,
        });
    });
}

/// What became of it.
#[derive(Default)]
struct Counts {
    moments: u32,
    killed: u32,
    alive: u32,
    littered: u32,
    /// How often an option was needed.
    asked: u32,
}

fn checkpoints(criu: &Criu, set_up: SetUp) {
    let mut whole = Duration::ZERO;
    set_up(criu, &mut |running| whole = running.time(&(running.checkpoint)()));
    let mut counts = Counts::default();
    for part in moments(Duration::from_secs(1), MOST) {
        if counts.are_enough() {
            break;
        }
        set_up(criu, &mut |mut running| {
            let time = whole.mul_f64(part.as_secs_f64());
            counts.moments += 1;
            counts.add(running.kill_at(&mut (running.checkpoint)(), time), time, &mut whole);
            counts.littered += u32::from(running.is_littered());
            assert!(!running.clean(time), "after {time:?}: an option was needed after a checkpoint");
            if running.is_alive() {
                counts.alive += 1;
                running.peers.container.send();
                running.peers.container.assert_gets_an_answer();
            }
        });
    }
    counts.tell("checkpoint");
}

fn restores(criu: &Criu, set_up: SetUp) {
    let mut whole = Duration::ZERO;
    set_up(criu, &mut |running| {
        running.time(&(running.checkpoint)());
        // Docker's own fail now and then: how long one takes is all that counts here.
        let start = Instant::now();
        clone(&(running.restore)()).finish();
        whole = start.elapsed();
    });
    let mut counts = Counts::default();
    for part in moments(Duration::from_secs(1), MOST) {
        if counts.are_enough() {
            break;
        }
        set_up(criu, &mut |mut running| {
            running.time(&(running.checkpoint)());
            let time = whole.mul_f64(part.as_secs_f64());
            counts.moments += 1;
            counts.add(running.kill_at(&mut (running.restore)(), time), time, &mut whole);
            counts.littered += u32::from(running.is_littered());
            counts.asked += u32::from(running.clean(time));
        });
    }
    counts.tell("restore");
}

impl Counts {
    /// What has ended by itself takes no longer than this: the next moments are earlier.
    fn add(&mut self, was_killed: bool, time: Duration, whole: &mut Duration) {
        match was_killed {
            true => self.killed += 1,
            false => *whole = time,
        }
    }

    fn are_enough(&self) -> bool {
        moments_wanted().is_none() && self.moments >= FEW && self.littered > self.asked
    }

    fn tell(&self, what: &str) {
        let Counts { killed, alive, littered, asked, .. } = self;
        tell(&format!(
            "{killed} times killed during a {what}: {littered} times something was left, {alive} trees ran on; {asked} times an \
             option was needed"
        ));
        assert!(*killed > 0 && *littered > 0, "void: nothing was left");
        assert!(littered > asked, "each of {littered} times an option was needed");
    }
}

impl Running<'_> {
    /// How long this takes.
    fn time(&self, command: &Command) -> Duration {
        let mut command = clone(command);
        let start = Instant::now();
        command.succeed();
        start.elapsed()
    }

    /// Whether the engine was at work on this when it was killed.
    fn kill_at(&self, command: &mut Command, time: Duration) -> bool {
        use std::process::Stdio;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().expect("nsenter");
        std::thread::sleep(time);
        let was_at_work = child.try_wait().expect("a child's status").is_none();
        self.engines.kill();
        assert!(wait_until(|| child.try_wait().expect("a child's status")).is_some(), "the client does not end");
        std::thread::sleep(SETTLED);
        was_at_work
    }

    fn is_alive(&self) -> bool {
        let state = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        state.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
    }

    fn links(&self) -> bool {
        let places = [self.pod.volume.clone(), PathBuf::from("/dev/shm"), self.root.join("tmp")];
        places.iter().any(|place| has_link(&self.host.path(place)))
    }

    fn is_littered(&self) -> bool {
        self.links() || self.pod.is_locked(FLAVOUR)
    }

    /// Gives the tree back what was taken, undoes a restore that did not end, and removes what is left.
    /// Whether the option was needed that criu-gc prints.
    fn clean(&mut self, time: Duration) -> bool {
        let images = self.images_in_hand();
        let mut tool = Tool::new(self.host, &images);
        if images != self.images {
            // Nothing leads from there to the network, of which `docker inspect` tells.
            tool = tool.option("--netns", self.pod.network.path());
        }
        let mut said = Vec::new();
        if self.is_alive() {
            said.push(tool.run(&["heal"]));
        }
        said.push(tool.run(&["restorable", "--kill"]));
        said.push(tool.run(&["--from-log", "--kill"]));
        if self.is_littered() {
            // containerd may have removed the images before it was killed itself: then there is the host.
            said.extend(self.follow_scan());
        }
        let mut is_asked = false;
        if self.is_littered() && said.iter().any(|finished| finished.stdout.ends_with(PRINTED)) {
            // A restore that was killed over a link has changed its time, so that nothing shows that the dump created it.
            is_asked = true;
            said.push(tool.run(&["--from-log", "--kill", "--allow", "older-than-dump"]));
        }
        let said: String = said.iter().map(|finished| format!("{finished}\n")).collect();
        assert!(!self.is_littered(), "after {time:?}: {}\n{said}", images.display());
        self.pod.assert_sidecar_has_network(FLAVOUR, &mut self.peers);
        is_asked
    }

    /// Runs each command that a scan of the host and of the volume prints.
    fn follow_scan(&self) -> Vec<Finished> {
        let program = crate::tool::binary();
        let scanned = self.host.command(&program).args(["scan", "--walk"]).arg(&self.pod.volume).finish();
        let commands = scanned.stdout.lines().filter_map(|line| line.trim().strip_prefix("# criu-gc "));
        let run = |words: &str| {
            let line = format!("{} {words}", program.display());
            self.host.command("sh").args(["-c", &line]).finish()
        };
        let done: Vec<Finished> = commands.map(run).collect();
        std::iter::once(scanned).chain(done).collect()
    }

    /// What has images: the engine's own directory, or where containerd has those of a checkpoint that did not end: first
    /// in a temporary directory, then packed among its blobs.
    fn images_in_hand(&self) -> PathBuf {
        if Tool::new(self.host, &self.images).run(&["--show"]).code() != 2 {
            return self.images.clone();
        }
        let temporary = largest_in(self.host, "/tmp", "ctrd-checkpoint");
        temporary.or_else(|| largest_in(self.host, BLOBS, "")).unwrap_or_else(|| self.images.clone())
    }
}

/// The end of what criu-gc says where only the time of a link is missing.
const PRINTED: &str = "To remove: --allow older-than-dump\n";

/// Where Docker's own containerd keeps what it packs.
const BLOBS: &str = "/var/lib/docker/containerd/daemon/io.containerd.content.v1.content/blobs/sha256";

/// Of the names in a directory of the host that begin so, the one that is largest: images are larger than their index.
fn largest_in(host: &TestHost, directory: &str, beginning: &str) -> Option<PathBuf> {
    let entries = std::fs::read_dir(host.path(directory)).into_iter().flatten().flatten();
    let fits = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(beginning));
    let largest = fits.max_by_key(|entry| entry.metadata().map_or(0, |data| data.len()))?;
    Some(Path::new(directory).join(largest.file_name()))
}

/// The same command once more.
fn clone(command: &Command) -> Command {
    let mut same = Command::new(command.get_program());
    same.args(command.get_args()).env_clear();
    same.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    same
}
