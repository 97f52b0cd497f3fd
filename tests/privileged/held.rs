// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Checkpoints as runtimes hold them: a real dump, laid out by hand as the runtime documents it.
//!
//! What a runtime's metadata says of the network namespace ties it only as this host's own engine's word.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use testkit::{Criu, DumpOptions, IptablesFlavour, Launch, NetNamespace, Network, Snapshot, TestHost};

use crate::case::{Case, Cases};
use crate::filters::make_tables;
use crate::tool::Tool;
use crate::traffic::Net;

inventory::submit!(Cases::with_each_criu(&[
    Case { name: "a bundle's configuration ties the network namespace of the container", test: bundle },
    Case { name: "a bundle that others can write ties nothing", test: strangers_bundle },
    Case { name: "a namespace that got its name after the dump is not tied by it", test: made_anew },
    Case {
        name: "where a configuration names an open namespace, the chain of another is not listed",
        test: wrong_namespace
    },
    Case { name: "podman's container is found by its directory", test: podman },
]));

/// A host with a pod's network namespace, in which a tree with a deleted file was dumped.
pub(crate) struct Pod<'a> {
    pub(crate) host: &'a TestHost,
    namespace: NetNamespace,
    pub(crate) before: Snapshot,
}

impl<'a> Pod<'a> {
    /// Dumps into `images`, below a directory of the runtime's.
    pub(crate) fn dump(criu: &Criu, host: &'a TestHost, images: &str) -> Self {
        let namespace = host.make_net_namespace("blue");
        make_tables(host, None, IptablesFlavour::Nft);
        make_tables(host, Some(&namespace.path()), IptablesFlavour::Nft);
        let launch = Launch::new(&[&"listen-connect", &"127.0.0.1:0", &"deleted", &host.dir().join("data")]);
        let tree = launch.network(Network::Named(namespace.clone())).start(host);
        let before = Tool::new(host, Path::new("/")).snapshot();
        let images = Self::place(host, images);
        fs::create_dir_all(images.parent().expect("a directory of the runtime's")).expect("it");
        let inode = host.path(namespace.path()).metadata().expect("a namespace").ino();
        // As engines do with every namespace that is not the container's own.
        let extra = vec!["--external".into(), format!("net[{inode}]:extRootNetNS").into()];
        criu.dump(host, &tree, &images, &DumpOptions { extra, ..DumpOptions::default() });
        assert!(!Net::at(host, &namespace.path()).lets_packets_pass(), "void: the namespace is open");
        Pod { host, namespace, before }
    }

    /// A place outside of what snapshots are taken of.
    fn place(host: &TestHost, relative: &str) -> PathBuf {
        host.dir().with_file_name("held").join(relative)
    }

    /// Writes a file of the runtime's.
    pub(crate) fn write(&self, relative: &str, content: &str) {
        let path = Self::place(self.host, relative);
        fs::write(&path, content).expect("a file of the runtime's");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("its mode");
    }

    /// A configuration with this network namespace.
    pub(crate) fn config(namespace: &Path) -> String {
        let namespaces = serde_json::json!([{ "type": "mount" }, { "type": "network", "path": namespace }]);
        let linux = serde_json::json!({ "namespaces": namespaces });
        serde_json::json!({ "ociVersion": "1.0.2", "root": { "path": "rootfs" }, "linux": linux }).to_string()
    }

    pub(crate) fn tool(&self, named: &str) -> Tool<'a> {
        Tool::new(self.host, &Self::place(self.host, named))
    }

    pub(crate) fn lets_packets_pass(&self) -> bool {
        Net::at(self.host, &self.namespace.path()).lets_packets_pass()
    }

    /// Everything goes, and those that live in the namespace can talk again.
    fn assert_removed_by(&self, named: &str, layout: &str) {
        let lines = self.tool(named).assert_removes_everything_since(&self.before);
        let (header, time) = lines[0].split_once(", 2").unwrap_or((&lines[0], ""));
        assert_eq!(header, format!("Layout: {layout}"));
        assert_eq!(time.ends_with('Z'), layout.contains(": "), "{lines:#?}");
        let is_tied = |line: &&String| line.contains(", named by the container's configuration; to be removed)");
        assert_eq!(lines.iter().filter(is_tied).count(), 2, "{lines:#?}");
        assert!(self.lets_packets_pass());
    }

    /// The link remap goes; the chains stay, because nothing ties the namespace.
    fn assert_stays_closed(&self, named: &str, chain: &str, status: i32) -> Vec<String> {
        let tool = self.tool(named);
        let lines = tool.show();
        let chains: Vec<&String> = lines.iter().filter(|line| line.starts_with("Network lock chain: ")).collect();
        assert!(!chains.is_empty() && chains.iter().all(|line| line.contains(chain)), "{lines:#?}");
        let removed = tool.run(&[]);
        assert_eq!(removed.code(), status, "{removed}");
        assert!(!self.lets_packets_pass());
        lines
    }
}

