// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Programs of engines that the machine does not have, and where engines keep their state: the host's own.

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};

use super::Engines;
use crate::artifacts::Artifacts;
use crate::command::{CommandExt, wait_until};
use crate::host;

/// Lays the packages over the host's programs and configuration, and gives it a `/var/lib` and a `/etc` that can be written
/// to. The machine keeps its own. The store of records, which is mounted below `/var/lib`, stays.
const LAY_OVER: &str = r#"
tree=$1 own=$2
mkdir -p "$own/etc" "$own/etc-work" "$own/lib" "$own/lib-work"
mount -t overlay -o "lowerdir=$tree/usr:/usr" testkit /usr
mount -t overlay -o "lowerdir=$tree/etc:/etc,upperdir=$own/etc,workdir=$own/etc-work" testkit /etc
mkdir /run/records
mount --move /var/lib/criu-gc /run/records
mount -t overlay -o "lowerdir=/var/lib,upperdir=$own/lib,workdir=$own/lib-work" testkit /var/lib
mount --move /run/records /var/lib/criu-gc
rmdir /run/records
"#;

/// What CRIU reads for runc, whoever called that, and for what calls CRIU itself.
const CONFIGURED: &str = "mkdir -p /etc/criu; for name in runc crun default; do ln -sfn $1 /etc/criu/$name.conf; done";

/// A daemon that runs until its host ends.
#[derive(Debug)]
pub(super) struct Daemon {
    child: Child,
    log: std::path::PathBuf,
}

impl Engines<'_> {
    /// Gives the host programs of the engines' packages, and directories on a disk where these engines keep what they have.
    pub(super) fn set_up(&self, stores: &[&str]) {
        if host::root_tree().is_none() {
            let own = self.host.unused_path("packages");
            fs::create_dir(&own).expect("a new directory");
            let tree = Artifacts::of_workspace().engines().join("tree");
            assert!(tree.exists(), "{} is missing: run `cargo xtask setup`", tree.display());
            self.host.run("sh", &[&"-ec", &LAY_OVER, &"testkit", &tree, &own]);
        }
        self.host.run("sh", &[&"-ec", &CONFIGURED, &"testkit", &self.configuration]);
        for store in stores {
            let place = self.host.unused_path("store");
            fs::create_dir(&place).expect("a new directory");
            self.host.run("mkdir", &[&"-p", store]);
            self.host.run("mount", &[&"--bind", &place, store]);
        }
    }

    /// Starts a daemon, and waits until it answers to this.
    pub(super) fn start_daemon(&self, program: &str, options: &[&str], question: &[&str]) -> Daemon {
        let log = self.host.unused_path("log");
        let file = fs::File::create_new(&log).expect("a new file");
        let mut command = self.command(program);
        command.args(options).stdin(Stdio::null());
        command.stdout(file.try_clone().expect("a file")).stderr(file);
        let mut daemon = Daemon { child: command.spawn().expect("nsenter"), log };
        let answers = wait_until(|| {
            assert!(daemon.runs(), "{program} has ended: {}", daemon.log());
            let (asked, words) = question.split_first().expect("a program");
            self.command(asked).args(words).finish().status.success().then_some(())
        });
        assert!(answers.is_some(), "{program} does not answer: {}", daemon.log());
        daemon
    }

    /// Makes a tar archive of a root directory with the workload.
    pub(super) fn root_archive(&self) -> std::path::PathBuf {
        let archive = self.host.unused_path("image.tar");
        self.host.run("tar", &[&"-C", &self.root_directory(), &"-cf", &archive, &"."]);
        archive
    }
}

impl Daemon {
    fn runs(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_none())
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

/// An image of one layer, in the format of `docker save`, from the archive of a root directory.
pub(super) fn image_archive(engines: &Engines<'_>, name: &str) -> std::path::PathBuf {
    let layer = engines.root_archive();
    let sum = engines.host.run("sha256sum", &[&layer]).stdout;
    let digest = sum.split_whitespace().next().expect("a sum");
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux", "config": { "Cmd": ["/workload", "listen", "127.0.0.1:9"] },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{digest}")] },
    });
    let manifest = serde_json::json!([{ "Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"] }]);
    let directory = engines.host.unused_path("image");
    fs::create_dir(&directory).expect("a new directory");
    let place = |name: &str| -> std::path::PathBuf { Path::new(&directory).join(name) };
    fs::rename(layer, place("layer.tar")).expect("a new directory");
    fs::write(place("config.json"), config.to_string()).expect("a new file");
    fs::write(place("manifest.json"), manifest.to_string()).expect("a new file");
    let archive = engines.host.unused_path("image.tar");
    engines.host.run("tar", &[&"-C", &directory, &"-cf", &archive, &"."]);
    archive
}
