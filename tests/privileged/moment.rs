// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The moment between the last look at a link remap and its removal, in which no system call can keep another file out
//! of its name. criu-gc is held exactly there, by `strace`, while somebody does what can be done: nothing goes but the
//! one name in the directory that was looked at, and what is said afterwards is true.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use testkit::{CommandExt, Criu, DumpOptions, Finished, LockMethod, TestHost};

use crate::case::{Case, Cases};
use crate::faults::tell;
use crate::links::images_of;
use crate::refusals::wait_until;
use crate::tool::Tool;

inventory::submit!(Cases::with_newest_criu(&[
    Case { name: "what has a link's name in the moment of its removal, another file, goes for it", test: other_file },
    Case { name: "a link whose name is taken away in the moment of its removal is gone", test: other_name },
    Case { name: "what cannot be removed in the moment of a link's removal is told", test: obstacles },
    Case {
        name: "a directory that goes elsewhere in the moment of a removal is the one that was looked at",
        test: moved,
    },
    Case { name: "--save keeps the dump's file, whatever has its name in the moment of the removal", test: saving },
]));

/// What somebody does meanwhile.
type Act = fn(&Scene);

/// For how long the call waits: what is done meanwhile has to be over by then, or the test is void.
const MICROSECONDS: u32 = 2_000_000;

/// A host with what a dump left: one link remap, in a directory of its own. Another directory has a user's files of
/// every such name.
struct Scene {
    host: TestHost,
    link: PathBuf,
}

/// Every name below the host's own directory: (inode of its directory, name) to what it is. Where a directory is just
/// now has no part in it.
type Names = BTreeMap<(u64, String), (u64, u32, u64)>;

/// What a run did, and what was there while it was held and after it.
struct Held {
    run: Finished,
    during: Names,
    after: Names,
    directory: u64,
}

impl Scene {
    fn new(criu: &Criu) -> Self {
        let host = TestHost::new();
        let directory = host.dir().join("data");
        fs::create_dir(&directory).expect("a new directory");
        let tree = host.start_workload(&[&"deleted", &directory.join("one")]);
        let options = DumpOptions { lock: LockMethod::Skip, ..DumpOptions::default() };
        criu.dump(&host, &tree, &images_of(&host), &options);
        drop(tree);
        let paths = fs::read_dir(&directory).expect("a directory").map(|entry| entry.expect("an entry").path());
        let links: Vec<PathBuf> = paths.filter(|path| name(path).starts_with("link_remap.")).collect();
        assert_eq!(links.len(), 1, "void: {links:?}");
        let scene = Scene { host, link: links[0].clone() };
        let elsewhere = scene.elsewhere();
        fs::create_dir(&elsewhere).expect("a new directory");
        for name in [name(&scene.link), "one".to_owned(), "precious".to_owned()] {
            fs::write(elsewhere.join(name), "of somebody else").expect("a new file");
        }
        fs::write(scene.precious(), "of somebody else").expect("a new file");
        scene
    }

    fn data(&self) -> PathBuf {
        self.host.dir().join("data")
    }

    fn precious(&self) -> PathBuf {
        self.data().join("precious")
    }

    fn elsewhere(&self) -> PathBuf {
        self.host.dir().join("elsewhere")
    }

    fn tool(&self) -> Tool<'_> {
        Tool::new(&self.host, &images_of(&self.host))
    }

    /// Runs criu-gc, and does something in the moment before the kernel removes the name.
    fn hold(&self, arguments: &[&str], act: impl FnOnce()) -> Held {
        let directory = fs::metadata(self.data()).expect("a directory").ino();
        let trace = self.host.dir().with_file_name("trace");
        let injection = format!("inject=unlinkat:delay_enter={MICROSECONDS}");
        let words = ["strace", "-f", "-qq", "-o", path(&trace), "-e", "trace=unlinkat", "-e", &injection];
        let mut command = self.tool().under(&words).command(arguments);
        let read = || fs::read_to_string(&trace).unwrap_or_default();
        let (run, during) = std::thread::scope(|scope| {
            let run = scope.spawn(|| command.finish());
            let call = format!("\"{}\", 0", name(&self.link));
            wait_until(|| read().contains(&call).then_some(())).expect("void: the name is not about to be removed");
            act();
            let during = names_below(self.host.dir());
            assert!(!read().contains(" = "), "void: the removal was over before that: {}", read());
            (run.join().expect("strace"), during)
        });
        fs::remove_file(&trace).expect("a trace");
        Held { run, during, after: names_below(self.host.dir()), directory }
    }
}

impl Held {
    /// Exactly this has gone since the moment, and nothing has come.
    #[track_caller]
    fn assert_removed(&self, names: &[(u64, String)]) {
        let mut expected = self.during.clone();
        for name in names {
            expected.remove(name).expect("void: there was no such name");
        }
        assert_eq!(self.after, expected, "{}", self.run);
    }

    /// The exit status, and words that go with it.
    #[track_caller]
    fn assert_said(&self, status: i32, words: &str) {
        assert_eq!(self.run.code(), status, "{}", self.run);
        assert!(self.run.stdout.contains(words), "{words:?}: {}", self.run);
    }
}

