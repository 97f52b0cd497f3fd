// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The programs that read and change legacy rules: what they may do, and what comes of it when they fail.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use testkit::{Criu, Finished, IptablesFlavour, LockMethod, wait_until};

use crate::case::{Case, Cases};
use crate::crash::Scene;
use crate::locks::Running;
use crate::places::images_of;

inventory::submit!(Cases::with_newest_criu(&[
    Case { name: "criu-gc and the programs that it runs have no more privileges than they need", test: privileges },
    Case {
        name: "legacy rules that cannot be read are not known, whatever goes wrong with the program",
        test: unreadable,
    },
    Case { name: "a program that hangs is killed, and its rules are not known", test: hanging },
    Case { name: "a program that hangs over a removal is killed, and that is told", test: hanging_over_removal },
    Case { name: "privileges are given up before anything is opened that others wrote", test: given_up_first },
    Case { name: "legacy rules that cannot be removed are told, whatever the program says", test: unremovable },
    Case { name: "a removal waits for the lock of iptables, and gives up in the end", test: locked },
]));

const SAVE: &str = "iptables-legacy-save";
const RESTORE: &str = "iptables-legacy-restore";

/// A host with legacy rules, in which one of iptables' programs is another one while criu-gc runs.
struct Stage {
    scene: Scene,
}

impl Stage {
    fn new(criu: &Criu) -> Self {
        Stage { scene: Scene::new(criu, LockMethod::Iptables, IptablesFlavour::Legacy) }
    }

    /// Runs criu-gc with this script in the place of the program; `REAL` in it runs the program itself.
    fn run_with(&self, program: &str, script: &str, arguments: &[&str]) -> Finished {
        let host = &self.scene.host;
        let directory = host.dir().with_file_name("programs");
        let script = script.replace("REAL", &format!("/usr/sbin/xtables-legacy-multi {program}"));
        fs::create_dir_all(&directory).expect("a directory");
        fs::write(directory.join(program), format!("#!/bin/sh\n{script}\n")).expect("a new file");
        fs::set_permissions(directory.join(program), fs::Permissions::from_mode(0o755)).expect("a mode");
        let layers = format!("lowerdir={}:/usr/sbin", directory.display());
        host.run("mount", &[&"-t", &"overlay", &"-o", &layers, &"none", &"/usr/sbin"]);
        // A descriptor that whoever starts criu-gc has left open.
        let run = self.scene.tool().under(&["sh", "-c", "exec 7</etc/passwd; exec \"$0\" \"$@\""]).run(arguments);
        host.run("umount", &[&"/usr/sbin"]);
        fs::remove_dir_all(directory).expect("a directory");
        run
    }
}

fn privileges(criu: &Criu) {
    // The numbers of capabilities, from linux/capability.h.
    let (look, remove) = ([2, 12, 13, 18, 19, 21], [1, 2, 3, 12, 13, 18, 19, 21]);
    let save = [0, 1, 2, 3, 4, 12, 13, 18, 19, 21, 27, 31, 33];
    assert_given_up(criu, &["--show"], &look);
    assert_given_up(criu, &[], &remove);
    assert_given_up(criu, &["--save", "/run/saved"], &save);
}

/// A program that criu-gc runs looks at both.
fn assert_given_up(criu: &Criu, arguments: &[&str], kept: &[u32]) {
    let stage = Stage::new(criu);
    let notes = "cat /proc/$PPID/status > /run/parent; cat /proc/self/status > /run/own; ls /proc/self/fd > /run/files; \
                 env > /run/environment; umask > /run/umask; exec REAL \"$@\"";
    let run = stage.run_with(SAVE, notes, arguments);
    assert_eq!(run.code(), 0, "{run}");
    let read = |name: &str| fs::read_to_string(stage.scene.host.path(format!("/run/{name}"))).expect("a note");
    let set = |numbers: &[u32]| format!("{:016x}", numbers.iter().fold(0_u64, |set, number| set | 1 << number));
    for who in ["parent", "own"].map(read) {
        let field = |name: &str| {
            let line = who.lines().find_map(|line| line.strip_prefix(name)).expect("a field");
            line.trim_start_matches(':').trim().to_owned()
        };
        for kind in ["CapEff", "CapPrm", "CapBnd"] {
            assert_eq!(field(kind), set(kept), "{kind} with {arguments:?}: {who}");
        }
        assert_eq!(
            (field("CapInh"), field("CapAmb"), field("NoNewPrivs")),
            (set(&[]), set(&[]), "1".to_owned()),
            "{who}"
        );
    }
    assert_eq!(read("umask").trim(), "0077");
    // Of ls, the last is the directory itself.
    assert_eq!(read("files").split_whitespace().collect::<Vec<_>>(), ["0", "1", "2", "3"]);
    let mut environment: Vec<String> = read("environment").lines().map(str::to_owned).collect();
    environment.retain(|line| !line.starts_with("PWD="));
    environment.sort();
    assert_eq!(environment, ["LC_ALL=C", "PATH=/usr/sbin:/sbin:/usr/bin:/bin"]);
}

