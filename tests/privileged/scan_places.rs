// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `criu-gc scan` where things are hard to see: other mount namespaces, overlays, mounts, control groups; and the answers for
//! a single file, process or network namespace.

use std::fs;
use std::path::{Path, PathBuf};

use testkit::{Container, Criu, DumpOptions, IptablesFlavour, Kill, Launch, TestHost};

use crate::case::{Case, Cases};
use crate::closed::Closed;
use crate::control_group::ControlGroup;
use crate::filters::make_tables;
use crate::places::{images_of, link_in};
use crate::restorable::{Killed, post_restore};
use crate::scan::{Scan, run, text};
use crate::tool::binary;
use testkit::{CommandExt, LockMethod};

inventory::submit!(Cases::with_each_criu(&[
    Case { name: "scan finds a link on the own tmpfs of a container that runs, and rm removes it", test: container },
    Case {
        name: "scan finds the control group mounts of a killed restore, and clean removes nothing below",
        test: yard
    },
    Case { name: "scan names a criu that a killed one left, and clean with kill ends it", test: stray },
    Case { name: "scan names a frozen control group, which a runtime may have paused", test: frozen },
]));
inventory::submit!(Cases::with_newest_criu(&[
    Case {
        name: "scan tells whose an object is, and what belongs to a restorable checkpoint survives all",
        test: owners
    },
    Case { name: "scan finds a link in the upper directory of a mounted overlay once", test: overlay },
    Case { name: "scan answers for a link, a process and a network namespace, and removes nothing", test: answers },
    Case {
        name: "scan names what a dump left in the mount namespace of a container, and how to remove it",
        test: elsewhere
    },
    Case { name: "scan enters no FUSE, and says so", test: fuse },
    Case { name: "scan names the root directory that runc left mounted, and how to unmount it", test: runc_root },
]));

fn container(criu: &Criu) {
    let host = TestHost::new();
    let container = Container::new(&host, "root").tmpfs(Path::new("/tmp"));
    let tree = Launch::new(&[&"deleted", &"/tmp/one"]).container(&container).start(&host);
    let kill = Kill::after("linkat", "link_remap");
    let options = DumpOptions { lock: LockMethod::Skip, ..DumpOptions::default() };
    criu.dump_killed(&host, &tree, &images_of(&host), &options, kill);
    let inside = host.path(format!("/proc/{}/root/tmp", tree.pid()));
    let link = link_in(&inside);
    let name = link.file_name().expect("a name").to_string_lossy().into_owned();
    let scan = Scan::of(&host, &[]);
    let links = scan.of_kind("link-remap");
    let [object] = links[..] else { panic!("{:#}", scan.document()) };
    let id = text(object, "id");
    assert!(id.starts_with("/proc/") && id.ends_with(&format!("/root/tmp/{name}")), "{object:#}");
    assert_eq!(object["holders"].as_array().map(Vec::len), Some(1), "{object:#}");
    if object["class"] == "orphan" {
        let removed = run(&host, "rm", &[&id]);
        assert!(removed.code() == 0 && removed.stdout.contains("removed"), "{removed}");
        assert!(link.symlink_metadata().is_err(), "{removed}");
        assert!(inside.join("one.keep").exists(), "the other name stays: {removed}");
    }
}

fn yard(criu: &Criu) {
    let mut group = None;
    let killed = Killed::dumped_after(criu, &["--manage-cgroups"], |_, tree| {
        group = Some(ControlGroup::of_pids(tree));
    });
    killed.restore_killed(criu, post_restore());
    let images = images_of(&killed.host);
    let yards = || -> Vec<PathBuf> {
        let names = fs::read_dir(killed.host.path(&images)).expect("images").flatten().map(|entry| entry.path());
        names.filter(|path| path.to_string_lossy().contains(".criu.cgyard.")).collect()
    };
    assert_eq!(yards().len(), 1, "void: no control group mounts");
    let groups = || fs::read_dir("/sys/fs/cgroup").expect("control groups").count();
    let before = groups();
    let scan = Scan::of(&killed.host, &[]);
    assert_eq!(scan.of_kind("control-group-yard").len(), 1, "{:#}", scan.document());
    let kept = run(&killed.host, "scan", &[&"--clean"]);
    assert!(kept.code() == 1 && yards().len() == 1, "{kept}");
    let cleaned = run(&killed.host, "scan", &[&"--clean", &"--kill"]);
    assert_eq!((cleaned.code(), yards().len(), groups()), (0, 0, before), "{cleaned}");
    // What is left is what restorable is for.
    assert_eq!(killed.restorable(&["--kill"]).code(), 0);
    killed.assert_restores(criu);
}

