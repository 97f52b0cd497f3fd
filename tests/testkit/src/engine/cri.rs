// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Pods of containerd's CRI service, by the calls that the kubelet makes.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use super::packages::{Daemon, image_archive};
use super::{Engines, Specification};
use crate::artifacts::CRI;
use crate::command::{CommandExt, Finished};

/// Where containerd keeps all that it has.
const STORE: &str = "/var/lib/containerd";

/// The image of pods, which stay without a registry.
const PAUSE: &str = "docker.io/library/pause:1";

/// The image of containers. A restore fetches it again, so there is a registry: a server of files, which tells the type of a
/// manifest by the end of its name; what is asked for by its digest is a directory with an index.
const IMAGE: &str = "127.0.0.1:5000/workload:v1.json";

const TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

/// A bridge for the pods, and containerd's configuration.
const SET_UP: &str = r#"
mkdir -p /etc/cni/net.d /etc/containerd/certs.d/127.0.0.1:5000 /var/lib/kubelet/checkpoints
cat > /etc/cni/net.d/10-bridge.conflist <<'END'
{"cniVersion": "1.0.0", "name": "bridge", "plugins": [
 {"type": "bridge", "bridge": "cni0", "isGateway": true,
  "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.88.7.0/24"}]]}},
 {"type": "loopback"}]}
END
cat > /etc/containerd/certs.d/127.0.0.1:5000/hosts.toml <<'END'
server = "http://127.0.0.1:5000"
[host."http://127.0.0.1:5000"]
END
cat > /etc/containerd/config.toml <<'END'
version = 3
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = 'docker.io/library/pause:1'
[plugins.'io.containerd.cri.v1.images'.registry]
  config_path = '/etc/containerd/certs.d'
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
  disable_cgroup = true
  [plugins.'io.containerd.cri.v1.runtime'.cni]
    bin_dirs = ['/usr/lib/cni']
    conf_dir = '/etc/cni/net.d'
END
"#;

/// Machines of tests may lack the controllers of these limits.
const RUNC: &str = r#"#!/bin/sh
previous=
for word; do
    if [ "$previous" = --bundle ] && [ -e "$word/config.json" ]; then
        jq -c 'del(.linux.resources.cpu, .linux.resources.memory, .linux.resources.pids)' "$word/config.json" > "$word/new"
        cat "$word/new" > "$word/config.json"
        rm "$word/new"
    fi
    previous=$word
done
exec /usr/sbin/runc "$@"
"#;

/// containerd's CRI service, in a host.
#[derive(Debug)]
pub struct Cri<'a> {
    engines: &'a Engines<'a>,
    _daemon: Daemon,
}

impl Engines<'_> {
    /// Starts containerd for pods, a registry, and what they need.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start_cri(&self) -> Cri<'_> {
        self.configure("tcp-established");
        self.set_up(&[STORE]);
        self.host.run("sh", &[&"-ec", &SET_UP]);
        self.start_registry();
        let programs = self.host.unused_path("programs");
        fs::create_dir(&programs).expect("a new directory");
        let runc = programs.join("runc");
        fs::write(&runc, RUNC).expect("a new file");
        fs::set_permissions(&runc, fs::Permissions::from_mode(0o755)).expect("a mode");
        let mut path = OsString::from("PATH=");
        for part in [programs.as_os_str(), ":".as_ref(), &self.search_path] {
            path.push(part);
        }
        let path = path.into_string().expect("UTF-8");
        let daemon = self.start_daemon("/usr/bin/env", &[&path, "/usr/bin/containerd"], &["ctr", "version"]);
        let cri = Cri { engines: self, _daemon: daemon };
        cri.ctr(&["images", "import"]).arg(image_archive(self, PAUSE)).succeed();
        cri.call(&["pull", IMAGE]).succeed();
        cri
    }

    fn start_registry(&self) {
        let directory = self.host.unused_path("registry");
        let [manifests, blobs] = ["manifests", "blobs"].map(|name| directory.join("v2/workload").join(name));
        for part in [&manifests, &blobs] {
            fs::create_dir_all(part).expect("a new directory");
        }
        fs::write(directory.join("v2/index.html"), "{}").expect("a new file");
        let put = |file: &Path| {
            let sum = self.host.run("sha256sum", &[&file]).stdout;
            let digest = format!("sha256:{}", sum.split_whitespace().next().expect("a sum"));
            self.host.run("cp", &[&file, &blobs.join(&digest)]);
            (digest, fs::metadata(file).expect("a file").len())
        };
        let (layer, size) = put(&self.root_archive());
        let config = json!({
            "architecture": "amd64", "os": "linux", "config": {},
            "rootfs": { "type": "layers", "diff_ids": [layer] },
        });
        let file = directory.join("config");
        fs::write(&file, config.to_string()).expect("a new file");
        let (config, length) = put(&file);
        let manifest = json!({
            "schemaVersion": 2, "mediaType": TYPE,
            "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": length },
            "layers": [{ "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer, "size": size }],
        });
        let file = manifests.join("v1.json");
        fs::write(&file, manifest.to_string()).expect("a new file");
        let (digest, _) = put(&file);
        fs::create_dir(manifests.join(&digest)).expect("a new directory");
        self.host.run("cp", &[&file, &manifests.join(digest).join("index.html")]);
        let types = directory.join("types");
        fs::write(&types, format!(".json:{TYPE}\n.html:{TYPE}\n")).expect("a new file");
        self.host.run("busybox", &[&"httpd", &"-p", &"127.0.0.1:5000", &"-h", &directory, &"-c", &types]);
    }
}

