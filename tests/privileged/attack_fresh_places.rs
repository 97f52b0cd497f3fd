// SPDX-License-Identifier: Apache-2.0 OR MIT
//! More attacks on identity and on paths (L1, L2): directories that changed places since the dump, images whose owner is
//! another's word, names that look like steps upwards, roots of processes that are not those of their namespace.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use testkit::{Access, Container, Criu, DumpOptions, Launch, LockMethod, TestHost, Word};

use crate::attack::{Holder, assert_cleans, assert_untouched, dump_process, has_link, plant};
use crate::case::{Case, Cases};
use crate::container_links::directory;
use crate::links::images_of;
use crate::neighbours::link_in;
use crate::tool::Tool;

inventory::submit!(Cases::with_newest_criu(&[
    Case { name: "attack: two trees' directories that changed places keep each its link", test: exchanged },
    Case { name: "attack: two containers' volumes that changed places keep each its link", test: exchanged_volumes },
    Case { name: "attack: a directory that is bound over another is not that one", test: bound_over },
    Case { name: "attack: names that begin with dots or look deleted are names", test: dotted },
    Case { name: "attack: below a typed root no symbolic link is followed", test: turned_below_root },
    Case { name: "attack: the link of a process in a chroot is where its directory is", test: chrooted },
]));

/// Two trees that are alike, dumped one after the other, each with a link in its own directory.
struct Twins<'a> {
    host: &'a TestHost,
    places: [PathBuf; 2],
}

impl<'a> Twins<'a> {
    fn new(host: &'a TestHost, dump: impl Fn(&Path, &Path)) -> Self {
        let places = ["one", "other"].map(|name| directory(host, name).join("inner"));
        places.iter().for_each(|place| fs::create_dir(place).expect("a new directory"));
        let twins = Self { host, places };
        for number in [0, 1] {
            dump(&twins.places[number], &twins.images(number));
            // The times of a dump are known to some hundredths of a second.
            sleep(Duration::from_millis(300));
        }
        let links = [link_in(&twins.places[0]), link_in(&twins.places[1])];
        assert_eq!(links[0].file_name(), links[1].file_name(), "void: the links have different names");
        twins
    }

    fn dump_on_host(criu: &Criu, host: &'a TestHost) -> Self {
        Self::new(host, |place, images| {
            let tree = host.start_workload(&[&"deleted", &place.join("data")]);
            criu.dump(host, &tree, images, &options());
        })
    }

    fn images(&self, number: usize) -> PathBuf {
        images_of(self.host).with_file_name(format!("images.{number}"))
    }

    fn tool(&self, number: usize) -> Tool<'a> {
        Tool::new(self.host, &self.images(number))
    }

    /// By its images neither removes the other's link, whichever is older.
    fn assert_left_alone(&self) {
        for number in [0, 1] {
            let told = self.tool(number).run(&[]);
            assert!(self.places.iter().all(|place| has_link(place)), "GOT: the twin's link was removed: {told}");
            assert_ne!(told.code(), 0, "GOT: clean: {told}");
        }
    }

    fn assert_cleans(&self) {
        for number in [0, 1] {
            assert_cleans(&self.tool(number), || has_link(&self.places[number]));
        }
    }
}

fn options() -> DumpOptions {
    DumpOptions { lock: LockMethod::Skip, ..DumpOptions::default() }
}

fn exchange([one, other]: &[PathBuf; 2], levels: usize) {
    let [one, other] = [one, other].map(|place| place.ancestors().nth(levels).expect("a directory above"));
    renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).expect("two directories of one filesystem");
}

/// As by a blue-green deployment.
fn exchanged(criu: &Criu) {
    let host = TestHost::new();
    assert_left_alone_in_changed_places(&Twins::dump_on_host(criu, &host));
}

fn assert_left_alone_in_changed_places(twins: &Twins<'_>) {
    for levels in [0, 1] {
        exchange(&twins.places, levels);
        twins.assert_left_alone();
        exchange(&twins.places, levels);
    }
    twins.assert_cleans();
}

fn exchanged_volumes(criu: &Criu) {
    let host = TestHost::new();
    let twins = Twins::new(&host, |volume, images| {
        let name = format!("root.{}", volume.parent().and_then(Path::file_name).expect("a name").to_string_lossy());
        let container = Container::new(&host, &name).bind(volume, "/data".as_ref(), Access::ReadWrite);
        let tree = Launch::new(&[&"deleted", &"/data/one"]).container(&container).start(&host);
        criu.dump(&host, &tree, images, &options());
    });
    assert_left_alone_in_changed_places(&twins);
}