fn frozen(criu: &Criu) {
    let group = ControlGroup::unified(&format!("scan.{}", criu.version()));
    let host = TestHost::new();
    let tree = host.start_workload(&[]);
    group.add(&tree);
    let images = images_of(&host);
    let extra = vec!["--freeze-cgroup".into(), group.in_host().into()];
    let options = DumpOptions { lock: LockMethod::Skip, extra, ..DumpOptions::default() };
    criu.dump_killed(&host, &tree, &images, &options, Kill::after("write", "freezing processes"));
    assert!(group.is_frozen(), "void: it is not frozen");
    let scan = Scan::of(&host, &[]);
    let told = scan.of_kind("frozen-control-group").len() + scan.of_kind("damaged-processes").len();
    assert_eq!(told, 1, "{:#}", scan.document());
    let plain = run(&host, "scan", &[]);
    let is_told = plain.stdout.contains("1 control group is frozen") || plain.stdout.contains("Frozen control group");
    assert!(is_told, "{plain}");
    let cleaned = run(&host, "scan", &[&"--clean", &"--kill"]);
    assert!(cleaned.code() == 0 && group.is_frozen(), "a runtime may have paused it: {cleaned}");
    group.set_frozen("0");
    let _ = tree.pid();
}

fn overlay(criu: &Criu) {
    let host = TestHost::new();
    let place = host.dir().join("overlay");
    let script = format!(
        "mkdir -p {0}/lower {0}/upper/tmp {0}/work {0}/merged && mount -t overlay overlay \
         -o lowerdir={0}/lower,upperdir={0}/upper,workdir={0}/work {0}/merged",
        place.display()
    );
    host.run("sh", &[&"-ec", &script]);
    let tree = host.start_workload(&[&"deleted", &place.join("merged/tmp/one")]);
    criu.dump(&host, &tree, &images_of(&host), &DumpOptions::default());
    let upper = place.join("upper/tmp");
    let link = link_in(&upper);
    let scan = Scan::of(&host, &[]);
    let links = scan.of_kind("link-remap");
    let [object] = links[..] else { panic!("{:#}", scan.document()) };
    assert_eq!(text(object, "id"), link.to_str().expect("a path"), "{object:#}");
}

fn answers(criu: &Criu) {
    let host = TestHost::new();
    make_tables(&host, None, IptablesFlavour::Nft);
    let closed = Closed::new(&host, IptablesFlavour::Nft);
    let tree = closed.start_tree();
    closed.dump(criu, &tree, "first", IptablesFlavour::Nft);
    let second = host.start_workload(&[&"deleted", &"/dev/shm/one", &"listen-connect", &"127.0.0.1:0"]);
    let kill = Kill::after("write", "Dumping core");
    criu.dump_killed(&host, &second, &images_of(&host), &DumpOptions::default(), kill);
    let before = host.snapshot(&[Path::new("/dev/shm"), host.dir()]);
    let ask = |words: &[&str]| host.command(binary()).args(words).finish();
    let name = link_in(&host.path("/dev/shm")).file_name().expect("a name").to_string_lossy().into_owned();
    let pid = second.pid().to_string();
    for (words, expected) in [
        (vec![format!("/dev/shm/{name}")], format!("Link remap: /dev/shm/{name}")),
        (vec!["--netns".to_owned(), "blue".to_owned()], "Network lock chain: CRIU".to_owned()),
        (vec!["--pid".to_owned(), pid.clone()], format!("criu-gc heal --pid {pid}")),
    ] {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let answer = ask(&words);
        assert_eq!((answer.code(), answer.stderr.as_str()), (0, ""), "{answer}");
        assert!(answer.stdout.contains(&expected) && answer.stdout.contains("    # criu-gc "), "{answer}");
    }
    let well = ask(&["--pid", "1"]);
    assert_eq!((well.code(), well.stdout.as_str()), (0, "Nothing of CRIU was found there.\n"), "{well}");
    for wrong in [vec!["--pid", "999999"], vec!["--netns", "nonesuch"], vec![], vec!["--pid", "1", "--peek-offsets"]] {
        let refused = ask(&wrong);
        assert_eq!((refused.code(), refused.stdout.as_str()), (2, ""), "{refused}");
    }
    assert_eq!(before.difference(&host.snapshot(&[Path::new("/dev/shm"), host.dir()])), [""; 0]);
}

