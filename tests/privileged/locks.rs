// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Several runs at once, on one checkpoint and on two: none is lost, none waits for ever.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use testkit::{Criu, DumpOptions, TestHost, wait_until};

use crate::case::{Case, Cases};
use crate::places::images_of;
use crate::signals::dump_long;
use crate::tool::{NOTHING, Tool, binary};

inventory::submit!(Cases::with_each_criu(&[
    Case { name: "a second removal waits for the first, and finds nothing to do", test: second_removal },
    Case { name: "a removal refuses a checkpoint that stays locked, and says by whom", test: locked },
    Case { name: "of two checkpoints of which one stays locked nothing is removed", test: one_locked },
    Case { name: "--show looks at a checkpoint that stays locked, and says so", test: shown },
    Case { name: "an archive is locked as a directory is", test: archive },
    Case { name: "--show does not wait for others that look, and a removal does", test: shared },
    Case { name: "a directory that is named twice does not wait for itself", test: twice },
    Case { name: "images on a read-only filesystem are locked too", test: read_only },
    Case { name: "two runs on the same checkpoints in opposite order both come to an end", test: opposite },
    Case { name: "a killed run leaves no lock", test: killed },
]));

fn second_removal(criu: &Criu) {
    let host = TestHost::new();
    let before = dump_long(criu, &host);
    let first = Running::start(Tool::on(&host).under_strace(&["unlinkat:delay_enter=300000"]).command(&[]));
    let links = || names(&host).iter().filter(|name| name.starts_with("link_remap.")).count();
    wait_until(|| (links() < 3).then_some(())).expect("void: the first run removes nothing");
    assert!(links() > 0, "void: the first run is over");
    let second = Tool::on(&host).run(&[]);
    assert_eq!((second.code(), second.stdout.lines().last()), (0, Some("Nothing is left.")), "{second}");
    assert_eq!(first.wait(), Some(0));
    assert_eq!(Tool::on(&host).difference_to(&before), NOTHING);
}

fn locked(criu: &Criu) {
    let host = TestHost::new();
    let before = dump_long(criu, &host);
    let holder = Holder::start(&host, "--exclusive");
    let then = Tool::on(&host).snapshot();
    let run = Tool::on(&host).run(&[]);
    assert_eq!((run.code(), run.stdout.as_str()), (2, ""), "{run}");
    assert!(
        run.stderr.starts_with(&format!("criu-gc: waiting for {}, which process ", images_of(&host).display())),
        "{run}"
    );
    let said = run.stderr.lines().last().unwrap_or_default();
    assert!(said.contains("has been locked by process ") && said.contains(" (flock) for 20 seconds"), "{run}");
    assert_eq!(Tool::on(&host).difference_to(&then), NOTHING);
    drop(holder);
    Tool::on(&host).assert_removes_everything_since(&before);
}

fn one_locked(criu: &Criu) {
    let host = TestHost::new();
    let before = dump_long(criu, &host);
    let other = dump_second(criu, &host);
    let holder = Holder::start(&host, "--exclusive");
    let then = Tool::on(&host).snapshot();
    let run = Tool::new(&host, &other).option("-D", images_of(&host)).run(&[]);
    assert_eq!((run.code(), run.stdout.as_str()), (2, ""), "{run}");
    assert!(run.stderr.contains("has been locked by process ") && run.stderr.contains("nothing was removed"), "{run}");
    assert_eq!(Tool::on(&host).difference_to(&then), NOTHING);
    drop(holder);
    let run = Tool::new(&host, &other).option("-D", images_of(&host)).run(&[]);
    assert_eq!(run.code(), 0, "{run}");
    assert_eq!(Tool::on(&host).difference_to(&before), NOTHING);
}

fn shown(criu: &Criu) {
    let host = TestHost::new();
    dump_long(criu, &host);
    let _holder = Holder::start(&host, "--exclusive");
    let run = Tool::on(&host).run(&["--show"]);
    assert_eq!(run.code(), 0, "{run}");
    assert!(run.stdout.contains(" (flock) has locked ") && run.stdout.contains("; to be removed)"), "{run}");
}

fn archive(criu: &Criu) {
    let host = TestHost::new();
    let before = dump_long(criu, &host);
    let archive = host.dir().with_file_name("images.tar");
    host.run("tar", &[&"-C", &images_of(&host), &"-cf", &archive, &"."]);
    let tool = Tool::new(&host, &archive);
    let holder = Holder::start_on(&host, "--exclusive", &archive);
    let run = tool.run(&["--show"]);
    assert_eq!(run.code(), 0, "{run}");
    let note = format!(" (flock) has locked {}: it may be removing the listed objects right now", archive.display());
    assert!(run.stdout.contains(&note) && run.stdout.contains("; to be removed)"), "{run}");
    drop(holder);
    tool.assert_removes_everything_since(&before);
}

