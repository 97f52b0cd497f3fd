// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Containers in pods of a real containerd, with the calls that the kubelet makes: a checkpoint leaves nothing, and a restore
//! that fails leaves its pod without network.

use std::fs;
use std::path::{Path, PathBuf};

use testkit::{Cri, Criu, Engines, IptablesFlavour, LockMethod, Specification, TestHost, Word};

use crate::case::{Case, Cases};
use crate::tool::Tool;
use crate::traffic::Net;

inventory::submit!(Cases::with_client_of_cri(&[
    Case { name: "real CRI: a checkpoint by the kubelet's call leaves nothing", test: checkpoint },
    Case { name: "real CRI: after a failed restore in the pod its network is free again", test: failed },
    Case {
        name: "real CRI: after a failed restore and beside the next attempt the network is free again",
        test: fallback
    },
]));

const FLAVOUR: IptablesFlavour = IptablesFlavour::Nft;

/// A pod with a container that has been checkpointed.
struct Scene<'a> {
    host: &'a TestHost,
    cri: Cri<'a>,
    pod: String,
    network: PathBuf,
    job: Specification,
    container: String,
    archive: PathBuf,
}

fn with_scene(criu: &Criu, lock: LockMethod, test: impl FnOnce(Scene<'_>)) {
    let host = TestHost::new();
    let engines = Engines::new(&host, criu, lock, FLAVOUR);
    let cri = engines.start_cri();
    let (pod, network) = cri.start_pod("pod");
    let volume = host.dir().join("volume");
    fs::create_dir(&volume).expect("a new directory");
    let words: [Word<'_>; 8] = [
        &"remove-old",
        &"/data/one.keep",
        &"deleted",
        &"/data/one",
        &"deleted",
        &"/tmp/two",
        &"listen-connect",
        &"127.0.0.1:0",
    ];
    let job = Specification::new(&host.make_net_namespace("none"), &volume, &words);
    let container = cri.start(&pod, "job", 0, &job);
    let archive = PathBuf::from("/var/lib/kubelet/checkpoints/checkpoint-pod_default-job-2026-11-27T14:45:00Z.tar");
    cri.checkpoint(&container, &archive);
    test(Scene { host: &host, cri, pod, network, job, container, archive });
}

impl Scene<'_> {
    fn is_open(&self) -> bool {
        Net::at(self.host, &self.network).lets_packets_pass()
    }

    fn tool(&self) -> Tool<'_> {
        Tool::new(self.host, &self.archive)
    }

    /// CRIU took the links away when it let the container run on.
    fn fail_to_restore(&self) {
        self.cri.remove(&self.container);
        let failed = self.cri.restore(&self.pod, "job", &self.archive, &self.job);
        assert_ne!(failed.code(), 0, "void: {failed}");
        assert!(!self.is_open(), "void: the restore locked nothing: {failed}");
    }

    fn assert_freed(&self) {
        let removed = self.tool().run(&[]);
        assert!(removed.code() == 0 && self.is_open(), "{removed}");
        assert!(!removed.stdout.contains("was restored from these images"), "{removed}");
        self.tool().assert_finds_nothing();
    }
}

const LOCKS: [LockMethod; 2] = [LockMethod::Iptables, LockMethod::Nftables];

fn checkpoint(criu: &Criu) {
    with_scene(criu, LockMethod::Iptables, |scene| {
        assert!(scene.is_open(), "void: the network is locked");
        let shown = scene.tool().show();
        assert!(shown[0].contains("container job (") && shown[0].contains("pod pod ("), "{shown:#?}");
        scene.tool().assert_finds_nothing();
    });
}

fn failed(criu: &Criu) {
    for lock in LOCKS {
        with_scene(criu, lock, |scene| {
            scene.fail_to_restore();
            scene.assert_freed();
        });
    }
}

/// The kubelet starts the container anew, with the next attempt's number.
fn fallback(criu: &Criu) {
    for lock in LOCKS {
        with_scene(criu, lock, |scene| {
            scene.fail_to_restore();
            // In the locked network it connects to nobody.
            let words: [Word<'_>; 4] = [&"remove-old", &"/data/one.keep", &"deleted", &"/data/one"];
            let again = Specification::new(&scene.host.make_net_namespace("nothing"), &volume_of(&scene), &words);
            scene.cri.start(&scene.pod, "job", 2, &again);
            scene.assert_freed();
        });
    }
}

fn volume_of(scene: &Scene<'_>) -> PathBuf {
    scene.host.dir().join(Path::new("volume"))
}
