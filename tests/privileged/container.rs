// SPDX-License-Identifier: Apache-2.0 OR MIT
//! criu-gc in a container of real runc: with `--host` it gives the host's very output and removes what the host would;
//! without it, what the container hides is not gone, and the way to see it is told.

use std::fs;
use std::path::{Path, PathBuf};

use testkit::{
    CommandExt, Criu, DumpOptions, Enclosure, Engines, Finished, IptablesFlavour, LockMethod, Pids, Snapshot, TestHost,
};

use crate::case::{Case, Cases};
use crate::filters;
use crate::places::images_of;
use crate::refusals::start_tree_of_all;
use crate::tool::{NOTHING, Tool, binary};

inventory::submit!(Cases::with_each_criu(&[
    Case { name: "in a container, --host shows, saves and removes what the host does", test: as_the_host },
    Case { name: "in a container, --host runs the host's legacy iptables", test: legacy },
    Case { name: "in a container without --host nothing that it hides is gone", test: without },
    Case { name: "--host names what the container lacks", test: refused },
    Case { name: "process 1 of another container is not taken for the host's", test: of_another_container },
    Case { name: "where no object can be hidden a container is no reason for status 1", test: nothing_to_hide },
]));

/// What `--host` takes.
const CAPABILITIES: [&str; 5] =
    ["CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "CAP_SYS_CHROOT", "CAP_NET_ADMIN", "CAP_DAC_OVERRIDE"];

/// What tells how to see what the host sees.
const ADVICE: &str = "Note: criu-gc does not run in the namespaces of this host's process 1; with --host it does\n";

/// A host with what the dump of a tree left: two links, and the rules of a connection.
struct Scene<'a> {
    host: &'a TestHost,
    engines: Engines<'a>,
    before: Snapshot,
}

impl<'a> Scene<'a> {
    fn new(criu: &Criu, host: &'a TestHost, flavour: IptablesFlavour) -> Self {
        if flavour == IptablesFlavour::Legacy {
            filters::make_tables(host, None, flavour);
        }
        let (tree, before) = start_tree_of_all(host);
        criu.dump(host, &tree, &images_of(host), &DumpOptions { flavour, ..DumpOptions::default() });
        let engines = Engines::new(host, criu, LockMethod::Iptables, IptablesFlavour::Nft);
        assert_ne!(Tool::on(host).difference_to(&before), NOTHING, "void: the dump left nothing");
        Scene { host, engines, before }
    }

    fn container(&self) -> Enclosure<'_> {
        self.engines.enclosure(&binary()).capabilities(&CAPABILITIES)
    }

    /// The same with the images, at their own path or below another one.
    fn container_with(&self, source: &Path, destination: &Path) -> Enclosure<'_> {
        self.container().bind(source, destination)
    }

    /// Nothing is left, and nothing else is gone.
    #[track_caller]
    fn assert_clean(&self, told: &Finished) {
        assert_eq!(told.code(), 0, "{told}");
        assert_eq!(Tool::on(self.host).difference_to(&self.before), NOTHING, "{told}");
        Tool::on(self.host).assert_finds_nothing();
    }
}

/// criu-gc on the images, in the container.
fn run(container: &Enclosure<'_>, images: &Path, arguments: &[&str]) -> Finished {
    container.command(&[arguments, &["-D", images.to_str().expect("text")]].concat()).finish()
}

fn as_the_host(criu: &Criu) {
    let host = TestHost::new();
    let scene = Scene::new(criu, &host, IptablesFlavour::Nft);
    let (container, images) = (scene.container(), images_of(&host));
    for arguments in [&["--show"][..], &["--show", "-vv"], &["--show", "--json", "--exit-code"]] {
        let (outside, inside) =
            (Tool::on(&host).run(arguments), run(&container, &images, &[&["--host"], arguments].concat()));
        assert_eq!((inside.code(), inside.stdout, inside.stderr), (outside.code(), outside.stdout, outside.stderr));
    }
    // Every path is one of the host, a relative one from its root directory.
    let relative = images.strip_prefix("/").expect("an absolute path");
    let options = ["--host", "--save", "/run/saved", "--log-file", "/run/log", "--root", "/"];
    let removed = run(&container, relative, &options);
    let saved = fs::read_to_string(host.path("/run/saved/manifest.jsonl")).expect("a manifest on the host");
    assert_eq!(saved.lines().count(), 2, "{saved}");
    assert!(host.path("/run/log").exists(), "no log on the host");
    scene.assert_clean(&removed);
}