impl Cri<'_> {
    /// Starts a pod. Returns its id and the path of its network namespace.
    ///
    /// # Panics
    /// If it does not start.
    #[track_caller]
    pub fn start_pod(&self, name: &str) -> (String, PathBuf) {
        let id = self.call(&["pod", name]).succeed().stdout.trim().to_owned();
        let path = self.call(&["netns", &id]).succeed().stdout;
        // `/var/run` is a link, which leads elsewhere from outside of the host.
        let path = Path::new("/run").join(Path::new(path.trim()).strip_prefix("/var/run").expect("a path in /var/run"));
        (id, path)
    }

    /// Starts a container in the pod and waits until it is ready. Returns its id.
    ///
    /// # Panics
    /// If it does not start.
    #[track_caller]
    pub fn start(&self, pod: &str, name: &str, attempt: u32, specification: &Specification) -> String {
        let id = self.create(pod, name, attempt, IMAGE, specification);
        self.call(&["start", &id]).succeed();
        specification.await_ready(name);
        id
    }

    /// Restores a container in the pod from an archive, or tries to.
    ///
    /// # Panics
    /// If not even a container is made.
    #[track_caller]
    pub fn restore(&self, pod: &str, name: &str, archive: &Path, specification: &Specification) -> Finished {
        let id = self.create(pod, name, 1, archive.to_str().expect("UTF-8"), specification);
        self.call(&["start", &id]).finish()
    }

    /// Checkpoints a container, which runs on.
    ///
    /// # Panics
    /// If that fails.
    #[track_caller]
    pub fn checkpoint(&self, container: &str, archive: &Path) {
        self.call(&["checkpoint", container]).arg(archive).succeed();
    }

    /// Ends a container and removes it.
    ///
    /// # Panics
    /// If that fails.
    #[track_caller]
    pub fn remove(&self, container: &str) {
        self.call(&["stop", container]).succeed();
        self.call(&["remove", container]).succeed();
    }

    #[track_caller]
    fn create(&self, pod: &str, name: &str, attempt: u32, image: &str, specification: &Specification) -> String {
        let mut command = self.call(&["create", pod, name, &attempt.to_string(), image]);
        command.arg(&specification.volume).args(specification.arguments(name));
        command.succeed().stdout.trim().to_owned()
    }

    fn call(&self, words: &[&str]) -> Command {
        let client = std::env::var_os(CRI).expect("a client");
        let mut command = self.engines.command(Path::new(&client));
        command.arg("/run/containerd/containerd.sock").args(words);
        command
    }

    fn ctr(&self, words: &[&str]) -> Command {
        let mut command = self.engines.command("/usr/bin/ctr");
        command.args(["--namespace", "k8s.io"]).args(words);
        command
    }
}
