// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `criu-gc restorable`: after a restore that was killed, the next one succeeds at the first try.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use testkit::{
    Access, Container, Criu, DumpOptions, DumpResult, Engines, Finished, IptablesFlavour, Kill, Launch, LockMethod,
    Runtime, TestHost, Victim, Word, Workload,
};

use crate::case::{Case, Cases};
use crate::control_group::ControlGroup;
use crate::places::{images_of, make_directory};
use crate::pod::Pod;
use crate::tool::{NOTHING, Tool};

inventory::submit!(Cases::with_each_criu(&[
    Case { name: "after a killed restore, restorable makes the next one succeed at the first try", test: next_restore },
    Case { name: "what a killed restore left stays without --kill, and is named with it", test: without_kill },
    Case { name: "a restore at work is left alone by restorable", test: at_work },
    Case { name: "a file of the user's that a killed restore moved aside gets its name back", test: parked },
    Case { name: "names under which a killed restore opened files go, and the user's own stay", test: reopened },
    Case { name: "a ghost file of a deleted directory is found above it", test: above },
    Case { name: "after a killed restore of a container, restorable makes the next one succeed", test: container },
    Case { name: "after runc's restore was killed, restorable makes the next one succeed", test: runc },
    Case { name: "after crun's restore was killed, restorable makes the next one succeed", test: crun },
    Case { name: "dead sockets, stale pid files and an unfinished cache go, and live ones stay", test: litter },
    Case { name: "a link remap that a failed restore removed is missed by restorable", test: lost },
    Case { name: "control group mounts of a killed restore are unmounted, and nothing below is touched", test: yard },
]));

/// A dump with ghost files, a link remap and a child, of which the restore was killed.
pub(crate) struct Killed {
    pub(crate) host: TestHost,
    pub(crate) dump: DumpResult,
    pub(crate) options: DumpOptions,
}

impl Killed {
    pub(crate) fn new(criu: &Criu, extra: &[&str], kill: Kill) -> Self {
        let killed = Self::dumped(criu, extra);
        killed.restore_killed(criu, kill);
        killed
    }

    pub(crate) fn dumped(criu: &Criu, extra: &[&str]) -> Self {
        Self::dumped_after(criu, extra, |_, _| ())
    }

    /// The same, with something that is done to the host and the tree before the dump.
    pub(crate) fn dumped_after(criu: &Criu, extra: &[&str], prepare: impl FnOnce(&TestHost, &Workload)) -> Self {
        let host = TestHost::new();
        let file = |name: &str| host.dir().join(name);
        let (linked, one, two) = (file("linked"), file("one"), file("two"));
        let tree = host.start_workload(&[
            &"deleted",
            &linked,
            &"deleted",
            &one,
            &"socket-deleted",
            &file("socket"),
            &"child",
            &"deleted",
            &two,
            &"end",
        ]);
        for ghost in [&one, &two] {
            fs::remove_file(ghost.with_extension("keep")).expect("the other name");
        }
        prepare(&host, &tree);
        let options = DumpOptions { extra: extra.iter().map(Into::into).collect(), ..DumpOptions::default() };
        let dump = criu.dump(&host, &tree, &images_of(&host), &options);
        drop::<Workload>(tree);
        Killed { host, dump, options }
    }

    pub(crate) fn restore_killed(&self, criu: &Criu, kill: Kill) {
        let finished = criu.restore_killed(&self.host, &self.dump, &self.options, kill);
        assert!(!finished.status.success(), "void: the restore succeeded");
    }

    pub(crate) fn tool(&self) -> Tool<'_> {
        Tool::on(&self.host)
    }

    pub(crate) fn restorable(&self, arguments: &[&str]) -> Finished {
        let words: Vec<&str> = ["restorable"].into_iter().chain(arguments.iter().copied()).collect();
        self.tool().run(&words)
    }

    /// The names in the host's directory that end so.
    pub(crate) fn names(&self, end: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.host.dir()).expect("a directory").flatten().map(|entry| entry.path());
        entries.filter(|path| path.to_string_lossy().ends_with(end)).collect()
    }

    /// How many processes of the tree there are. Others come and go.
    pub(crate) fn processes(&self) -> usize {
        let names = self.host.run("sh", &[&"-c", &"cat /proc/[0-9]*/comm 2>/dev/null || true"]);
        names.stdout.lines().filter(|name| *name == "workload").count()
    }

    #[track_caller]
    pub(crate) fn assert_restores(&self, criu: &Criu) {
        drop(criu.restore(&self.host, &self.dump, &self.options));
    }
}

