// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Containers of real runc and crun that share a network namespace: one is checkpointed, the other goes on.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use testkit::{Bundle, Criu, Engines, IptablesFlavour, LockMethod, Runtime, Snapshot, TestHost};

use crate::case::{Case, Cases};
use crate::pages::Page;
use crate::places::link_in;
use crate::pod::{LOCKS, Peers, Pod};
use crate::recorded::{fates, without_record};
use crate::recording::link_recorder;
use crate::stored::stored;
use crate::terminal::run_at_terminal_after;
use crate::tool::{NOTHING, Tool};

inventory::submit!(Cases::with_each_criu(&[
    Case {
        name: "what a checkpoint by runc left is removed, and its pod has a network again",
        test: |criu| assert_removes(criu, Runtime::Runc),
    },
    Case {
        name: "what a checkpoint by crun left is removed, and its pod has a network again",
        test: |criu| assert_removes(criu, Runtime::Crun),
    },
    Case {
        name: "by a record of runc's checkpoint a pod has a network again without being named",
        test: |criu| assert_records(criu, Runtime::Runc),
    },
    Case {
        name: "by a record of crun's checkpoint a pod has a network again without being named",
        test: |criu| assert_records(criu, Runtime::Crun),
    },
    Case {
        name: "a pod has a network again by the stored record after runc's checkpoint was discarded",
        test: |criu| assert_removes_discarded(criu, Runtime::Runc),
    },
    Case {
        name: "a pod has a network again by the stored record after crun's checkpoint was discarded",
        test: |criu| assert_removes_discarded(criu, Runtime::Crun),
    },
    Case { name: "links in a root and a volume that were moved are found by the bundle's configuration", test: moved },
    Case { name: "a volume that became a link to another's directory is not looked into", test: turned },
    Case { name: "a directory that only the configuration names by now is not the volume's", test: renamed },
    Case { name: "runc restores a container after criu-gc only showed", test: restored_after_show },
    Case { name: "a container alike is not the tree of an interrupted dump, and its network stays shut", test: alike },
]));

inventory::submit!(Cases::with_newest_criu(&[
    Case { name: "the commands of the pages of runc and crun do what the pages say", test: pages },
    Case { name: "a network namespace that ends while a person is asked is gone with its lock", test: ended },
]));

/// A container that was checkpointed, and the host as it was before.
struct Checkpointed<'a> {
    host: &'a TestHost,
    container: Bundle<'a>,
    peers: Peers,
    before: Snapshot,
}

impl<'a> Checkpointed<'a> {
    fn new(host: &'a TestHost, pod: &Pod<'_>, engines: &'a Engines<'a>, runtime: Runtime) -> Self {
        engines.make_bundle(runtime, "sidecar", &pod.sidecar()).start();
        let sidecar = pod.peer();
        let container = engines.make_bundle(runtime, "container", &pod.container());
        // A user's own file, which who goes by names would take for residue.
        fs::write(host.path(container.root().join("link_remap.99999")), "precious").expect("a new file");
        container.start();
        let peers = Peers { sidecar, container: pod.peer() };
        let before = tool(host, &container).snapshot();
        container.checkpoint();
        Checkpointed { host, container, peers, before }
    }

    fn tool(&self) -> Tool<'a> {
        tool(self.host, &self.container)
    }
}

fn tool<'a>(host: &'a TestHost, container: &Bundle<'_>) -> Tool<'a> {
    Tool::new(host, container.directory()).watching(container.root())
}

fn assert_removes(criu: &Criu, runtime: Runtime) {
    for (lock, flavour) in LOCKS {
        let host = TestHost::new();
        let pod = Pod::new(&host, flavour);
        let engines = Engines::new(&host, criu, lock, flavour);
        let mut checkpointed = Checkpointed::new(&host, &pod, &engines, runtime);
        pod.assert_has_residue(&checkpointed.container.root(), flavour, &mut checkpointed.peers);
        // The bundle's configuration names the network namespace.
        checkpointed.tool().assert_removes_everything_since(&checkpointed.before);
        pod.assert_has_network_again(flavour, &mut checkpointed.peers);
    }
}

