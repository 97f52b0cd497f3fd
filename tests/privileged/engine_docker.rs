// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Containers of a real Docker that share a network namespace: one is checkpointed, the other goes on.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use testkit::{
    CommandExt, Criu, Docker, Engines, Finished, IptablesFlavour, LockMethod, Snapshot, Specification, TestHost,
    wait_until,
};

use crate::case::{Case, Cases};
use crate::pages::Page;
use crate::places::link_in;
use crate::pod::{Peers, Pod};
use crate::recording::link_recorder;
use crate::tool::{NOTHING, Tool};

inventory::submit!(Cases::with_newest_criu(&[
    Case { name: "real Docker: what a checkpoint left is removed, and the pod has a network again", test: removed },
    Case { name: "real Docker: a container is restored after criu-gc only showed", test: restored_after_show },
    Case {
        name: "real Docker: what a checkpoint left in a network of the container's own is removed",
        test: own_network
    },
    Case { name: "real Docker: what a checkpoint left is removed with userns-remap", test: remapped },
    Case { name: "real Docker: what a checkpoint left is removed by its directory elsewhere", test: elsewhere },
    Case { name: "real Docker: what two checkpoints left is removed by the container's directory", test: two },
    Case {
        name: "real Docker: what a checkpoint left is removed beside the container that Docker restarts",
        test: policy
    },
    Case {
        name: "real Docker: what a checkpoint left is removed beside the container, started afresh",
        test: fallback
    },
    Case {
        name: "real Docker: a scan finds what a container left in its layer whose checkpoint was removed",
        test: layer_by_scan
    },
    Case { name: "real Docker: the commands of its page do what the page says", test: page },
    Case { name: "real Docker: what a failed start from a checkpoint changed is removed", test: failed },
]));

/// The container that is checkpointed, and the checkpoint.
pub(crate) const NAME: &str = "job";
pub(crate) const CHECKPOINT: &str = "cp";
const FLAVOUR: IptablesFlavour = IptablesFlavour::Nft;

/// Two containers in the network of a third, and the host as it was while all ran.
pub(crate) struct Scene<'a> {
    pub(crate) host: &'a TestHost,
    pub(crate) engines: &'a Engines<'a>,
    pub(crate) pod: &'a Pod<'a>,
    pub(crate) docker: Docker<'a>,
    pub(crate) peers: Peers,
    pub(crate) before: Snapshot,
}

/// What differs between the tests.
#[derive(Default)]
pub(crate) struct Options<'a> {
    pub(crate) daemon: &'a [&'a str],
    pub(crate) container: &'a [&'a str],
    pub(crate) restartable: bool,
    pub(crate) recorded: bool,
    pub(crate) root: u32,
}

/// Runs a test on a scene in a host of its own.
pub(crate) fn with_scene(criu: &Criu, lock: LockMethod, options: &Options<'_>, test: impl FnOnce(Scene<'_>)) {
    let host = TestHost::new();
    let engines = Engines::new(&host, criu, lock, FLAVOUR);
    if options.recorded {
        engines.configure(&format!("action-script {}", link_recorder(&host, "criu-gc-record").display()));
    }
    let docker = engines.start_docker(options.daemon);
    let network = host.name_net_namespace(&docker.start_pod("pod"), "pod");
    let pod = Pod::around(&host, FLAVOUR, network);
    chown(&pod.volume, Some(options.root), Some(options.root)).expect("an owner");
    docker.run("sidecar", "container:pod", &[], &pod.sidecar());
    let sidecar = pod.peer();
    let job = if options.restartable { pod.restartable_container() } else { pod.container() };
    docker.run(NAME, "container:pod", options.container, &job);
    let peers = Peers { sidecar, container: pod.peer() };
    let before = Tool::new(&host, Path::new("/")).watching(docker.upper_directory(NAME)).snapshot();
    test(Scene { host: &host, engines: &engines, pod: &pod, docker, peers, before });
}

impl<'a> Scene<'a> {
    #[track_caller]
    fn checkpoint(&mut self, options: &[&str]) {
        self.docker.checkpoint(NAME, CHECKPOINT, options);
        self.assert_has_residue();
    }