pub(crate) fn post_restore() -> Kill {
    Kill::before("write", "Running post-restore")
}

fn next_restore(criu: &Criu) {
    let killed = Killed::new(criu, &[], post_restore());
    assert!(!killed.names(".ghost").is_empty(), "void: no ghost file");
    let links = killed.tool().snapshot();
    let shown = killed.restorable(&["--show", "--kill"]);
    assert_eq!((shown.code(), killed.tool().difference_to(&links)), (0, NOTHING.map(str::to_owned).to_vec()));
    assert!(shown.stdout.contains("Half-restored process: ") && shown.stdout.contains("to be killed"), "{shown}");
    let before = killed.processes();
    let undone = killed.restorable(&["--kill"]);
    assert_eq!(undone.code(), 0, "{undone}");
    assert!(killed.processes() < before, "void: nothing was killed: {undone}");
    assert_eq!(killed.names(".ghost"), Vec::<PathBuf>::new(), "{undone}");
    killed.assert_restores(criu);
    let again = killed.restorable(&["--kill"]);
    assert_eq!((again.code(), again.stdout.lines().last()), (0, Some("Nothing is left.")), "{again}");
}

fn without_kill(criu: &Criu) {
    let killed = Killed::new(criu, &[], post_restore());
    let before = (killed.processes(), killed.names(".ghost"));
    let kept = killed.restorable(&[]);
    assert_eq!(kept.code(), 1, "{kept}");
    assert_eq!((killed.processes(), killed.names(".ghost")), before, "{kept}");
    assert!(kept.stdout.contains("Kept, half-restored") && kept.stdout.contains("To remove: --kill"), "{kept}");
    assert_eq!(killed.restorable(&["--kill"]).code(), 0);
    killed.assert_restores(criu);
}

/// The action script runs as long as the test wants, in a restore that then succeeds.
fn at_work(criu: &Criu) {
    let killed = Killed::dumped(criu, &[]);
    let command = criu.restore_command(&killed.host, &killed.dump, &killed.options);
    let at_work = crate::refusals::AtWork::start(&killed.host, command, "post-restore");
    let before = (killed.processes(), killed.names(".ghost"));
    assert!(!before.1.is_empty(), "void: no ghost file");
    let kept = killed.restorable(&["--kill"]);
    assert_eq!((killed.processes(), killed.names(".ghost")), before, "{kept}");
    assert!(kept.stdout.contains("criu-at-work"), "{kept}");
    assert_eq!(kept.code(), 1, "{kept}");
    at_work.finish();
    assert_eq!(killed.names(".ghost"), Vec::<PathBuf>::new(), "the restore did not finish");
}

fn yard(criu: &Criu) {
    let mut group = None;
    let killed = Killed::dumped_after(criu, &["--manage-cgroups"], |_, tree| group = Some(ControlGroup::of_pids(tree)));
    killed.restore_killed(criu, post_restore());
    let images = images_of(&killed.host);
    let yards = || -> Vec<PathBuf> {
        let inside = killed.host.path(&images);
        let names = fs::read_dir(inside).expect("images").flatten().map(|entry| entry.path());
        names.filter(|path| path.to_string_lossy().contains(".criu.cgyard.")).collect()
    };
    assert_eq!(yards().len(), 1, "void: no control group mounts");
    let groups = || fs::read_dir("/sys/fs/cgroup").expect("control groups").count();
    let before = groups();
    // The user's own, each in one of the shapes.
    let own = plant(&images);
    let undone = killed.restorable(&["--kill", "-v"]);
    assert_eq!(undone.code(), 0, "{undone}");
    assert!(undone.stdout.contains("unmounted and removed"), "{undone}");
    assert_eq!(groups(), before);
    for path in own {
        assert!(killed.host.path(&path).symlink_metadata().is_ok(), "{} is gone: {undone}", path.display());
    }
    killed.assert_restores(criu);
}

