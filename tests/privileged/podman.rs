// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Containers of a real podman that share a network namespace: one is checkpointed, the other goes on.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use testkit::{CommandExt, Criu, Engines, IptablesFlavour, LockMethod, Podman, Snapshot, Specification, TestHost};

use crate::case::{Case, Cases};
use crate::pages::Page;
use crate::places::link_in;
use crate::pod::{Peers, Pod};
use crate::recording::link_recorder;
use crate::tool::{NOTHING, Tool};

inventory::submit!(Cases::with_each_criu(&[
    Case { name: "what a checkpoint by podman left is removed, and its pod has a network again", test: removed },
    Case { name: "what a checkpoint left is removed by the name of podman's container", test: by_name },
    Case { name: "what a container of podman's left in its own /dev/shm is gone with it", test: own_shm },
    Case { name: "podman's container is found in the storage that storage.conf names", test: configured_storage },
    Case { name: "podman restores a container after criu-gc only showed", test: restored_after_show },
    Case {
        name: "after a restore by podman that failed all is removed, and the pod has a network again",
        test: failed
    },
    Case { name: "images that an earlier checkpoint by podman left in the directory are not read", test: kept_twice },
    Case { name: "what stays after podman refused to export a checkpoint is removed", test: refused_export },
    Case { name: "what a checkpoint left is removed by podman's export, unpacked", test: unpacked_export },
    Case { name: "what a checkpoint left is removed by podman's export, however compressed", test: exports },
    Case { name: "what outlived a container of podman's is removed by its export", test: removed_container },
    Case { name: "what a checkpoint left is removed by podman's export on standard input", test: standard_input },
    Case { name: "what a checkpoint left is removed by the image that podman made of it", test: images },
]));

inventory::submit!(Cases::with_newest_criu(&[Case {
    name: "the commands of podman's page do what the page says",
    test: page
},]));

/// The container that is checkpointed.
const NAME: &str = "container";
const FLAVOUR: IptablesFlavour = IptablesFlavour::Nft;

/// Two containers in a pod, and the host as it was while both ran.
struct Pair<'a> {
    host: &'a TestHost,
    pod: &'a Pod<'a>,
    podman: Podman<'a>,
    peers: Peers,
    before: Snapshot,
}