/// A dump that is killed at its first step in another process leaves that one, which tries what the kernel can do.
fn stray(criu: &Criu) {
    let host = TestHost::new();
    let tree = host.start_workload(&[]);
    let options = DumpOptions { lock: LockMethod::Skip, ..DumpOptions::default() };
    criu.dump_killed(&host, &tree, &images_of(&host), &options, Kill::after("ptrace", "").number(1));
    let strays = || {
        let scan = Scan::of(&host, &[]);
        let found = scan.of_kind("stray-criu-process");
        found.iter().filter(|object| object["class"] == "litter").count()
    };
    // Whoever begins to work looks the same for a moment.
    let has_stray = (0..150).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(100));
        strays() > 0
    });
    if !has_stray {
        return crate::faults::tell(&format!("criu {} leaves no process when it is killed so early", criu.version()));
    }
    let kept = run(&host, "scan", &[&"--clean"]);
    assert!(kept.code() == 1 && strays() > 0, "{kept}");
    let cleaned = run(&host, "scan", &[&"--clean", &"--kill"]);
    assert!(cleaned.code() == 0 && strays() == 0, "{cleaned}");
    assert!(!matches!(tree.state(), None | Some('Z')), "the tree runs on: {cleaned}");
}

fn elsewhere(_: &Criu) {
    let host = TestHost::new();
    let container = Container::new(&host, "root").tmpfs(Path::new("/tmp"));
    let tree = Launch::new(&[&"deleted", &"/tmp/one"]).container(&container).start(&host);
    let inside = PathBuf::from(format!("/proc/{}/root/tmp", tree.pid()));
    host.run("mkdir", &[&"-m", &"700", &inside.join("cr-tmpfs.AbCdEf"), &inside.join("cr-tmpfs.mine")]);
    let scan = Scan::of(&host, &[]);
    let found = scan.of_kind("temporary-directory");
    let [object] = found[..] else { panic!("{:#}", scan.document()) };
    assert_eq!(object["class"], "litter", "{object:#}");
    let kept = run(&host, "scan", &[&"--clean", &"--kill"]);
    assert!(kept.code() == 1 && kept.stdout.contains("it is in another mount namespace"), "{kept}");
    host.run("sh", &[&"-ec", &text(object, "command")]);
    assert!(Scan::of(&host, &[]).of_kind("temporary-directory").is_empty());
    assert!(host.path(inside.join("cr-tmpfs.mine")).exists());
}