/// The restored task and CRIU die together right after the user's file was moved.
fn parked(criu: &Criu) {
    // CRIU keeps the name of a deleted socket only if something else has it.
    let put = |host: &TestHost, _: &Workload| fs::write(host.dir().join("socket"), "the user's").expect("a file");
    let killed = Killed::dumped_after(criu, &[], put);
    let (own, parked) = (killed.host.dir().join("socket"), killed.host.dir().join("socket.criu-sk-ghost"));
    killed.restore_killed(criu, Kill::after("rename", "criu-sk-ghost").of(Victim::Both));
    assert!(!own.exists() && parked.exists(), "void: the file was not moved");
    fs::write(&own, "newer").expect("a file");
    let taken = killed.restorable(&["--kill"]);
    assert!(taken.code() == 1 && taken.stdout.contains("kept: name-taken"), "{taken}");
    assert_eq!(fs::read_to_string(&own).expect("a file"), "newer");
    fs::remove_file(&own).expect("a file");
    let shown = killed.restorable(&["--show"]);
    let first = shown.stdout.lines().next().unwrap_or_default();
    let expected = format!("Your file: {} -> {} (", parked.display(), own.display());
    assert!(first.starts_with(&expected) && first.ends_with("to be renamed back)"), "{shown}");
    // Before and without the end of any process.
    let undone = killed.restorable(&[]);
    assert!(undone.stdout.contains("renamed back)"), "{undone}");
    assert_eq!(fs::read_to_string(&own).expect("the user's file"), "the user's");
    assert!(!parked.exists());
    let undone = killed.restorable(&["--kill"]);
    assert_eq!(undone.code(), 0, "{undone}");
    killed.assert_restores(criu);
    assert_eq!(fs::read_to_string(&own).expect("the user's file"), "the user's");
}

fn reopened(criu: &Criu) {
    for (name, is_taken) in [("linked", false), ("one", false), ("linked", true), ("one", true)] {
        let killed = Killed::dumped(criu, &[]);
        let own = killed.host.dir().join(name);
        let link = if is_taken { "cr_link" } else { name };
        if is_taken {
            fs::write(&own, "the user's").expect("a file");
        }
        let kill = match (name, is_taken) {
            (_, true) => Kill::after("linkat", ".cr_link"),
            ("one", false) => Kill::after("linkat", "one.cr."),
            (_, false) => Kill::after("linkat", "linked"),
        };
        killed.restore_killed(criu, kill.of(Victim::Both));
        let made = || killed.names(&format!("{name}{}", if is_taken { ".cr_link" } else { "" }));
        assert_eq!(made().len(), 1, "void: {link} was not made: {:?}", killed.names(""));
        let undone = killed.restorable(&["--kill"]);
        assert_eq!(undone.code(), 0, "{undone}");
        assert_eq!(made(), Vec::<PathBuf>::new(), "{undone}");
        if is_taken {
            assert_eq!(fs::read_to_string(&own).expect("the user's file"), "the user's");
        }
        assert_eq!(killed.names("").iter().filter(|path| path.to_string_lossy().contains("link_remap")).count(), 1);
        killed.assert_restores(criu);
    }
}

fn above(criu: &Criu) {
    let host = TestHost::new();
    let directory = host.dir().join("gone/below");
    fs::create_dir_all(&directory).expect("directories");
    let tree = host.start_workload(&[&"deleted", &directory.join("data")]);
    fs::remove_dir_all(host.dir().join("gone")).expect("directories");
    let options = DumpOptions::default();
    let dump = criu.dump(&host, &tree, &images_of(&host), &options);
    drop(tree);
    let killed = Killed { host, dump, options };
    killed.restore_killed(criu, post_restore());
    let ghosts = killed.names(".ghost");
    assert_eq!(ghosts.len(), 1, "void: no ghost file above: {:?}", killed.names(""));
    let undone = killed.restorable(&["--kill"]);
    assert_eq!((undone.code(), killed.names(".ghost")), (0, Vec::new()), "{undone}");
    killed.assert_restores(criu);
}