/// CRIU's configuration file names the recorder; runtimes need not know of it.
fn assert_records(criu: &Criu, runtime: Runtime) {
    let host = TestHost::new();
    let flavour = IptablesFlavour::Nft;
    let pod = Pod::new(&host, flavour);
    let engines = Engines::new(&host, criu, LockMethod::Iptables, flavour);
    engines.configure(&format!("action-script {}", link_recorder(&host, "criu-gc-record").display()));
    let mut checkpointed = Checkpointed::new(&host, &pod, &engines, runtime);
    pod.assert_has_residue(&checkpointed.container.root(), flavour, &mut checkpointed.peers);
    let images = checkpointed.container.images();
    // The bundle's configuration names the network namespace too: now that is the word of others.
    let config = images.with_file_name("config.json");
    fs::set_permissions(config, fs::Permissions::from_mode(0o666)).expect("the bundle's configuration");
    let untied = without_record(&host, &images, || fates(&checkpointed.tool()));
    assert_eq!(untied.iter().filter(|fate| *fate == "kept: untied-namespace").count(), 2, "void: {untied:?}");
    checkpointed.tool().assert_removes_everything_since(&checkpointed.before);
    pod.assert_has_network_again(flavour, &mut checkpointed.peers);
}

/// Only the record tells of the links and the lock.
fn assert_removes_discarded(criu: &Criu, runtime: Runtime) {
    let host = TestHost::new();
    let flavour = IptablesFlavour::Nft;
    let pod = Pod::new(&host, flavour);
    let engines = Engines::new(&host, criu, LockMethod::Iptables, flavour);
    engines.configure(&format!("action-script {}", link_recorder(&host, "criu-gc-record").display()));
    let mut checkpointed = Checkpointed::new(&host, &pod, &engines, runtime);
    pod.assert_has_residue(&checkpointed.container.root(), flavour, &mut checkpointed.peers);
    let images = checkpointed.container.images();
    let record = stored(&images);
    fs::remove_dir_all(images).expect("images");
    let tool = Tool::new(&host, &record).watching(checkpointed.container.root());
    let removed = tool.run(&[]);
    assert_eq!((removed.code(), removed.stderr.as_str()), (0, ""), "{removed}");
    assert_eq!(tool.difference_to(&checkpointed.before), NOTHING, "{removed}");
    pod.assert_has_network_again(flavour, &mut checkpointed.peers);
    assert!(!host.path(record).exists());
}

/// The images name the old places, where there is nothing now. The new ones are the word of the bundle's configuration.
fn moved(criu: &Criu) {
    let host = TestHost::new();
    let flavour = IptablesFlavour::Nft;
    let pod = Pod::new(&host, flavour);
    let engines = Engines::new(&host, criu, LockMethod::Nftables, flavour);
    let mut checkpointed = Checkpointed::new(&host, &pod, &engines, Runtime::Runc);
    pod.assert_has_residue(&checkpointed.container.root(), flavour, &mut checkpointed.peers);
    let directory = checkpointed.container.directory();
    let (bundle, volume) = (directory.with_file_name("moved"), pod.volume.with_file_name("moved-volume"));
    fs::rename(host.path(directory), host.path(&bundle)).expect("another name");
    fs::rename(host.path(&pod.volume), host.path(&volume)).expect("another name");
    let links = [volume.clone(), bundle.join("rootfs/tmp")].map(|place| link_in(&host.path(place)));
    let config = host.path(bundle.join("config.json"));
    let text = fs::read_to_string(&config).expect("the bundle's configuration");
    let (old, new) = (pod.volume.to_str().expect("UTF-8"), volume.to_str().expect("UTF-8"));
    assert!(text.contains(old), "void: the configuration does not name the volume");
    fs::write(&config, text.replace(old, new)).expect("the bundle's configuration");
    let mode = |mode| fs::set_permissions(&config, fs::Permissions::from_mode(mode)).expect("a mode");
    let tool = Tool::new(&host, &bundle);
    mode(0o666);
    let stranger = tool.show();
    assert_eq!(stranger.iter().filter(|line| line.ends_with("(gone)")).count(), 2, "{stranger:#?}");
    mode(0o600);
    let run = tool.run(&[]);
    assert_eq!(run.code(), 0, "{run}");
    assert!(links.iter().all(|link| !link.exists()), "{run}");
    pod.assert_has_network_again(flavour, &mut checkpointed.peers);
    tool.assert_finds_nothing();
}