/// Three dumps of one host: one can be restored, one was killed, the images of one were deleted.
fn owners(criu: &Criu) {
    let host = TestHost::new();
    make_tables(&host, None, IptablesFlavour::Nft);
    let place = crate::places::make_directory(&host, "images");
    let [one, two, three] = ["one", "two", "three"].map(|name| place.join(name));
    host.run("mkdir", &[&"/dev/shm/a", &"/dev/shm/b", &"/dev/shm/c"]);
    let start = |file: &str| host.start_workload(&[&"deleted", &file, &"listen-connect", &"127.0.0.1:0"]);
    let first = start("/dev/shm/a/one");
    let dump = criu.dump(&host, &first, &one, &DumpOptions::default());
    drop(first);
    let second = start("/dev/shm/b/two");
    criu.dump_killed(&host, &second, &two, &DumpOptions::default(), Kill::after("write", "Dumping core"));
    let third = start("/dev/shm/c/three");
    criu.dump(&host, &third, &three, &DumpOptions::default());
    drop(third);
    fs::remove_dir_all(&three).expect("the images");
    let scan = Scan::of(&host, &[&"--images", &place]);
    let of_class = |class: &str| -> Vec<(String, Option<String>, String)> {
        let objects = scan.document()["objects"].as_array().expect("objects").iter();
        let facts = |object: &serde_json::Value| {
            let checkpoint = object["checkpoint"]["text"].as_str().map(str::to_owned);
            (object["kind"].as_str().unwrap_or_default().to_owned(), checkpoint, text(object, "command").to_owned())
        };
        objects.filter(|object| object["class"] == class).map(facts).collect()
    };
    let name = |path: &Path| Some(path.to_str().expect("a path").to_owned());
    let show = |path: &Path| format!("criu-gc -D {} --show", path.display());
    let link = "link-remap".to_owned();
    let restorable = of_class("restorable");
    assert_eq!(restorable.len(), 3, "{:#}", scan.document());
    assert!(restorable.contains(&(link.clone(), name(&one), show(&one))), "{restorable:?}");
    let heal = format!("criu-gc heal -D {}", two.display());
    assert_eq!(of_class("damage"), [("damaged-processes".to_owned(), name(&two), heal)], "{:#}", scan.document());
    assert_eq!(of_class("incomplete"), [(link, name(&two), show(&two))], "{:#}", scan.document());
    let orphans = of_class("orphan");
    assert_eq!(orphans.len(), 3, "{:#}", scan.document());
    let shown = run(&host, "scan", &[&"--images", &place]);
    let order = ["Damage to what is running:", "(can be restored", "(cannot be restored)", "No images of these"];
    let places: Vec<Option<usize>> = order.iter().map(|text| shown.stdout.find(text)).collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{shown}");
    for object in scan.document()["objects"].as_array().expect("objects") {
        let named = run(&host, "rm", &[&text(object, "id"), &"--images", &place]);
        let expected = if object["class"] == "orphan" { 0 } else { 2 };
        assert_eq!(named.code(), expected, "{named}");
    }
    assert_eq!(run(&host, "scan", &[&"--clean", &"--kill", &"--images", &place]).code(), 0);
    let healed = host.command(binary()).args(["heal", "-D"]).arg(&two).finish();
    assert_eq!(healed.code(), 0, "{healed}");
    let after = Scan::of(&host, &[&"--images", &place]);
    let left = after.document()["objects"].as_array().expect("objects").len();
    assert_eq!(left, 4, "{:#}", after.document());
    drop(second);
    drop(criu.restore(&host, &dump, &DumpOptions::default()));
}

/// A mount that claims to be a FUSE is not entered, whatever it is: here nobody serves it.
fn fuse(_: &Criu) {
    let host = TestHost::new();
    if !Path::new("/dev/fuse").exists() {
        return crate::faults::tell("there is no /dev/fuse here");
    }
    let script = "exec 9<>/dev/fuse; mount -t fuse -o fd=9,rootmode=40000,user_id=0,group_id=0 none /tmp; sleep 600";
    let mut server = host.spawn("bash", &[&"-c", &script]);
    let is_mounted =
        || fs::read_to_string(host.path("/proc/1/mounts")).is_ok_and(|mounts| mounts.contains("/tmp fuse"));
    assert!(testkit::wait_until(|| is_mounted().then_some(())).is_some(), "void: nothing is mounted");
    let started = std::time::Instant::now();
    let scan = run(&host, "scan", &[&"--exit-code"]);
    assert!(scan.code() == 1 && scan.stdout.contains("Not known: /tmp is on fuse"), "{scan}");
    assert!(started.elapsed() < std::time::Duration::from_secs(10), "{scan}");
    server.kill().expect("a child");
    let _ = server.wait();
}

fn runc_root(_: &Criu) {
    let host = TestHost::new();
    let (root, state) = (host.dir().join("root"), host.dir().join("runc/container"));
    let mount = state.join("criu-root");
    fs::create_dir_all(&root).and_then(|()| fs::create_dir_all(&mount)).expect("new directories");
    fs::write(root.join("file"), "the container's").expect("a new file");
    let found = || Scan::of(&host, &[]).of_kind("runc-root-mount").len();
    assert_eq!(found(), 0, "nothing is mounted there");
    host.run("mount", &[&"--bind", &root, &mount]);
    fs::write(state.join("state.json"), "{}").expect("a new file");
    assert_eq!(found(), 0, "the container is known to runc");
    fs::remove_file(state.join("state.json")).expect("a file");
    let scan = Scan::of(&host, &[&"--clean", &"--yes"]);
    let objects = scan.of_kind("runc-root-mount");
    let [object] = objects[..] else { panic!("{:#}", scan.document()) };
    assert_eq!(object["verdict"], "keep", "{object:#}");
    let remark = object["remarks"][0].as_str().expect("a remark");
    assert!(remark.starts_with("rm -rf there would delete"), "{object:#}");
    host.run("sh", &[&"-e", &"-c", &text(object, "command")]);
    assert_eq!((found(), state.exists(), root.join("file").exists()), (0, false, true));
}