/// The container has no iptables. A raw socket takes one capability more; without it nothing is called clean.
fn legacy(criu: &Criu) {
    let host = TestHost::new();
    let scene = Scene::new(criu, &host, IptablesFlavour::Legacy);
    let without = run(&scene.container(), &images_of(&host), &["--host"]);
    assert!(without.code() == 1 && without.stdout.contains("Not known: cannot look at the legacy"), "{without}");
    let all = [&CAPABILITIES[..], &["CAP_NET_RAW"]].concat();
    scene.assert_clean(&run(&scene.container().capabilities(&all), &images_of(&host), &["--host"]));
}

fn without(criu: &Criu) {
    let host = TestHost::new();
    let scene = Scene::new(criu, &host, IptablesFlavour::Nft);
    let images = images_of(&host);
    let below = |path: &Path| Path::new("/host").join(path.strip_prefix("/").expect("an absolute path"));
    let places: [(PathBuf, PathBuf, PathBuf); 2] = [
        (images.clone(), images.clone(), images.clone()),
        (PathBuf::from("/"), PathBuf::from("/host"), below(&images)),
    ];
    for (source, destination, named) in &places {
        let of_host = scene.container_with(source, destination);
        let own = scene.container_with(source, destination).pids(Pids::Own);
        for arguments in [&["--show", "--exit-code"][..], &[]] {
            let dumped = Tool::on(&host).snapshot();
            let told = run(&of_host, named, arguments);
            assert!(told.code() == 1 && told.stdout.contains(ADVICE), "{told}");
            let alone = run(&own, named, arguments);
            assert!(
                alone.code() == 1 && alone.stdout.contains("with --pid=host and run criu-gc with --host"),
                "{alone}"
            );
            for told in [&told, &alone] {
                assert!(!told.stdout.contains("Nothing is left") && !told.stdout.contains("(gone"), "{told}");
            }
            assert_eq!(Tool::on(&host).difference_to(&dumped), NOTHING, "{told}{alone}");
        }
    }
    let missing = run(&scene.container(), &images, &[]);
    assert!(missing.code() == 2 && missing.stderr.contains("add --host"), "{missing}");
    scene.assert_clean(&run(&scene.container(), &images, &["--host"]));
}

fn refused(criu: &Criu) {
    let host = TestHost::new();
    let scene = Scene::new(criu, &host, IptablesFlavour::Nft);
    let images = images_of(&host);
    let dumped = Tool::on(&host).snapshot();
    for missing in ["CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "CAP_SYS_CHROOT"] {
        let others: Vec<&str> = CAPABILITIES.into_iter().filter(|capability| *capability != missing).collect();
        let told = run(&scene.container().capabilities(&others), &images, &["--host"]);
        assert!(told.code() == 2 && told.stderr.contains(&format!("--host needs {missing}")), "{told}");
    }
    let blind = scene.container().capabilities(&["CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "CAP_SYS_CHROOT"]);
    let told = run(&blind, &images, &["--host", "--show", "--exit-code"]);
    assert!(told.code() == 1 && told.stdout.contains("namespace: CAP_NET_ADMIN is missing"), "{told}");
    let alone = run(&scene.container().pids(Pids::Own), &images, &["--host"]);
    assert!(alone.code() == 2 && alone.stderr.contains("start the container with --pid=host"), "{alone}");
    assert_eq!(Tool::on(&host).difference_to(&dumped), NOTHING);
    scene.assert_clean(&run(&scene.container(), &images, &["--host"]));
}

/// As in a pod whose containers share one pid namespace, which is not the host's.
fn of_another_container(criu: &Criu) {
    let host = TestHost::new();
    let scene = Scene::new(criu, &host, IptablesFlavour::Nft);
    let pod = "unshare --pid --fork --mount-proc --net sleep 1000 >/dev/null 2>&1 & \
        until first=$(pgrep -x -n sleep); do :; done; echo $first";
    let first = host.command("sh").args(["-c", pod]).succeed().stdout.trim().to_owned();
    let container = scene.container().pids(Pids::Of(format!("/proc/{first}/ns/pid").into()));
    let told = run(&container, &images_of(&host), &["--host"]);
    assert!(told.code() == 2 && told.stderr.contains("process 1 here (sleep) is not the host's"), "{told}");
    scene.assert_clean(&run(&scene.container(), &images_of(&host), &["--host"]));
}

/// A dump that left nothing.
fn nothing_to_hide(criu: &Criu) {
    let host = TestHost::new();
    let tree = host.start_workload(&[]);
    criu.dump(&host, &tree, &images_of(&host), &DumpOptions { lock: LockMethod::Skip, ..DumpOptions::default() });
    let engines = Engines::new(&host, criu, LockMethod::Skip, IptablesFlavour::Nft);
    let images = images_of(&host);
    let container = engines.enclosure(&binary()).capabilities(&CAPABILITIES).bind(&images, &images);
    let told = run(&container, &images, &[]);
    assert!(told.code() == 0 && !told.stdout.contains("--host"), "{told}");
}