fn shared(criu: &Criu) {
    let host = TestHost::new();
    let before = dump_long(criu, &host);
    let holder = Holder::start(&host, "--shared");
    let started = Instant::now();
    Tool::on(&host).show();
    assert!(started.elapsed().as_secs_f64() < 3.0, "--show waited {:?}", started.elapsed());
    let removal = Running::start(Tool::on(&host).command(&[]));
    std::thread::sleep(Duration::from_millis(1500));
    let is_link = |name: &String| name.starts_with("link_remap.");
    assert_eq!(names(&host).iter().filter(|name| is_link(name)).count(), 3, "something was removed");
    drop(holder);
    assert_eq!(removal.wait(), Some(0));
    assert_eq!(Tool::on(&host).difference_to(&before), NOTHING);
}

fn twice(criu: &Criu) {
    let host = TestHost::new();
    let before = dump_long(criu, &host);
    let again = images_of(&host).join(".");
    let run = Tool::on(&host).option("-D", again).run(&[]);
    assert_eq!((run.code(), run.stderr.as_str()), (0, ""), "{run}");
    assert_eq!(Tool::on(&host).difference_to(&before), NOTHING);
}

fn read_only(criu: &Criu) {
    let host = TestHost::new();
    let before = dump_long(criu, &host);
    let images = images_of(&host);
    host.run("mount", &[&"--bind", &images, &images]);
    host.run("mount", &[&"-o", &"remount,bind,ro", &images]);
    let write = host.command("touch").arg(images.join("new")).output().expect("nsenter");
    assert!(!write.status.success(), "void: the images can be written");
    Tool::on(&host).assert_removes_everything_since(&before);
}

fn opposite(criu: &Criu) {
    let host = TestHost::new();
    let before = dump_long(criu, &host);
    let other = dump_second(criu, &host);
    for _ in 0..4 {
        let run = |first: &PathBuf, second: &PathBuf| {
            let mut command = host.command(binary());
            command.arg("-D").arg(first).arg("-D").arg(second);
            Running::start(command)
        };
        let (one, two) = (run(&images_of(&host), &other), run(&other, &images_of(&host)));
        assert_eq!((one.wait(), two.wait()), (Some(0), Some(0)));
    }
    assert_eq!(Tool::on(&host).difference_to(&before), NOTHING);
}

fn killed(criu: &Criu) {
    let host = TestHost::new();
    let before = dump_long(criu, &host);
    let run = Tool::on(&host).under_strace(&["unlinkat:signal=KILL:when=1"]).run(&[]);
    assert_eq!(run.code(), -9, "{run}");
    let started = Instant::now();
    Tool::on(&host).assert_removes_everything_since(&before);
    assert!(started.elapsed().as_secs_f64() < 20.0);
}

/// Dumps another tree of the host, and gives where its images are.
pub(crate) fn dump_second(criu: &Criu, host: &TestHost) -> PathBuf {
    let images = host.dir().with_file_name("other images");
    let directory = host.dir().with_file_name("other");
    fs::create_dir(&directory).expect("a new directory");
    let tree = host.start_workload(&[&"deleted", &directory.join("data"), &"listen-connect", &"127.0.0.1:0"]);
    criu.dump(host, &tree, &images, &DumpOptions::default());
    images
}

fn names(host: &TestHost) -> Vec<String> {
    let entries = fs::read_dir(host.dir()).expect("a directory");
    entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
}

/// A program that has the images directory locked, until this goes out of scope.
struct Holder<'a> {
    host: &'a TestHost,
    program: Option<Running>,
}

impl<'a> Holder<'a> {
    /// Starts it on the images, and waits until it has the lock.
    fn start(host: &'a TestHost, kind: &str) -> Self {
        Self::start_on(host, kind, &images_of(host))
    }

    fn start_on(host: &'a TestHost, kind: &str, path: &Path) -> Self {
        let mut command = host.command("flock");
        let go = format!("until [ -e {} ]; do sleep 0.01; done", go_file(host).display());
        command.arg(kind).arg(path).args(["sh", "-c", &go]);
        let holder = Holder { host, program: Some(Running::start(command)) };
        let is_free = || host.command("flock").args(["-nx"]).arg(path).arg("true").status();
        wait_until(|| (!is_free().expect("nsenter").success()).then_some(())).expect("void: there is no lock");
        holder
    }
}

impl Drop for Holder<'_> {
    fn drop(&mut self) {
        fs::write(go_file(self.host), "").expect("a new file");
        self.program.take().map(Running::wait);
    }
}

fn go_file(host: &TestHost) -> PathBuf {
    host.dir().with_file_name("go")
}

/// A program that runs; killed when this goes out of scope.
pub(crate) struct Running(Child);

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Running(command.spawn().expect("nsenter"))
    }

    /// Waits until it has ended, and gives its exit status.
    pub(crate) fn wait(mut self) -> Option<i32> {
        wait_until(|| self.0.try_wait().expect("a child's status")).and_then(|status| status.code())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended cannot be killed, which is what is wanted.
        let _ = self.0.kill().and_then(|()| self.0.wait());
    }
}