/// With mount and pid namespaces of its own.
fn container(criu: &Criu) {
    let host = TestHost::new();
    let volume = make_directory(&host, "volume");
    let container = Container::new(&host, "root").bind(&volume, "/data".as_ref(), Access::ReadWrite);
    let words: [Word<'_>; 4] = [&"deleted", &"/data/one", &"deleted", &"/tmp/two"];
    let tree = Launch::new(&words).container(&container).start(&host);
    for kept in [volume.join("one.keep"), container.root().join("tmp/two.keep")] {
        fs::remove_file(host.path(kept)).expect("the other name");
    }
    let options = DumpOptions::default();
    let dump = criu.dump(&host, &tree, &images_of(&host), &options);
    drop(tree);
    let killed = Killed { host, dump, options };
    let temporary = || killed.host.run("sh", &[&"-c", &"ls -A /tmp"]).stdout;
    let before = temporary();
    killed.restore_killed(criu, post_restore());
    let after = temporary();
    let shown = killed.restorable(&["--show", "--kill"]);
    assert!(after != before, "void: nothing in /tmp: {after} {shown}");
    let own = [
        "mkdir /tmp/.criu.mntns.abcdef; touch /tmp/.criu.mntns.abcdef/mine; mkdir /tmp/.criu.mntns.abcde",
        "touch /tmp/.criu.mntns.ABCDEF; mkdir /tmp/.criu.mntns.uvwxyz; chown 1000 /tmp/.criu.mntns.uvwxyz",
        "mkdir /tmp/.criu.move_mount_set_group.abcdef",
        "mount -t tmpfs mine /tmp/.criu.move_mount_set_group.abcdef",
        "mkdir /tmp/proc.crtools /tmp/proc.crtools/x",
    ];
    killed.host.run("sh", &[&"-e", &"-c", &own.join("\n")]);
    let planted = temporary();
    let undone = killed.restorable(&["--kill"]);
    assert_eq!(undone.code(), 0, "{undone}");
    let left = temporary();
    let expected: Vec<&str> = planted.lines().filter(|line| before.contains(line) || !after.contains(line)).collect();
    assert_eq!(left.lines().collect::<Vec<_>>(), expected, "{undone}");
    killed.assert_restores(criu);
}

fn runc(criu: &Criu) {
    runtime(criu, Runtime::Runc);
}

fn crun(criu: &Criu) {
    runtime(criu, Runtime::Crun);
}

/// CRIU is killed by its own action script, once.
fn runtime(criu: &Criu, runtime: Runtime) {
    let host = TestHost::new();
    let flavour = IptablesFlavour::Nft;
    let pod = Pod::new(&host, flavour);
    let engines = Engines::new(&host, criu, LockMethod::Iptables, flavour);
    let (script, flag) = (host.dir().with_file_name("kill"), host.dir().with_file_name("flag"));
    let text = format!(
        "#!/bin/sh\n[ \"$CRTOOLS_SCRIPT_ACTION\" != post-restore ] || ! rm {} || kill -9 $PPID\n",
        flag.display()
    );
    fs::write(&script, text).expect("a new file");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("a mode");
    engines.configure(&format!("action-script {}", script.display()));
    let bundle = engines.make_bundle(runtime, "container", &pod.container());
    bundle.start();
    for kept in [pod_file(&host, "volume/one.keep"), host.path(bundle.root().join("tmp/two.keep"))] {
        fs::remove_file(kept).expect("the other name");
    }
    bundle.checkpoint();
    fs::write(&flag, "").expect("a new file");
    assert!(!bundle.try_restore() && !flag.exists(), "void: the restore was not killed");
    let tool = Tool::new(&host, bundle.directory());
    let shown = tool.run(&["restorable", "--show", "--kill", "-v"]);
    let undone = tool.run(&["restorable", "--kill"]);
    assert_eq!(undone.code(), 0, "{shown}{undone}");
    // crun refuses a container that it knows, whatever became of it.
    bundle.forget();
    let log = || fs::read_to_string(host.path(bundle.directory().join("log"))).unwrap_or_default();
    assert!(bundle.try_restore(), "{}\n{shown}{undone}", log());
    assert!(bundle.pid().is_some());
}

fn pod_file(host: &TestHost, name: &str) -> PathBuf {
    host.dir().join(name)
}

fn litter(criu: &Criu) {
    let mut killed = Killed::dumped(criu, &[]);
    let images = images_of(&killed.host);
    let at = |name: &str| images.join(name);
    fs::write(at("web.pid"), "99999").expect("a file");
    fs::write(at("live.pid"), "1").expect("a file");
    fs::write(at("mine.pid"), "my notes").expect("a file");
    fs::write(at("line.pid"), "99999\n").expect("a file");
    drop(UnixListener::bind(at("criu_service.socket")).expect("a socket"));
    let live = UnixListener::bind(at("lazy-pages.socket")).expect("a socket");
    killed.host.run("sh", &[&"-c", &"echo x >/run/criu.kdat.tmp; chmod 600 /run/criu.kdat.tmp"]);
    killed.options.extra.extend(["--pidfile".into(), at("web.pid").into_os_string()]);
    // What lies in the images directory a plain gc would remove too, and the rest of the host's not.
    let gc = killed.tool().run(&["--show"]);
    let count = |text: &str, label: &str| text.lines().filter(|line| line.starts_with(label)).count();
    assert_eq!(["Dead socket", "Stale pid", "Unfinished"].map(|label| count(&gc.stdout, label)), [1, 1, 0], "{gc}");
    let undone = killed.restorable(&["--kill"]);
    assert_eq!(undone.code(), 0, "{undone}");
    let done = ["Dead socket", "Stale pid", "Unfinished"].map(|label| count(&undone.stdout, label));
    assert_eq!(done, [1, 1, 1], "{undone}");
    for (name, is_there) in [
        ("web.pid", false),
        ("criu_service.socket", false),
        ("lazy-pages.socket", true),
        ("live.pid", true),
        ("mine.pid", true),
        ("line.pid", true),
    ] {
        assert_eq!(at(name).symlink_metadata().is_ok(), is_there, "{name}: {undone}");
    }
    assert!(!killed.host.path("/run/criu.kdat.tmp").exists());
    let restored = criu.try_restore(&killed.host, &killed.dump, &killed.options);
    let log = fs::read_to_string(at("restore.log")).unwrap_or_default();
    let errors: Vec<&str> = log.lines().filter(|line| line.contains("Error")).collect();
    assert!(restored.status.success(), "{errors:#?} {undone}");
    drop(live);
}

/// A restore that fails at its very end has removed the link remaps: nothing brings them back, and restorable says so.
fn lost(criu: &Criu) {
    let mut killed = Killed::dumped(criu, &[]);
    let file = images_of(&killed.host).join("web.pid");
    fs::write(&file, "99999").expect("a file");
    killed.options.extra.extend(["--pidfile".into(), file.into_os_string()]);
    let failed = criu.try_restore(&killed.host, &killed.dump, &killed.options);
    assert!(!failed.status.success(), "void: a stale pid file does not matter");
    let undone = killed.restorable(&["--kill"]);
    let is_said = |line: &str| line.starts_with("Not known: whether a restore can succeed: it needs ");
    assert!(undone.code() == 1 && undone.stdout.lines().any(is_said), "{undone}");
}

/// Look-alikes in the images directory: a wrong length, a file, a directory that is not empty, a link.
fn plant(images: &Path) -> Vec<PathBuf> {
    let at = |name: &str| images.join(name);
    fs::create_dir(at(".criu.cgyard.abc")).expect("a directory");
    fs::write(at(".criu.cgyard.abcdef"), "mine").expect("a file");
    fs::create_dir_all(at(".criu.cgyard.ABCDEF/mine")).expect("a directory");
    std::os::unix::fs::symlink("/", at(".criu.cgyard.123456")).expect("a link");
    fs::create_dir(at(".criu.cgyard.uvwxyz")).expect("a directory");
    std::os::unix::fs::chown(at(".criu.cgyard.uvwxyz"), Some(1000), Some(1000)).expect("an owner");
    fs::write(at("notes.pid"), "12345\n").expect("a file");
    fs::write(at("alive.pid"), "1").expect("a file");
    fs::set_permissions(at("notes.pid"), fs::Permissions::from_mode(0o600)).expect("a mode");
    let names = [".criu.cgyard.abc", ".criu.cgyard.abcdef", ".criu.cgyard.ABCDEF", ".criu.cgyard.123456"];
    names.into_iter().chain([".criu.cgyard.uvwxyz", "notes.pid", "alive.pid"]).map(at).collect()
}
