// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Checkpoints in a container's directory as Docker 28 lays it out: it unpacks the images, with times in whole seconds, and
//! keeps no log of a restore, but notes in `config.v2.json` that it failed.

use std::fs;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use serde_json::json;
use testkit::{Criu, DumpResult, FinalState, TestHost};

use crate::case::{Case, Cases};
use crate::cri::Node;
use crate::tool::Tool;

inventory::submit!(Cases::with_each_criu(&[
    Case { name: "Docker: what a failed start from a checkpoint changed is removed", test: failed_restore },
    Case { name: "Docker: after a start that may have succeeded what changed is kept", test: perhaps_restored },
    Case { name: "Docker: an error of another kind shows no failed restore", test: other_error },
]));

const RESTORE_FAILED: &str = "OCI runtime restore failed: criu failed: type RESTORE errno 0";

/// A container of Docker in a pod, dumped, and restored in vain.
struct Docker<'a> {
    host: &'a TestHost,
    node: Node<'a>,
    directory: PathBuf,
    before: SystemTime,
}

impl<'a> Docker<'a> {
    fn new(criu: &'a Criu, host: &'a TestHost) -> Self {
        let node = Node::new(criu, host);
        let directory = host.dir().join("containers").join("9b051c27".repeat(8));
        fs::create_dir_all(directory.join("checkpoints/cp")).expect("a new directory");
        let before = SystemTime::now();
        let mut dump = node.dump(&node.start(), &host.dir().with_file_name("work"), FinalState::Dead);
        let docker = Docker { host, node, directory, before };
        docker.unpack(&mut dump, docker.directory.join("checkpoints/cp"));
        docker.node.remove_last_link();
        // What happens in the second of the dump is not later than it.
        sleep(Duration::from_millis(1100));
        // Docker carries the images to containerd, which restores from its own copy.
        docker.unpack(&mut dump, host.dir().with_file_name("copy"));
        docker.node.fail_to_restore_in(&dump, &docker.node.first);
        docker
    }

    /// As the engine's tar does: the times are those of the archive, in whole seconds, also that of the access.
    fn unpack(&self, dump: &mut DumpResult, to: PathBuf) {
        let script = "mkdir -p $1; tar -C $0 -cf - . | tar -C $1 -xf -; for i in $1/*; do touch -a -d @$(stat -c %Y $i) $i; done";
        self.host.run("sh", &[&"-ec", &script, &dump.images, &to]);
        dump.images = to;
    }

    fn note(&self, error: &str, started: SystemTime) -> Tool<'a> {
        let started = humantime::format_rfc3339_nanos(started).to_string();
        let config = json!({
            "ID": "9b051c27".repeat(8),
            "State": { "Error": error, "StartedAt": started },
            "NetworkSettings": { "SandboxKey": "/var/run/netns/cni-first" },
        });
        fs::write(self.directory.join("config.v2.json"), config.to_string()).expect("a configuration");
        Tool::new(self.host, &self.directory)
    }
}

fn failed_restore(criu: &Criu) {
    let host = TestHost::new();
    let docker = Docker::new(criu, &host);
    let tool = docker.note(RESTORE_FAILED, docker.before);
    let shown = tool.show();
    let note = "Note: config.v2.json shows that a restore failed, so what it changed does not count as a newer dump's";
    assert!(shown.iter().any(|line| line == note), "{shown:#?}");
    assert_eq!(shown.iter().filter(|line| line.contains(", 4 jumps, ")).count(), 2, "void: {shown:#?}");
    let removed = tool.run(&[]);
    assert!(removed.code() == 0 && docker.node.is_open(&docker.node.first), "{removed}");
    tool.assert_finds_nothing();
}

/// A newer dump may have been made then.
fn perhaps_restored(criu: &Criu) {
    let host = TestHost::new();
    let docker = Docker::new(criu, &host);
    docker.note(RESTORE_FAILED, SystemTime::now()).assert_keeps_everything("changed-since");
}

fn other_error(criu: &Criu) {
    let host = TestHost::new();
    let docker = Docker::new(criu, &host);
    for error in ["", "error while creating mount source path"] {
        docker.note(error, docker.before).assert_keeps_everything("changed-since");
    }
}