fn bundle(criu: &Criu) {
    for named in ["bundle", "bundle/checkpoint"] {
        let host = TestHost::new();
        let pod = Pod::dump(criu, &host, "bundle/checkpoint");
        pod.write("bundle/config.json", &Pod::config("/run/netns/blue".as_ref()));
        pod.assert_removed_by(named, "OCI runtime bundle");
    }
}

fn strangers_bundle(criu: &Criu) {
    let host = TestHost::new();
    let pod = Pod::dump(criu, &host, "bundle/checkpoint");
    pod.write("bundle/config.json", &Pod::config("/run/netns/blue".as_ref()));
    let bundle = Pod::place(&host, "bundle");
    fs::set_permissions(&bundle, fs::Permissions::from_mode(0o777)).expect("its mode");
    let lines = pod.assert_stays_closed("bundle", "; kept: untied-namespace)", 1);
    let note = "if this is expected, add --netns /run/netns/blue";
    assert!(lines.iter().any(|line| line.starts_with("Note: config.json ") && line.ends_with(note)), "{lines:#?}");
    let removed = pod.tool("bundle").option("--netns", "/run/netns/blue").run(&[]);
    assert_eq!(removed.code(), 0, "{removed}");
    assert!(pod.lets_packets_pass());
}

/// The name leads to a namespace that is closed too, but it has had this name only since after the dump: the lock in it
/// need not be this dump's.
fn made_anew(criu: &Criu) {
    let host = TestHost::new();
    let pod = Pod::dump(criu, &host, "bundle/checkpoint");
    pod.write("bundle/config.json", &Pod::config("/run/netns/blue".as_ref()));
    // Nothing but a process keeps the namespace while it has no name.
    let script = "nsenter --net=/run/netns/blue sleep infinity & inode=$(stat -Lc %i /run/netns/blue); \
        until [ $(stat -Lc %i /proc/$!/ns/net) = $inode ]; do :; done; \
        umount /run/netns/blue && mount --bind /proc/$!/ns/net /run/netns/blue";
    host.run("sh", &[&"-c", &script]);
    let lines = pod.assert_stays_closed("bundle", "(not known: nothing tells which network namespace it is in", 1);
    assert!(lines.iter().any(|line| line.starts_with("Note: config.json ") && line.ends_with("newer than the images")));
}

fn wrong_namespace(criu: &Criu) {
    let host = TestHost::new();
    let red = host.make_net_namespace("red").path();
    let pod = Pod::dump(criu, &host, "bundle/checkpoint");
    pod.write("bundle/config.json", &Pod::config(&red));
    let lines = pod.assert_stays_closed("bundle", "CRIU (gone)", 0);
    let note = "Note: /run/netns/blue has a chain CRIU, and nothing ties it to this checkpoint; --netns PATH would";
    assert!(lines.iter().any(|line| line == note), "{lines:#?}");
}

fn podman(criu: &Criu) {
    for named in ["ID", "ID/userdata", "ID/userdata/checkpoint"] {
        let host = TestHost::new();
        let pod = Pod::dump(criu, &host, "ID/userdata/checkpoint");
        pod.write("ID/userdata/config.json", &Pod::config("/run/netns/blue".as_ref()));
        pod.write("ID/userdata/config.dump", r#"{"id": "0123456789abcdef", "name": "web", "networkMode": "bridge"}"#);
        pod.assert_removed_by(named, "podman container: container web (0123456789ab), podman");
    }
}