fn bound_over(criu: &Criu) {
    let host = TestHost::new();
    let twins = Twins::dump_on_host(criu, &host);
    let [one, other] = &twins.places;
    for (source, target, number) in [(one, other, 1), (other, one, 0)] {
        host.run("mount", &[&"--bind", source, target]);
        let told = twins.tool(number).run(&[]);
        host.run("umount", &[target]);
        assert!(has_link(one) && has_link(other), "GOT: the twin's link was removed: {told}");
        assert_ne!(told.code(), 0, "GOT: clean: {told}");
    }
    twins.assert_cleans();
}

/// Such names have the kubelet's volumes, editors' files, and files of people who play tricks.
fn dotted(criu: &Criu) {
    const NAMES: [&str; 7] = ["..data", "...", "..2026_11_26", " (deleted)", "a (deleted)", "-rf", "link_remap.9"];
    let host = TestHost::new();
    let above = directory(&host, "above");
    let places = NAMES.map(|name| above.join(name));
    places.iter().for_each(|place| fs::create_dir(place).expect("a new directory"));
    let files = places.clone().map(|place| place.join("..data"));
    let words: Vec<Word<'_>> = files.iter().flat_map(|file| [&"deleted" as Word<'_>, file]).collect();
    let next = directory(&host, "next");
    plant(&next);
    plant(host.dir());
    let tree = host.start_workload(&words);
    criu.dump(&host, &tree, &images_of(&host), &options());
    assert!(places.iter().all(|place| has_link(place)), "void");
    let tool = Tool::new(&host, &images_of(&host));
    assert_cleans(&tool, || places.iter().any(|place| has_link(place)));
    for kept in [&next, host.dir()] {
        assert_untouched(kept, &tool.run(&[]));
    }
}

/// What is typed may be a link, but what stands in the images is found below it, not beside it.
fn turned_below_root(criu: &Criu) {
    let host = TestHost::new();
    let container = Container::new(&host, "root");
    let other = directory(&host, "other");
    plant(&other);
    let tree = Launch::new(&[&"deleted", &"/tmp/one"]).container(&container).start(&host);
    criu.dump(&host, &tree, &images_of(&host), &options());
    let (inside, aside) = (container.root().join("tmp"), container.root().join("aside"));
    let alias = host.dir().join("alias");
    symlink("root", &alias).expect("a new link");
    let tool = Tool::new(&host, &images_of(&host)).option("--root", &alias);
    fs::rename(&inside, &aside).expect("a directory");
    for target in ["../other".into(), other.clone(), "/proc/self/cwd/../other".into()] {
        symlink(&target, &inside).expect("a new link");
        let told = tool.run(&[]);
        assert_untouched(&other, &told);
        assert_ne!(told.code(), 0, "GOT: clean: {told}");
        fs::remove_file(&inside).expect("a link");
    }
    fs::rename(&aside, &inside).expect("a directory");
    assert_cleans(&tool, || has_link(&inside));
}

/// The directory of the same path outside of the chroot is another's.
fn chrooted(criu: &Criu) {
    const SCRIPT: &str = "
import ctypes, os, sys, time
os.setsid()
if os.fork() == 0:
    os.chroot(sys.argv[1])
    os.chdir('/')
file = open(sys.argv[2] if os.path.exists('/jailed') else '/dev/null', 'w+')
if os.path.exists('/jailed'):
    file.write('v' * 41)
    file.flush()
    os.chmod(file.name, 0o640)
    os.link(file.name, file.name + '.keep')
    os.unlink(file.name)
ctypes.CDLL(None).prctl(15, b'holds', 0, 0, 0)
time.sleep(1000)
";
    let host = TestHost::new();
    let script = host.dir().with_file_name("jail.py");
    fs::write(&script, SCRIPT).expect("a new file");
    let (jail, outside) = (directory(&host, "jail"), directory(&host, "data"));
    fs::create_dir(jail.join("data")).and_then(|()| fs::write(jail.join("jailed"), "")).expect("a new jail");
    // To the process in it the file has this path; outside of it that is another's directory.
    let seen = outside.display().to_string();
    let inside = jail.join(seen.trim_start_matches('/'));
    fs::create_dir_all(&inside).expect("new directories");
    plant(&outside);
    let words = format!("exec python3 {} {} {seen}/file", script.display(), jail.display());
    let holder = Holder::start(&host, &words);
    crate::refusals::wait_until(|| inside.join("file.keep").exists().then_some(())).expect("void: no file");
    dump_process(criu, &host, holder.pid, &images_of(&host), &["--network-lock".into(), "skip".into()]);
    let tool = Tool::new(&host, &images_of(&host));
    assert_cleans(&tool, || has_link(&inside));
    assert_untouched(&outside, &tool.run(&[]));
}