/// Whoever owns a directory on the way to a volume can have the path lead to somebody else's, whose link is as the images
/// say in every respect.
fn turned(criu: &Criu) {
    let host = TestHost::new();
    let pod = Pod::new(&host, IptablesFlavour::Nft);
    let engines = Engines::new(&host, criu, LockMethod::Nftables, IptablesFlavour::Nft);
    let checkpointed = Checkpointed::new(&host, &pod, &engines, Runtime::Runc);
    let victim = pod.volume.with_file_name("victim");
    fs::rename(&pod.volume, &victim).expect("another name");
    std::os::unix::fs::symlink(&victim, &pod.volume).expect("a symbolic link");
    let link = link_in(&victim);
    let run = checkpointed.tool().run(&[]);
    assert_eq!(run.code(), 1, "{run}");
    let is_not_known = |line: &str| line.contains(" -> /data/one (not known: ");
    assert!(link.exists() && run.stdout.lines().any(is_not_known), "{run}");
    fs::remove_file(&pod.volume).expect("the link");
    fs::rename(&victim, &pod.volume).expect("the old name");
    let run = checkpointed.tool().run(&[]);
    assert_eq!(run.code(), 0, "{run}");
    assert!(!pod.volume.join(link.file_name().expect("a name")).exists(), "{run}");
}

/// As when the engine removes the pod meanwhile.
fn ended(criu: &Criu) {
    let host = TestHost::new();
    let pod = Pod::new(&host, IptablesFlavour::Nft);
    let engines = Engines::new(&host, criu, LockMethod::Iptables, IptablesFlavour::Nft);
    let container = engines.make_bundle(Runtime::Runc, "container", &pod.container());
    container.start();
    let _peer = pod.peer();
    container.checkpoint();
    let arguments = format!("-D {}", container.directory().display());
    let remove = format!("umount {0}; rm {0}", pod.network.path().display());
    let answered = run_at_terminal_after(&host, &arguments, &remove, "y");
    // The chain of each family.
    let gone = answered.stdout.matches("Network lock chain: CRIU (gone)").count();
    assert_eq!((answered.code(), gone), (0, 2), "{answered}");
}

/// The sidecar runs the program of the other container, has the same pid in its own namespace, and is older than the images.
/// What shuts its network is another checkpoint's.
fn alike(criu: &Criu) {
    let host = TestHost::new();
    let flavour = IptablesFlavour::Nft;
    let pod = Pod::new(&host, flavour);
    let engines = Engines::new(&host, criu, LockMethod::Iptables, flavour);
    let mut checkpointed = Checkpointed::new(&host, &pod, &engines, Runtime::Runc);
    pod.assert_has_residue(&checkpointed.container.root(), flavour, &mut checkpointed.peers);
    // All that a dump that is killed early may get to the disk.
    let interrupted = checkpointed.container.directory().with_file_name("interrupted");
    fs::create_dir(host.path(&interrupted)).expect("a new directory");
    for image in ["core-1.img", "ids-1.img"] {
        let path = |directory: &Path| host.path(directory.join(image));
        fs::copy(path(&checkpointed.container.images()), path(&interrupted)).expect("an image");
    }
    fs::write(host.path(interrupted.join("files.img")), "").expect("a new file");
    let run = Tool::new(&host, &interrupted).run(&[]);
    assert!(pod.is_locked(flavour) && !run.stdout.contains("runs on"), "{run}");
    checkpointed.tool().assert_removes_everything_since(&checkpointed.before);
    pod.assert_has_network_again(flavour, &mut checkpointed.peers);
}