/// Runs a test on a pair in a host of its own.
fn with_pair(criu: &Criu, lock: LockMethod, test: impl FnOnce(Pair<'_>)) {
    with_pair_by(criu, lock, |podman, container| podman.start(NAME, container), test);
}

/// The same; `start` starts the container that is to be checkpointed.
fn with_pair_by(
    criu: &Criu,
    lock: LockMethod,
    start: impl Fn(&Podman<'_>, &Specification),
    test: impl FnOnce(Pair<'_>),
) {
    with_pair_of(criu, lock, |engines| engines.set_up_podman(), start, test);
}

/// The same, with a podman that was set up otherwise.
fn with_pair_of(
    criu: &Criu,
    lock: LockMethod,
    set_up: for<'a> fn(&'a Engines<'_>) -> Podman<'a>,
    start: impl Fn(&Podman<'_>, &Specification),
    test: impl FnOnce(Pair<'_>),
) {
    let host = TestHost::new();
    let pod = Pod::new(&host, FLAVOUR);
    let engines = Engines::new(&host, criu, lock, FLAVOUR);
    let podman = set_up(&engines);
    podman.start("sidecar", &pod.sidecar());
    let sidecar = pod.peer();
    start(&podman, &pod.container());
    let peers = Peers { sidecar, container: pod.peer() };
    let images = podman.directory(NAME).join("checkpoint");
    let before = Tool::new(&host, &images).watching(podman.upper_directory(NAME)).snapshot();
    test(Pair { host: &host, pod: &pod, podman, peers, before });
}

impl<'a> Pair<'a> {
    /// Checkpoints the container, which leaves what is known to be left.
    #[track_caller]
    fn checkpoint(&mut self, options: &[&str]) {
        self.podman.checkpoint(NAME, options);
        self.assert_has_residue();
    }

    /// The same, with an export to this file beside the host's directory.
    #[track_caller]
    fn export(&mut self, file: &str, options: &[&str]) -> PathBuf {
        let archive = self.beside(file);
        self.checkpoint(&[options, &["--export", archive.to_str().expect("a UTF-8 path")]].concat());
        archive
    }

    #[track_caller]
    fn assert_has_residue(&mut self) {
        self.pod.assert_has_residue(&self.root(), FLAVOUR, &mut self.peers);
    }

    /// What criu-gc removes by what is `named` is all that was left, and who lives on in the pod has its network again.
    #[track_caller]
    fn assert_cleaned_by(&mut self, tool: &Tool<'_>) -> Vec<String> {
        let lines = tool.assert_removes_everything_since(&self.before);
        self.pod.assert_has_network_again(FLAVOUR, &mut self.peers);
        lines
    }

    /// criu-gc on something of the container that was checkpointed.
    fn tool(&self, named: &Path) -> Tool<'a> {
        Tool::new(self.host, named).watching(self.root())
    }

    /// The same on what anybody may have made: it ties no network namespace, so the user names it.
    fn tool_with_namespace(&self, named: &Path) -> Tool<'a> {
        self.tool(named).option("--netns", self.pod.network.path())
    }

    /// criu-gc on the images.
    fn images(&self) -> Tool<'a> {
        self.tool(&self.podman.directory(NAME).join("checkpoint"))
    }

    fn root(&self) -> PathBuf {
        self.podman.upper_directory(NAME)
    }

    fn beside(&self, name: &str) -> PathBuf {
        self.host.dir().with_file_name(name)
    }
}

fn removed(criu: &Criu) {
    for lock in [LockMethod::Iptables, LockMethod::Nftables] {
        with_pair(criu, lock, |mut pair| {
            pair.checkpoint(&[]);
            let tool = pair.tool(&pair.podman.directory(NAME));
            let lines = pair.assert_cleaned_by(&tool);
            assert!(!lines.iter().any(|line| line.starts_with("Note: ")), "{lines:#?}");
        });
    }
}

fn by_name(criu: &Criu) {
    with_pair(criu, LockMethod::Iptables, |mut pair| {
        let named = Path::new("podman:container");
        let early = pair.tool(named).run(&["--show"]);
        assert_eq!(early.code(), 2, "{early}");
        assert!(early.stderr.contains("podman:container has no checkpoint: there are no images in "), "{early}");
        pair.checkpoint(&["--keep"]);
        let id = pair.podman.directory(NAME);
        let id = id.parent().and_then(Path::file_name).expect("an id").to_str().expect("a UTF-8 id");
        let by_name = pair.tool(named).show();
        assert!(by_name[0].starts_with("Layout: podman container: container container ("), "{by_name:#?}");
        for id in [id, &id[..12]] {
            assert_eq!(pair.tool(Path::new(&format!("podman:{id}"))).show(), by_name);
        }
        let other = pair.tool(Path::new("podman:no-such")).run(&[]);
        assert_eq!(other.code(), 2, "{other}");
        let nearest = "root's podman has no container no-such; the nearest are podman:";
        assert!(other.stderr.contains(nearest) && other.stderr.contains("podman:container"), "{other}");
        let tool = pair.tool(named);
        pair.assert_cleaned_by(&tool);
    });
}

/// podman unmounts the container's `/dev/shm` after the checkpoint.
fn own_shm(criu: &Criu) {
    let start = |podman: &Podman<'_>, container: &Specification| podman.start_with_own_shm(NAME, container);
    with_pair_by(criu, LockMethod::Iptables, start, |mut pair| {
        pair.podman.checkpoint(NAME, &[]);
        let tool = pair.tool(Path::new("podman:container"));
        let shown = tool.show();
        let of_shm: Vec<&String> = shown.iter().filter(|line| line.starts_with("Link remap: /dev/shm/")).collect();
        assert!(of_shm.len() == 1 && of_shm[0].contains("(gone"), "{shown:#?}");
        assert_eq!(shown.iter().filter(|line| line.ends_with("; to be removed)")).count(), 4, "{shown:#?}");
        let removed = tool.run(&[]);
        assert_eq!(removed.code(), 0, "{removed}");
        tool.assert_finds_nothing();
        pair.pod.assert_has_network_again(FLAVOUR, &mut pair.peers);
    });
}

/// podman reads the configuration too: its own answer tells where it has the container.
fn configured_storage(criu: &Criu) {
    const STORE: &str = "/var/lib/containers/elsewhere";
    let start = |podman: &Podman<'_>, container: &Specification| podman.start(NAME, container);
    with_pair_of(
        criu,
        LockMethod::Iptables,
        |engines| engines.set_up_podman_in(STORE.as_ref()),
        start,
        |mut pair| {
            let directory = pair.podman.directory(NAME);
            assert!(directory.starts_with(STORE), "void: {}", directory.display());
            pair.checkpoint(&[]);
            let unknown = pair.tool(Path::new("podman:no-such")).run(&[]);
            assert!(unknown.code() == 2 && unknown.stderr.contains("podman:container"), "{unknown}");
            let tool = pair.tool(Path::new("podman:container"));
            pair.assert_cleaned_by(&tool);
        },
    );
}

fn restored_after_show(criu: &Criu) {
    with_pair(criu, LockMethod::Iptables, |mut pair| {
        pair.checkpoint(&["--keep"]);
        let lines = pair.images().show();
        assert_eq!(lines.iter().filter(|line| line.starts_with("Link remap: ")).count(), 3, "{lines:#?}");
        pair.podman.restore(NAME, &["--keep"]);
        assert!(pair.podman.pid(NAME).is_some());
        pair.pod.assert_restored(&mut pair.peers);
        assert_eq!(pair.images().difference_to(&pair.before), NOTHING);
        pair.images().assert_finds_nothing();
    });
}

/// The link in the volume is missing. podman has CRIU's log beside the images.
fn failed(criu: &Criu) {
    for lock in [LockMethod::Iptables, LockMethod::Nftables] {
        with_pair(criu, lock, |mut pair| {
            pair.checkpoint(&["--keep"]);
            fs::remove_file(link_in(&pair.host.path(&pair.pod.volume))).expect("a link");
            let failed = pair.podman.try_restore(NAME, &["--keep"]);
            assert_ne!(failed.code(), 0, "void: {failed}");
            let tool = pair.tool(Path::new("podman:container"));
            let shown = tool.show();
            let note =
                "Note: restore.log shows that a restore failed, so what it changed does not count as a newer dump's";
            assert!(shown.iter().any(|line| line == note), "{shown:#?}");
            assert!(!shown.iter().any(|line| line.contains("kept:")), "{shown:#?}");
            pair.assert_cleaned_by(&tool);
        });
    }
}

/// With `--keep` podman dumps into the directory again, and leaves there what the second dump does not write anew.
fn kept_twice(criu: &Criu) {
    with_pair(criu, LockMethod::Nftables, |mut pair| {
        pair.podman.checkpoint(NAME, &["--keep"]);
        let images = pair.host.path(pair.podman.directory(NAME)).join("checkpoint");
        let [first] = &mount_tables(&images)[..] else { panic!("not one mount namespace") };
        pair.podman.restore(NAME, &["--keep"]);
        pair.pod.assert_restored(&mut pair.peers);
        pair.checkpoint(&["--keep"]);
        let tables = mount_tables(&images);
        let second = tables.iter().find(|table| *table != first).expect("void: the images of one dump only");
        // The kernel may give the ids of mounts that are gone to others.
        fs::copy(images.join(second), images.join(first)).expect("an image");
        let tool = pair.tool(&pair.podman.directory(NAME));
        pair.assert_cleaned_by(&tool);
    });
}

/// podman refuses only when the checkpoint is made.
fn refused_export(criu: &Criu) {
    let start = |podman: &Podman<'_>, container: &Specification| podman.start_dependent(NAME, "sidecar", container);
    let check = |mut pair: Pair<'_>, named: &Path| {
        let archive = pair.beside("export.tar");
        let refused = pair.podman.try_checkpoint(NAME, &["--export", archive.to_str().expect("a UTF-8 path")]);
        assert_eq!((refused.code(), archive.exists(), pair.podman.pid(NAME)), (125, false, None), "void: {refused}");
        pair.assert_has_residue();
        let tool = pair.tool(named);
        pair.assert_cleaned_by(&tool);
    };
    with_pair_by(criu, LockMethod::Iptables, start, |pair| {
        let images = pair.podman.directory(NAME).join("checkpoint");
        check(pair, &images);
    });
    with_pair_by(criu, LockMethod::Iptables, start, |pair| check(pair, Path::new("podman:container")));
}

/// The export is on a disk for good; podman's own images of the container go with the container.
fn unpacked_export(criu: &Criu) {
    with_pair(criu, LockMethod::Iptables, |mut pair| {
        let archive = pair.export("export.tar", &["--compress", "none"]);
        let unpacked = pair.beside("export");
        fs::create_dir(&unpacked).expect("a new directory");
        pair.host.run("tar", &[&"-xpf", &archive, &"-C", &unpacked]);
        let tool = pair.tool_with_namespace(&unpacked);
        pair.assert_cleaned_by(&tool);
    });
}

fn exports(criu: &Criu) {
    for (compression, words) in [("none", "tar archive"), ("gzip", "with gzip"), ("zstd", "with zstd")] {
        with_pair(criu, LockMethod::Iptables, |mut pair| {
            let archive = pair.export("export", &["--compress", compression]);
            let shown = pair.tool(&archive).show();
            assert!(shown[0].starts_with("Layout: exported container in a tar archive"), "{shown:#?}");
            assert!(shown[0].contains(words) && shown[0].contains(": container container ("), "{shown:#?}");
            // What the archive says of the network namespace is told, and no more.
            let option = format!("--netns {}", pair.pod.network.path().display());
            assert!(
                shown.iter().any(|line| line.starts_with("Note: spec.dump") && line.ends_with(&option)),
                "{shown:#?}"
            );
            let kept = pair.tool(&archive).run(&[]);
            assert_eq!(kept.code(), 1, "{kept}");
            assert!(kept.stdout.contains("kept: untied-namespace"), "{kept}");
            let links = kept.stdout.lines().filter(|line| line.starts_with("Link remap: "));
            assert!(links.clone().count() == 3 && links.clone().all(|line| line.ends_with("; removed)")), "{kept}");
            let tool = pair.tool_with_namespace(&archive);
            pair.assert_cleaned_by(&tool);
        });
    }
}

/// With the container goes its layer, and the link remap in it: not those elsewhere, nor the lock.
fn removed_container(criu: &Criu) {
    with_pair(criu, LockMethod::Iptables, |mut pair| {
        let archive = pair.export("export", &[]);
        let root = pair.root();
        pair.podman.remove(NAME);
        assert!(!root.exists(), "void: {} is still there", root.display());
        let unknown = Tool::new(pair.host, Path::new("podman:container")).run(&["--show"]);
        assert!(unknown.stderr.contains("root's podman has no container container"), "{unknown}");
        let tool = Tool::new(pair.host, &archive).option("--netns", pair.pod.network.path());
        let run = tool.run(&[]);
        assert_eq!(run.code(), 0, "{run}");
        let of = |kind: &str, end: &str| {
            run.stdout.lines().filter(|line| line.starts_with(kind) && line.ends_with(end)).count()
        };
        let links = (of("Link remap: ", "removed)"), of("Link remap: /tmp/", "(gone)"));
        assert_eq!((links, of("Network lock chain: ", "removed)")), ((2, 1), 2), "{run}");
        pair.pod.assert_has_network_again(FLAVOUR, &mut pair.peers);
        tool.assert_finds_nothing();
    });
}

/// A file on standard input is as good as its name; what comes through a pipe could be anybody's.
fn standard_input(criu: &Criu) {
    with_pair(criu, LockMethod::Nftables, |mut pair| {
        let archive = pair.export("export", &[]);
        let tool = pair.tool(Path::new("-"));
        let piped = |arguments: &[&str]| {
            let cat = pair.host.command("cat").arg(&archive).stdout(std::process::Stdio::piped()).spawn();
            let mut cat = cat.expect("cat");
            let run = tool.command(arguments).finish_reading(cat.stdout.take().expect("a pipe"));
            assert!(cat.wait().expect("cat").success(), "the archive was not read to its end");
            run
        };
        let all = tool.difference_to(&pair.before);
        let run = piped(&[]);
        assert_eq!((run.code(), tool.difference_to(&pair.before)), (1, all), "{run}");
        assert_eq!(run.stdout.matches("kept: foreign-images").count(), 4, "{run}");
        assert_eq!(piped(&["--show", "--exit-code", "--allow", "foreign-images"]).code(), 1);
        let file = File::open(&archive).expect("the export");
        let run = tool.command(&[]).finish_reading(file);
        assert_eq!((run.code(), tool.difference_to(&pair.before)), (0, Vec::new()), "{run}");
        pair.pod.assert_has_network_again(FLAVOUR, &mut pair.peers);
        let again = piped(&["--allow", "foreign-images"]);
        assert_eq!((again.code(), again.stdout.lines().last()), (0, Some("Nothing is left.")), "{again}");
    });
}

fn images(criu: &Criu) {
    with_pair(criu, LockMethod::Iptables, |mut pair| {
        pair.checkpoint(&["--create-image", "localhost/checkpoint"]);
        let saved = ["oci-archive", "oci-dir", "docker-archive"].map(|format| {
            let path = pair.beside(format);
            pair.podman.save("localhost/checkpoint", format, &path);
            path
        });
        let lists = saved.each_ref().map(|path| pair.tool_with_namespace(path).show());
        for list in &lists {
            assert!(list[0].starts_with("Layout: container image"), "{list:#?}");
            assert!(list[0].contains(": container container ("), "{list:#?}");
            assert_eq!(list[1..], lists[0][1..], "the same objects by each");
        }
        // The annotations of the image, which docker's format has no place for.
        for list in &lists[..2] {
            assert!(list[0].contains(", podman ") && list[0].contains("criu 4"), "{list:#?}");
        }
        let tool = pair.tool_with_namespace(&saved[0]);
        pair.assert_cleaned_by(&tool);
        for path in &saved[1..] {
            pair.tool_with_namespace(path).assert_finds_nothing();
        }
    });
}

fn page(criu: &Criu) {
    let mut page = Page::read("podman.md");
    with_pair(criu, LockMethod::Iptables, |mut pair| {
        pair.checkpoint(&[]);
        for command in ["criu-gc podman:NAME --show", "criu-gc podman:NAME"] {
            page.run(pair.host, command, &[("NAME", Path::new(NAME))]);
        }
        pair.pod.assert_has_network_again(FLAVOUR, &mut pair.peers);
    });
    with_pair(criu, LockMethod::Iptables, |mut pair| {
        let archive = pair.export("export", &[]);
        let words = [("EXPORT", archive.as_path()), ("PATH", &pair.pod.network.path())];
        for command in ["criu-gc EXPORT --show", "criu-gc EXPORT --netns PATH"] {
            page.run(pair.host, command, &words);
        }
        pair.pod.assert_has_network_again(FLAVOUR, &mut pair.peers);
    });
    let host = TestHost::new();
    let pod = Pod::new(&host, FLAVOUR);
    let engines = Engines::new(&host, criu, LockMethod::Iptables, FLAVOUR);
    engines.configure(&format!("action-script {}", link_recorder(&host, "criu-gc-record").display()));
    let podman = engines.set_up_podman();
    podman.start("sidecar", &pod.sidecar());
    let sidecar = pod.peer();
    podman.start(NAME, &pod.container());
    let mut peers = Peers { sidecar, container: pod.peer() };
    podman.checkpoint(NAME, &["--keep"]);
    let images = podman.directory(NAME).join("checkpoint");
    page.run_by_record(&host, &images, || podman.remove(NAME));
    pod.assert_has_network_again(FLAVOUR, &mut peers);
    page.assert_all_run();
}

fn mount_tables(images: &Path) -> Vec<String> {
    let entries = fs::read_dir(images).expect("images").flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with("mountpoints-")).collect()
}