    #[track_caller]
    pub(crate) fn assert_has_residue(&mut self) {
        let root = self.docker.upper_directory(NAME);
        self.pod.assert_has_residue(&root, FLAVOUR, &mut self.peers);
    }

    /// criu-gc on what the operator has in hand.
    pub(crate) fn tool(&self, named: &Path) -> Tool<'a> {
        Tool::new(self.host, named).watching(self.docker.upper_directory(NAME))
    }

    /// What criu-gc removes by what is named is all that was left, and who lives on in the pod has its network again.
    #[track_caller]
    fn assert_cleaned_by(&mut self, named: &Path) -> Vec<String> {
        let lines = self.tool(named).assert_removes_everything_since(&self.before);
        self.pod.assert_has_network_again(FLAVOUR, &mut self.peers);
        lines
    }

    /// criu-gc removes all beside a container that has been started afresh, and whose files are new.
    #[track_caller]
    pub(crate) fn assert_cleaned_beside_fallback(&mut self, named: &Path) {
        let links = [self.pod.volume.clone(), PathBuf::from("/dev/shm"), self.docker.upper_directory(NAME).join("tmp")];
        let links = links.map(|place| link_in(&self.host.path(place)));
        let tool = self.tool(named);
        let removed = remove_with_printed_option(&tool);
        assert!(!removed.stdout.contains("was restored from these images"), "{removed}");
        assert!(links.iter().all(|link| !link.exists()), "{removed}");
        self.pod.assert_has_network_again(FLAVOUR, &mut self.peers);
        // It has its network now, and gets as far as to say that it is ready.
        let report = self.pod.volume.join(NAME);
        assert!(wait_until(|| report.exists().then_some(())).is_some(), "the container has no network");
        tool.assert_finds_nothing();
        assert!(self.docker.pid(NAME).is_some(), "the container that was started afresh has ended");
    }

    /// Waits until the program that was started afresh has a new semaphore, the last of its new files: then the link of the
    /// old one is its only name.
    #[track_caller]
    pub(crate) fn await_fresh_files(&self) {
        let link = link_in(&self.host.path("/dev/shm"));
        let semaphore = self.host.path("/dev/shm/sem.name");
        let is_new = || link.metadata().is_ok_and(|link| link.nlink() == 1) && semaphore.exists();
        assert!(wait_until(|| is_new().then_some(())).is_some(), "no program was started");
        self.docker.await_running(NAME);
    }
}

/// A link whose times somebody has changed, and which only a device number identifies that can be another's, may be kept: in
/// the machine's `/dev/shm`, or in a volume on another disk than `/`. Then criu-gc prints one option, and removes it with that.
#[track_caller]
fn remove_with_printed_option(tool: &Tool<'_>) -> Finished {
    let kept = tool.run(&[]);
    let asks = kept.stdout.ends_with("To remove: --allow older-than-dump\n");
    let others = kept.stdout.matches("; kept: ").count() - kept.stdout.matches("; kept: older-than-dump)").count();
    assert!(others == 0 && kept.code() == i32::from(asks), "{kept}");
    let removed = tool.run(&["--allow", "older-than-dump"]);
    assert_eq!(removed.code(), 0, "{removed}");
    kept
}

fn removed(criu: &Criu) {
    for lock in [LockMethod::Iptables, LockMethod::Nftables] {
        with_scene(criu, lock, &Options::default(), |mut scene| {
            scene.checkpoint(&[]);
            let directory = scene.docker.directory(NAME);
            let lines = scene.assert_cleaned_by(&directory);
            assert!(lines[0].starts_with("Layout: Docker container: container job ("), "{lines:#?}");
            assert!(!lines.iter().any(|line| line.starts_with("Note: ")), "{lines:#?}");
        });
    }
}

fn restored_after_show(criu: &Criu) {
    with_scene(criu, LockMethod::Iptables, &Options::default(), |mut scene| {
        scene.checkpoint(&[]);
        let tool = scene.tool(&scene.docker.directory(NAME));
        let lines = tool.show();
        assert_eq!(lines.iter().filter(|line| line.starts_with("Link remap: ")).count(), 3, "{lines:#?}");
        let restored = scene.docker.restore(NAME, CHECKPOINT);
        assert_eq!(restored.code(), 0, "{restored}");
        scene.docker.await_running(NAME);
        scene.pod.assert_restored(&mut scene.peers);
        assert_eq!(tool.difference_to(&scene.before), NOTHING);
        tool.assert_finds_nothing();
    });
}