fn unreadable(criu: &Criu) {
    let stage = Stage::new(criu);
    let all = stage.scene.left();
    for (script, words) in [
        ("exit 1", "failed (exit status: 1)"),
        ("echo 'it is \u{1b}[2Jbroken' >&2; exit 3", "it is \\u{1b}[2Jbroken"),
        ("kill -KILL $$", "signal: 9"),
        ("echo '*filter'; echo ':INPUT'; echo nonsense", "cannot parse the output of iptables-legacy-save"),
        ("head -c 100000 /dev/urandom", "cannot parse the output of iptables-legacy-save"),
        ("REAL | head -c 60", "cannot parse the output of iptables-legacy-save"),
        ("yes", "wrote more than"),
    ] {
        let run = stage.run_with(SAVE, script, &["--show", "--exit-code"]);
        assert_eq!(run.code(), 1, "{script}: {run}");
        assert!(run.stdout.contains(words), "{script}: {run}");
        assert!(run.stdout.contains("(not known: ") && !run.stdout.contains("Nothing is left"), "{script}: {run}");
        assert_eq!(stage.scene.left(), all);
    }
    stage.scene.assert_completes();
}

fn hanging(criu: &Criu) {
    let stage = Stage::new(criu);
    let run = stage.run_with(SAVE, "sleep infinity & sleep infinity", &["--show", "--exit-code"]);
    assert_eq!(run.code(), 1, "{run}");
    assert!(run.stdout.contains("killed because it did not finish within 30 seconds"), "{run}");
    stage.scene.assert_completes();
}

fn hanging_over_removal(criu: &Criu) {
    let stage = Stage::new(criu);
    let run = stage.run_with(RESTORE, "sleep infinity & sleep infinity", &[]);
    assert_eq!(run.code(), 1, "{run}");
    assert!(run.stdout.contains("killed because it did not finish within 30 seconds"), "{run}");
    assert!(run.stdout.matches("; removed)").count() >= 5, "{run}");
    stage.scene.assert_scope();
    stage.scene.assert_completes();
}

/// By the order of the system calls.
fn given_up_first(criu: &Criu) {
    let scene = Scene::new(criu, LockMethod::Skip, IptablesFlavour::Nft);
    let host = &scene.host;
    let trace = host.dir().with_file_name("trace");
    let place = trace.to_str().expect("a path of text");
    let words =
        ["strace", "-f", "-qq", "-s", "4096", "-o", place, "-e", "trace=capset,prctl,?open,openat,openat2,umask"];
    for arguments in [&["--show"][..], &[], &["--save", "/run/saved"]] {
        let run = scene.tool().under(&words).run(arguments);
        assert_eq!(run.code(), 0, "{run}");
        let text = fs::read_to_string(&trace).expect("a trace");
        let at = |words: &str| text.lines().position(|line| line.contains(words) && !line.contains(" = -1 "));
        let images = at(images_of(host).to_str().expect("a path of text"))
            .unwrap_or_else(|| panic!("void: no images are opened: {text}"));
        for call in ["capset(", "PR_SET_NO_NEW_PRIVS", "PR_CAPBSET_DROP", "umask(077)"] {
            let given_up = at(call).unwrap_or_else(|| panic!("no {call} with {arguments:?}: {text}"));
            assert!(given_up < images, "{call} comes after the images with {arguments:?}: {text}");
        }
    }
    assert_eq!(scene.left(), crate::tool::NOTHING);
}

fn unremovable(criu: &Criu) {
    for (script, words) in [
        ("exit 1", "another program changed the rules during each of 16 attempts"),
        ("kill -KILL $$", "cannot change the legacy iptables rules"),
        ("exit 0", "it still exists after its removal"),
        // It did what it was asked for, and then says that it did not.
        ("REAL \"$@\"; kill -KILL $$", "cannot change the legacy iptables rules"),
    ] {
        let stage = Stage::new(criu);
        let run = stage.run_with(RESTORE, script, &[]);
        assert_eq!(run.code(), 1, "{script}: {run}");
        assert!(run.stdout.contains(words), "{script}: {run}");
        assert!(
            run.stdout.contains("Link remap: ") && run.stdout.matches("; removed)").count() >= 5,
            "{script}: {run}"
        );
        stage.scene.assert_scope();
        stage.scene.assert_completes();
    }
}

/// The lock is a file of the host's own /run.
fn locked(criu: &Criu) {
    let stage = Stage::new(criu);
    let scene = &stage.scene;
    let hold = |seconds: &str| {
        let mut command = scene.host.command("flock");
        command.args(["--exclusive", "/run/xtables.lock", "sleep", seconds]);
        let holder = Running::start(command);
        let is_free = || scene.host.command("flock").args(["-nx", "/run/xtables.lock", "true"]).status();
        wait_until(|| (!is_free().expect("nsenter").success()).then_some(())).expect("void: there is no lock");
        holder
    };
    let all = scene.left();
    let holder = hold("30");
    let started = Instant::now();
    let run = scene.tool().run(&[]);
    assert_eq!(run.code(), 1, "{run}");
    assert!(run.stdout.contains("another program has had the lock of iptables for 20 seconds"), "{run}");
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
    assert!(scene.left().len() < all.len(), "nothing was removed at all: {run}");
    holder.wait();
    scene.assert_scope();
    let holder = hold("3");
    scene.assert_completes();
    holder.wait();
    assert!(images_of(&scene.host).exists());
}
