// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Checkpoints of containerd's CRI service, as containerd 2.1 lays them out: the kubelet's archive of a container that
//! runs on, and a restore from it, which fails in another pod and leaves that one without network.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use testkit::{
    Container, Criu, DumpOptions, DumpResult, FinalState, IptablesFlavour, Launch, NetNamespace, Network, TestHost,
    Word, Workload,
};

use crate::case::{Case, Cases};
use crate::filters::make_tables;
use crate::only::with_descriptor_9;
use crate::tool::Tool;
use crate::traffic::Net;

inventory::submit!(Cases::with_each_criu(&[
    Case { name: "CRI: after a failed restore in another pod its network is not called clean", test: another_pod },
    Case {
        name: "CRI: after a failed restore in another pod, the pod of the container being gone, nothing is called clean",
        test: another_pod_alone
    },
    Case {
        name: "CRI: after a failed restore from a bundle's images in another pod, its network is not called clean",
        test: from_a_bundle
    },
    Case {
        name: "CRI: after a failed restore in its own pod the network is free again, without an option",
        test: same_pod
    },
    Case { name: "CRI: what others can write does not lead to the pod's network", test: words_of_others },
    Case {
        name: "CRI: a network namespace that got the name of the pod's after the dump is not tied",
        test: younger_pod
    },
    Case { name: "CRI: another container's lock is none of an archive that nobody has read", test: unread },
    Case { name: "CRI: an archive that was made later does not show that nobody restored the images", test: later },
]));

/// The key under which runc has a network namespace that is not the container's own.
const KEY: &str = "extRootNetNS";

/// The beginning of the id of the first pod's sandbox.
const SANDBOX: &str = "a761001c";

const UNKNOWN: &str = "Network lock chain: CRIU (not known: a failed restore may have left one in another network \
                       namespace; name that with --external net[extRootNetNS]:PATH or --netns PATH)";

/// A node with two pods. The container to checkpoint is in the first.
pub(crate) struct Node<'a> {
    criu: &'a Criu,
    host: &'a TestHost,
    pub(crate) first: NetNamespace,
    container: Container,
}

impl<'a> Node<'a> {
    pub(crate) fn new(criu: &'a Criu, host: &'a TestHost) -> Self {
        make_tables(host, None, IptablesFlavour::Nft);
        Node { criu, host, first: make_pod(host, "cni-first"), container: Container::new(host, "root") }
    }