/// Docker's bridge; the namespace, and what locked it, ends with the container.
fn own_network(criu: &Criu) {
    with_scene(criu, LockMethod::Iptables, &Options::default(), |scene| {
        let volume = scene.host.dir().join("own");
        fs::create_dir(&volume).expect("a new directory");
        let words: [testkit::Word<'_>; 4] = [&"deleted", &"/data/one", &"listen-connect", &"127.0.0.1:0"];
        let specification = Specification::new(&scene.pod.network, &volume, &words);
        scene.docker.run("own", "bridge", &[], &specification);
        let tool = Tool::new(scene.host, &scene.docker.directory("own"));
        let network = scene.docker.inspect("own", "{{.NetworkSettings.SandboxKey}}");
        let network = network.replace("/var/run/", "/run/");
        scene.docker.checkpoint("own", CHECKPOINT, &[]);
        // Docker takes it away a little later.
        let network = scene.host.path(network);
        assert!(wait_until(|| (!network.exists()).then_some(())).is_some(), "{} stays", network.display());
        let link = link_in(&volume);
        let removed = tool.run(&[]);
        assert!(removed.code() == 0 && !link.exists(), "{removed}");
        assert!(removed.stdout.contains("\nNetwork lock chain: CRIU (gone"), "{removed}");
        tool.assert_finds_nothing();
    });
}

fn remapped(criu: &Criu) {
    let options = Options { daemon: &["--userns-remap=daemon"], root: 100_000, ..Options::default() };
    with_scene(criu, LockMethod::Iptables, &options, |mut scene| {
        scene.checkpoint(&[]);
        let directory = scene.docker.directory(NAME);
        assert!(directory.starts_with("/var/lib/docker/100000.100000"), "void: {}", directory.display());
        scene.assert_cleaned_by(&directory);
    });
}

fn elsewhere(criu: &Criu) {
    with_scene(criu, LockMethod::Iptables, &Options::default(), |mut scene| {
        let parent = scene.host.dir().with_file_name("checkpoints");
        scene.checkpoint(&["--checkpoint-dir", parent.to_str().expect("a UTF-8 path")]);
        let images = parent.join(scene.docker.id(NAME)).join("checkpoints").join(CHECKPOINT);
        let images = if images.exists() { images } else { parent.join(CHECKPOINT) };
        let directory = scene.docker.directory(NAME);
        assert!(!scene.host.path(directory).join("checkpoints").join(CHECKPOINT).exists(), "void: it is not elsewhere");
        // Nothing beside the images leads to the container, but they name its control group.
        scene.assert_cleaned_by(&images);
    });
}

/// The first lets the container run on, and leaves nothing.
fn two(criu: &Criu) {
    with_scene(criu, LockMethod::Iptables, &Options::default(), |mut scene| {
        let leave = scene.docker.checkpoint_command(NAME, "first", &["--leave-running"]);
        run(leave);
        assert_eq!(scene.tool(Path::new("/")).difference_to(&scene.before), NOTHING, "void: the first left something");
        scene.checkpoint(&[]);
        let tool = scene.tool(&scene.docker.directory(NAME));
        let removed = tool.run(&[]);
        // The first names the same objects, which are gone with the second.
        assert_eq!((removed.code(), removed.stdout.matches("kept: ").count()), (0, 0), "{removed}");
        assert_eq!(tool.difference_to(&scene.before), NOTHING, "{removed}");
        scene.pod.assert_has_network_again(FLAVOUR, &mut scene.peers);
        tool.assert_finds_nothing();
    });
}

/// No overlay is mounted any more, and no directory has to be named.
fn layer_by_scan(criu: &Criu) {
    with_scene(criu, LockMethod::Iptables, &Options::default(), |mut scene| {
        scene.checkpoint(&[]);
        scene.docker.remove_checkpoint(NAME, CHECKPOINT);
        let link = link_in(&scene.host.path(scene.docker.upper_directory(NAME).join("tmp")));
        let scanned = scene.host.command(crate::tool::binary()).arg("scan").finish();
        let command = scanned.stdout.lines().find_map(|line| line.trim().strip_prefix("# criu-gc rm /var/lib/docker/"));
        let object = Path::new("/var/lib/docker").join(command.unwrap_or_else(|| panic!("not found: {scanned}")));
        assert_eq!(object.file_name(), link.file_name(), "{scanned}");
        scene.host.command(crate::tool::binary()).arg("rm").arg(&object).succeed();
        assert!(!link.exists());
    });
}

#[track_caller]
fn run(mut command: std::process::Command) {
    testkit::CommandExt::succeed(&mut command);
}

/// Docker takes the container for one that has ended by itself.
fn policy(criu: &Criu) {
    let options = Options { container: &["--restart", "always"], restartable: true, ..Options::default() };
    with_scene(criu, LockMethod::Iptables, &options, |mut scene| {
        scene.docker.checkpoint(NAME, CHECKPOINT, &[]);
        scene.await_fresh_files();
        scene.assert_has_residue();
        let directory = scene.docker.directory(NAME);
        scene.assert_cleaned_beside_fallback(&directory);
    });
}

fn fallback(criu: &Criu) {
    let options = Options { restartable: true, ..Options::default() };
    // Docker gives the images times of whole seconds.
    for later in [0, 1100].map(Duration::from_millis) {
        with_scene(criu, LockMethod::Iptables, &options, |mut scene| {
            scene.docker.checkpoint(NAME, CHECKPOINT, &[]);
            sleep(later);
            let started = scene.docker.start(NAME);
            assert_eq!(started.code(), 0, "{started}");
            scene.await_fresh_files();
            scene.assert_has_residue();
            let directory = scene.docker.directory(NAME);
            scene.assert_cleaned_beside_fallback(&directory);
        });
    }
}

/// The last link is missing: the restore has opened the other files before.
fn failed(criu: &Criu) {
    with_scene(criu, LockMethod::Iptables, &Options::default(), |mut scene| {
        scene.checkpoint(&[]);
        let layer = scene.host.path(scene.docker.upper_directory(NAME));
        fs::remove_file(link_in(&layer.join("tmp"))).expect("a link");
        let failed = scene.docker.restore(NAME, CHECKPOINT);
        assert_ne!(failed.code(), 0, "void: {failed}");
        let tool = scene.tool(&scene.docker.directory(NAME));
        let removed = remove_with_printed_option(&tool);
        let note = "Note: config.v2.json shows that a restore failed";
        assert!(removed.stdout.contains(note), "{removed}");
        assert_eq!(tool.difference_to(&scene.before), NOTHING, "{removed}");
        scene.pod.assert_has_network_again(FLAVOUR, &mut scene.peers);
        tool.assert_finds_nothing();
    });
}

fn page(criu: &Criu) {
    let mut page = Page::read("docker.md");
    with_scene(criu, LockMethod::Iptables, &Options::default(), |mut scene| {
        scene.checkpoint(&[]);
        for end in [" --show", ""] {
            page.run(scene.host, &format!("criu-gc docker:CONTAINER{end}"), &[("CONTAINER", Path::new(NAME))]);
        }
        scene.pod.assert_has_network_again(FLAVOUR, &mut scene.peers);
    });
    with_scene(criu, LockMethod::Iptables, &Options::default(), |mut scene| {
        let parent = scene.host.dir().with_file_name("checkpoints");
        scene.checkpoint(&["--checkpoint-dir", parent.to_str().expect("a UTF-8 path")]);
        let words = [("DIR", parent.as_path()), ("NAME", Path::new(CHECKPOINT))];
        for end in [" --show", ""] {
            page.run(scene.host, &format!("criu-gc -D DIR/NAME{end}"), &words);
        }
        scene.pod.assert_has_network_again(FLAVOUR, &mut scene.peers);
    });
    with_scene(criu, LockMethod::Iptables, &Options { recorded: true, ..Options::default() }, |mut scene| {
        scene.checkpoint(&[]);
        let images = scene.docker.directory(NAME).join("checkpoints").join(CHECKPOINT);
        page.run_by_record(scene.host, &images, || scene.docker.remove_checkpoint(NAME, CHECKPOINT));
        scene.pod.assert_has_network_again(FLAVOUR, &mut scene.peers);
    });
    page.assert_all_run();
}