/// As when the bundle is used for the next container, which has another volume.
fn renamed(criu: &Criu) {
    let host = TestHost::new();
    let pod = Pod::new(&host, IptablesFlavour::Nft);
    let engines = Engines::new(&host, criu, LockMethod::Nftables, IptablesFlavour::Nft);
    let checkpointed = Checkpointed::new(&host, &pod, &engines, Runtime::Runc);
    let other = pod.volume.with_file_name("other");
    fs::rename(&pod.volume, &other).expect("another name");
    fs::create_dir(&pod.volume).expect("a new directory");
    let link = link_in(&other);
    let config = host.path(checkpointed.container.directory().join("config.json"));
    let text = fs::read_to_string(&config).expect("the bundle's configuration");
    let (old, new) = (pod.volume.to_str().expect("UTF-8"), other.to_str().expect("UTF-8"));
    fs::write(&config, text.replace(old, new)).expect("the bundle's configuration");
    let run = checkpointed.tool().run(&[]);
    assert!(link.exists(), "{run}");
    // It is, once the directory of the images is no more.
    fs::remove_dir(&pod.volume).expect("an empty directory");
    let run = checkpointed.tool().run(&[]);
    assert!(run.code() == 0 && !link.exists(), "{run}");
}

/// Not with crun: it has CRIU make the container's groups anew in all hierarchies, also in those of version 1, which are
/// the machine's.
fn restored_after_show(criu: &Criu) {
    let host = TestHost::new();
    let flavour = IptablesFlavour::Nft;
    let pod = Pod::new(&host, flavour);
    let engines = Engines::new(&host, criu, LockMethod::Iptables, flavour);
    let mut checkpointed = Checkpointed::new(&host, &pod, &engines, Runtime::Runc);
    pod.assert_has_residue(&checkpointed.container.root(), flavour, &mut checkpointed.peers);
    let lines = checkpointed.tool().show();
    assert_eq!(lines.iter().filter(|line| line.starts_with("Link remap: ")).count(), 3, "{lines:#?}");
    checkpointed.container.restore();
    assert!(checkpointed.container.pid().is_some());
    pod.assert_restored(&mut checkpointed.peers);
    assert_eq!(checkpointed.tool().difference_to(&checkpointed.before), NOTHING);
    checkpointed.tool().assert_finds_nothing();
}

fn pages(criu: &Criu) {
    for (runtime, name) in [(Runtime::Runc, "runc.md"), (Runtime::Crun, "crun.md")] {
        let mut page = Page::read(name);
        for is_discarded in [false, true] {
            let host = TestHost::new();
            let flavour = IptablesFlavour::Nft;
            let pod = Pod::new(&host, flavour);
            let engines = Engines::new(&host, criu, LockMethod::Iptables, flavour);
            engines.configure(&format!("action-script {}", link_recorder(&host, "criu-gc-record").display()));
            let mut checkpointed = Checkpointed::new(&host, &pod, &engines, runtime);
            pod.assert_has_residue(&checkpointed.container.root(), flavour, &mut checkpointed.peers);
            let images = checkpointed.container.images();
            if is_discarded {
                page.run_by_record(&host, &images, || fs::remove_dir_all(&images).expect("images"));
            } else {
                for command in ["criu-gc -D BUNDLE --show", "criu-gc -D BUNDLE"] {
                    page.run(&host, command, &[("BUNDLE", checkpointed.container.directory())]);
                }
            }
            pod.assert_has_network_again(flavour, &mut checkpointed.peers);
        }
        page.assert_all_run();
    }
}