/// By exchange, and by a rename over it. Whoever can do that could have removed the file.
fn other_file(criu: &Criu) {
    let ways: [Act; 2] = [
        |scene| exchange(&scene.link, &scene.precious()),
        |scene| fs::rename(scene.precious(), &scene.link).expect("another name"),
    ];
    for way in ways {
        let scene = Scene::new(criu);
        let held = scene.hold(&[], || way(&scene));
        held.assert_removed(&[(held.directory, name(&scene.link))]);
        // Of the name it is true.
        held.assert_said(0, "; removed)");
        scene.tool().assert_finds_nothing();
    }
    tell(&format!("{} runs held at a removal", ways.len()));
}

fn other_name(criu: &Criu) {
    let ways: [Act; 3] = [
        |scene| fs::rename(&scene.link, scene.data().join("away")).expect("another name"),
        |scene| fs::rename(&scene.link, scene.elsewhere().join("away")).expect("another name"),
        |scene| fs::remove_dir_all(scene.data()).expect("a directory"),
    ];
    for way in ways {
        let scene = Scene::new(criu);
        let held = scene.hold(&[], || way(&scene));
        held.assert_removed(&[]);
        held.assert_said(0, "; gone)");
        scene.tool().assert_finds_nothing();
    }
    tell(&format!("{} runs held at a removal", ways.len()));
}

/// A directory with the link's name, a mount on it, and a filesystem that may not be written any more.
fn obstacles(criu: &Criu) {
    let ways: [(Act, &str); 3] = [
        (
            |scene| {
                fs::create_dir(scene.data().join("directory")).expect("a new directory");
                exchange(&scene.link, &scene.data().join("directory"));
            },
            "Is a directory",
        ),
        (
            |scene| drop(scene.host.run("mount", &[&"--bind", &scene.precious(), &scene.link])),
            "Device or resource busy",
        ),
        (|scene| drop(scene.host.run("mount", &[&"-o", &"remount,bind,ro", &scene.data()])), "Read-only file system"),
    ];
    for (way, words) in ways {
        let scene = Scene::new(criu);
        // On a mount of its own, which nobody else writes.
        scene.host.run("mount", &[&"--bind", &scene.data(), &scene.data()]);
        let held = scene.hold(&[], || way(&scene));
        held.assert_removed(&[]);
        held.assert_said(1, &format!("; NOT removed: cannot remove {}: {words}", scene.link.display()));
    }
    tell(&format!("{} runs held at a removal", ways.len()));
}

/// The link goes, where its directory is now; what has its place does not.
fn moved(criu: &Criu) {
    let ways: [Act; 4] = [
        |scene| fs::rename(scene.data(), scene.elsewhere().join("moved")).expect("another name"),
        |scene| exchange(&scene.data(), &scene.elsewhere()),
        |scene| {
            let turned = scene.host.dir().join("turned");
            symlink(scene.elsewhere(), &turned).expect("a symbolic link");
            exchange(&scene.data(), &turned);
        },
        |scene| {
            scene.host.run("mount", &[&"-t", &"tmpfs", &"over", &scene.data()]);
            scene.host.run("cp", &[&scene.elsewhere().join(name(&scene.link)), &scene.link]);
        },
    ];
    for way in ways {
        let scene = Scene::new(criu);
        let held = scene.hold(&[], || way(&scene));
        held.assert_removed(&[(held.directory, name(&scene.link))]);
        held.assert_said(0, "; removed)");
        // Whatever the next run makes of what is there now, it is somebody else's.
        let run = scene.tool().run(&[]);
        assert!(!run.stdout.contains("; removed)"), "{run}");
        assert_eq!(names_below(scene.host.dir()), held.after, "{run}");
        let mounted = scene.host.command("cat").arg(&scene.link).finish();
        assert!(mounted.code() != 0 || mounted.stdout == "of somebody else", "{mounted}");
    }
    tell(&format!("{} runs held at a removal", ways.len()));
}

/// What is kept is held on to from before the moment.
fn saving(criu: &Criu) {
    let scene = Scene::new(criu);
    let content = fs::read(&scene.link).expect("the link");
    let held = scene.hold(&["--save", "/run/saved"], || exchange(&scene.link, &scene.precious()));
    held.assert_removed(&[(held.directory, name(&scene.link))]);
    held.assert_said(0, "; removed)");
    let saved = scene.host.path("/run/saved").join(format!("1-{}", name(&scene.link)));
    assert_eq!(fs::read(&saved).expect("a saved file"), content);
    tell("1 run held at a removal");
}

fn exchange(one: &Path, other: &Path) {
    renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).expect("two names");
}

fn names_below(directory: &Path) -> Names {
    let mut names = Names::new();
    let own = fs::symlink_metadata(directory).expect("a directory").ino();
    for entry in fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry")) {
        let metadata = entry.metadata().expect("a file");
        if metadata.is_dir() {
            names.extend(names_below(&entry.path()));
        }
        let size = if metadata.is_dir() { 0 } else { metadata.size() };
        names.insert((own, name(&entry.path())), (metadata.ino(), metadata.mode(), size));
    }
    names
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a path of text")
}