    pub(crate) fn start(&self) -> Workload {
        let files: [Word<'_>; 4] = [&"deleted", &"/tmp/one", &"deleted", &"/tmp/two"];
        let launch = Launch::new(&[[&"listen-connect" as Word<'_>, &"127.0.0.1:0"].as_slice(), &files].concat());
        launch.container(&self.container).network(Network::Named(self.first.clone())).start(self.host)
    }

    pub(crate) fn dump(&self, tree: &Workload, images: &Path, final_state: FinalState) -> DumpResult {
        let inode = self.host.path(self.first.path()).metadata().expect("a namespace").ino();
        let extra = vec!["--external".into(), format!("net[{inode}]:{KEY}").into()];
        self.criu.dump(self.host, tree, images, &DumpOptions { final_state, extra, ..DumpOptions::default() })
    }

    /// Checkpoints the container to an archive, as the kubelet does: it runs on.
    fn checkpoint(&self, tree: &Workload) -> Archive {
        self.checkpoint_with(tree, &[])
    }

    /// The same, with options of tar.
    fn checkpoint_with(&self, tree: &Workload, options: &[&str]) -> Archive {
        let directory = self.host.dir().with_file_name("export");
        let dump = self.dump(tree, &directory.join("checkpoint"), FinalState::Running);
        fs::write(directory.join("spec.dump"), spec("container", &format!("/proc/{}/ns/net", tree.pid())))
            .expect("metadata");
        fs::write(directory.join("config.dump"), "{}").expect("metadata");
        for file in ["dump.log", "stats-dump"] {
            fs::rename(directory.join("checkpoint").join(file), directory.join(file)).expect("a log");
        }
        let path = directory.with_file_name("checkpoint-first_default-job-2026-11-27T12:31:31Z.tar");
        let options: Vec<Word<'_>> = options.iter().map(|option| option as Word<'_>).collect();
        let words: [Word<'_>; 6] = [&"--force-local", &"-C", &directory, &"-cf", &path, &"."];
        self.host.run("tar", &[options.as_slice(), &words].concat());
        fs::remove_dir_all(directory).expect("images");
        Archive { path, dump }
    }

    /// Restores the container into a pod, as containerd does, from a copy of the images. A link is missing, which CRIU took
    /// away when it let the tree run on. Returns the directory of the new container.
    fn fail_to_restore(&self, archive: &mut Archive, pod: &NetNamespace) -> PathBuf {
        let container = self.host.dir().with_file_name("containers").join("19709874".repeat(8));
        let unpacked = container.join("ctrd-restore");
        fs::create_dir_all(&unpacked).expect("a new directory");
        self.host.run("tar", &[&"--force-local", &"-C", &unpacked, &"-xf", &archive.path]);
        for file in ["spec.dump", "config.dump"] {
            fs::remove_file(unpacked.join(file)).expect("metadata");
        }
        archive.dump.images = unpacked.join("checkpoint");
        self.fail_to_restore_in(&archive.dump, pod);
        container
    }

    pub(crate) fn fail_to_restore_in(&self, dump: &DumpResult, pod: &NetNamespace) {
        // For containerd, runc has CRIU restore no network, and then CRIU locks it.
        let empty = ["--empty-ns", "net", "--inherit-fd"].map(OsString::from).to_vec();
        let extra = [empty, vec![format!("fd[9]:{KEY}").into()]].concat();
        let options = DumpOptions { extra, ..DumpOptions::default() };
        let command = self.criu.restore_command(self.host, dump, &options);
        let finished = with_descriptor_9(&self.host.path(pod.path()), &command);
        assert_ne!(finished.code(), 0, "void: the restore succeeded");
        let log = fs::read_to_string(dump.images.join("restore.log")).unwrap_or_default();
        assert!(!self.is_open(pod), "void: the restore locked nothing: {log}");
    }

    /// What containerd keeps of the first pod's sandbox while that runs.
    fn keep_sandbox(&self) -> PathBuf {
        let tasks = "/run/containerd/io.containerd.runtime.v2.task/k8s.io";
        let directory = self.host.path(tasks).join(SANDBOX.repeat(8));
        fs::create_dir_all(&directory).expect("a new directory");
        let config = directory.join("config.json");
        fs::write(&config, spec("sandbox", "/var/run/netns/cni-first")).expect("a configuration");
        config
    }

    /// The container was stopped, and a restore in its own pod failed.
    fn fail_to_restore_in_own_pod(&self) -> Archive {
        let tree = self.start();
        let mut archive = self.checkpoint(&tree);
        drop(tree);
        self.fail_to_restore(&mut archive, &self.first);
        archive
    }

    /// Removes a link, so that a restore fails when it has opened the other file.
    pub(crate) fn remove_last_link(&self) {
        let names = fs::read_dir(self.container.root().join("tmp")).expect("a directory").flatten();
        let links = names.map(|entry| entry.path()).filter(|path| path.to_string_lossy().contains("link_remap."));
        fs::remove_file(links.max().expect("void: no link")).expect("a link");
    }

    pub(crate) fn is_open(&self, pod: &NetNamespace) -> bool {
        Net::at(self.host, &pod.path()).lets_packets_pass()
    }

    /// A container of somebody else's, whose dump locked its network.
    fn lock_another(&self) -> NetNamespace {
        let other = make_pod(self.host, "other");
        let tree = Launch::new(&[&"listen", &"0.0.0.0:0"]).network(Network::Named(other.clone())).start(self.host);
        self.criu.dump(self.host, &tree, &self.host.dir().with_file_name("others"), &DumpOptions::default());
        assert!(!self.is_open(&other), "void: the namespace is open");
        other
    }

    /// Nothing is removed, and nothing is called clean; a note names the network. Named, it is free again.
    fn assert_not_known(&self, images: &Path, pod: &NetNamespace) {
        let tool = Tool::new(self.host, images);
        let told = tool.run(&[]);
        assert_eq!(told.code(), 1, "{told}");
        assert!(told.stdout.lines().any(|line| line == UNKNOWN), "{told}");
        let note = format!("Note: {} has a chain CRIU, and nothing ties it to this ", pod.path().display());
        assert!(told.stdout.contains(&note) && !told.stdout.contains("Nothing is left"), "{told}");
        assert_eq!(tool.run(&["--show", "--exit-code"]).code(), 1);
        assert!(!self.is_open(pod), "{told}");
    }

    fn assert_removes_named(&self, images: &Path, pod: &NetNamespace) {
        let tool = Tool::new(self.host, images).option("--netns", pod.path());
        let removed = tool.run(&[]);
        assert!(removed.code() == 0 && self.is_open(pod), "{removed}");
        tool.assert_finds_nothing();
    }
}

/// A checkpoint in an archive.
struct Archive {
    path: PathBuf,
    dump: DumpResult,
}

fn make_pod(host: &TestHost, name: &str) -> NetNamespace {
    let pod = host.make_net_namespace(name);
    make_tables(host, Some(&pod.path()), IptablesFlavour::Nft);
    pod
}

/// What containerd writes of a container or a sandbox.
fn spec(kind: &str, namespace: &str) -> String {
    let annotations = serde_json::json!({
        "io.kubernetes.cri.container-name": "job",
        "io.kubernetes.cri.container-type": kind,
        "io.kubernetes.cri.sandbox-id": SANDBOX.repeat(8),
        "io.kubernetes.cri.sandbox-name": "first",
        "io.kubernetes.cri.sandbox-namespace": "default",
    });
    let namespaces = serde_json::json!([{ "type": "pid" }, { "type": "network", "path": namespace }]);
    let linux = serde_json::json!({ "cgroupsPath": "/k8s.io/job", "namespaces": namespaces });
    serde_json::json!({ "ociVersion": "1.2.1", "annotations": annotations, "linux": linux }).to_string()
}

fn another_pod(criu: &Criu) {
    let host = TestHost::new();
    let node = Node::new(criu, &host);
    let tree = node.start();
    let mut archive = node.checkpoint(&tree);
    let second = make_pod(&host, "cni-second");
    let container = node.fail_to_restore(&mut archive, &second);
    for images in [&archive.path, &container.join("ctrd-restore")] {
        let shown = Tool::new(&host, images).show();
        let note = "Note: dump.log says that the tasks were left running, so CRIU removed what it had created";
        assert!(shown.iter().any(|line| line == note), "{shown:#?}");
        node.assert_not_known(images, &second);
    }
    node.assert_removes_named(&archive.path, &second);
    assert!(node.is_open(&node.first) && tree.state().is_some(), "the container that runs on was touched");
}

/// The engine takes away the network namespace of a pod with the pod.
fn another_pod_alone(criu: &Criu) {
    let host = TestHost::new();
    let node = Node::new(criu, &host);
    let tree = node.start();
    let mut archive = node.checkpoint(&tree);
    drop(tree);
    host.run("ip", &[&"netns", &"delete", &node.first.name()]);
    let second = make_pod(&host, "cni-second");
    node.fail_to_restore(&mut archive, &second);
    node.assert_not_known(&archive.path, &second);
    node.assert_removes_named(&archive.path, &second);
}

/// The dump locked the container's own pod, which the bundle's configuration ties; a restore by hand another one.
fn from_a_bundle(criu: &Criu) {
    for restored in [false, true] {
        let host = TestHost::new();
        let node = Node::new(criu, &host);
        let bundle = host.dir().with_file_name("bundle");
        let dump = node.dump(&node.start(), &bundle.join("checkpoint"), FinalState::Dead);
        fs::write(bundle.join("config.json"), spec("container", "/run/netns/cni-first")).expect("a configuration");
        assert!(!node.is_open(&node.first), "void: the namespace is open");
        let other = if restored { make_pod(&host, "cni-second") } else { node.lock_another() };
        if restored {
            node.remove_last_link();
            node.fail_to_restore_in(&dump, &other);
        }
        let tool = Tool::new(&host, &bundle);
        let removed = tool.run(&[]);
        assert!(node.is_open(&node.first) && !node.is_open(&other), "{removed}");
        assert_eq!(removed.code(), i32::from(restored), "{removed}");
        match restored {
            true => node.assert_not_known(&bundle, &other),
            false => tool.assert_finds_nothing(),
        }
    }
}

fn same_pod(criu: &Criu) {
    let host = TestHost::new();
    let node = Node::new(criu, &host);
    node.keep_sandbox();
    let archive = node.fail_to_restore_in_own_pod();
    let tool = Tool::new(&host, &archive.path);
    let shown = tool.show();
    let tied = ", named by the container's configuration; to be removed)";
    assert_eq!(shown.iter().filter(|line| line.ends_with(tied)).count(), 2, "{shown:#?}");
    let removed = tool.run(&[]);
    assert!(removed.code() == 0 && node.is_open(&node.first), "{removed}");
    tool.assert_finds_nothing();
}

/// Neither the archive of another user nor a directory that others can write ties the pod; a note tells the option.
fn words_of_others(criu: &Criu) {
    for (is_of_archive, reason) in [(true, "foreign-images"), (false, "untied-namespace")] {
        let host = TestHost::new();
        let node = Node::new(criu, &host);
        let config = node.keep_sandbox();
        let archive = node.fail_to_restore_in_own_pod();
        match is_of_archive {
            true => chown(&archive.path, Some(1000), None).expect("an owner"),
            false => fs::set_permissions(config, fs::Permissions::from_mode(0o666)).expect("a mode"),
        }
        let tool = Tool::new(&host, &archive.path);
        tool.assert_keeps_everything(reason);
        let shown = tool.show();
        let option = "if this is expected, add --netns /var/run/netns/cni-first";
        assert!(shown.iter().any(|line| line.ends_with(option)), "{shown:#?}");
        assert!(!node.is_open(&node.first), "{shown:#?}");
    }
}

/// The lock in it need not be of a restore from these images.
fn younger_pod(criu: &Criu) {
    let host = TestHost::new();
    let node = Node::new(criu, &host);
    node.keep_sandbox();
    let archive = node.checkpoint(&node.start());
    // The times in the archive are whole seconds.
    sleep(Duration::from_millis(1100));
    let name = node.first.name();
    host.run("ip", &[&"netns", &"delete", &name]);
    let other = node.lock_another();
    host.run("sh", &[&"-c", &"touch /run/netns/$1; mount --bind $0 /run/netns/$1", &other.path(), &name]);
    host.run("ip", &[&"netns", &"delete", &other.name()]);
    let told = Tool::new(&host, &archive.path).run(&[]);
    assert!(told.stdout.contains("but that name now refers to a namespace newer than the images"), "{told}");
    assert!(!node.is_open(&node.first), "{told}");
}

/// As on a node where another container is locked, which its own checkpoint may still restore.
fn unread(criu: &Criu) {
    let host = TestHost::new();
    let node = Node::new(criu, &host);
    let tree = node.start();
    let archive = node.checkpoint(&tree);
    let other = node.lock_another();
    let tool = Tool::new(&host, &archive.path);
    for _ in 0..2 {
        let shown = tool.show();
        let note = format!("Note: {} has a chain CRIU, and nothing ties it to this ", other.path().display());
        assert!(shown.iter().any(|line| line.starts_with(&note)), "{shown:#?}");
        tool.assert_finds_nothing();
    }
    assert!(!node.is_open(&other), "the other container's lock was removed");
}

/// A copy, for example: others may have read the original.
fn later(criu: &Criu) {
    let host = TestHost::new();
    let node = Node::new(criu, &host);
    let tree = node.start();
    let archive = node.checkpoint_with(&tree, &["--mtime=1 minute ago"]);
    node.assert_not_known(&archive.path, &node.lock_another());
}
