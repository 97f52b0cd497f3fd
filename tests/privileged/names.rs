// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Containers by the names that their engines give them, and pods: real dumps, laid out as the engines lay them out.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::json;
use testkit::{CommandExt, Criu, DumpOptions, Finished, TestHost};

use crate::case::{Case, Cases};
use crate::index::{beside, make_own, start};
use crate::places::link_in;
use crate::tool::{Tool, binary};

inventory::submit!(Cases::with_newest_criu(&[
    Case { name: "a container of Docker's is found by its name and id", test: docker },
    Case { name: "a container of Docker's is found in the data root that daemon.json names", test: data_root },
    Case { name: "the name of a container of Docker's in a file that others can write is not believed", test: foreign },
    Case { name: "a container of LXC's is found by its name, and what it wrote itself is not read", test: lxc },
    Case { name: "an instance of Incus is found by its name and project", test: incus },
    Case { name: "a container of runc's that still has a state is found by its id", test: runc },
    Case { name: "the archives of the kubelet are found by the pod, and by the id of the container", test: kubelet },
    Case { name: "what a failed restore by containerd unpacked is found by the id of crictl", test: failed_restore },
    Case { name: "a pod's checkpoint by CRI-O is found by its directory and by the pod", test: pod_of_crio },
    Case { name: "a pod's checkpoint by containerd is found by its directory and by the pod", test: pod_of_containerd },
    Case { name: "a name that is absent or ambiguous is answered with the nearest", test: absent },
    Case { name: "bash completes the name of a container that has a checkpoint", test: completion },
]));

const ID: &str = "9b051c279b051c279b051c279b051c279b051c279b051c279b051c279b051c27";
const OTHER_ID: &str = "9b1f00009b1f00009b1f00009b1f00009b1f00009b1f00009b1f00009b1f0000";

/// A dump that left a link.
struct Left {
    images: PathBuf,
    link: PathBuf,
}

/// A host with its own `/var/lib`.
fn host() -> TestHost {
    let host = TestHost::new();
    make_own(&host, "/var/lib");
    host
}

fn dump(criu: &Criu, host: &TestHost, name: &str) -> Left {
    let tree = start(host, name);
    let images = beside(host, &format!("images-of-{name}"));
    fs::create_dir_all(&images).expect("a directory");
    criu.dump(host, &tree, &images, &DumpOptions::default());
    Left { images, link: link_in(&host.dir().join(name)) }
}

impl Left {
    /// The images go to this directory of the engine's.
    fn lay(&self, host: &TestHost, to: &str) {
        host.run("sh", &[&"-ec", &"mkdir -p $1; cp -a $0/. $1; rm -r $0", &self.images, &to]);
    }

    fn is_there(&self) -> bool {
        self.link.symlink_metadata().is_ok()
    }
}

fn write(host: &TestHost, path: &str, content: &str) {
    let path = host.path(path);
    fs::create_dir_all(path.parent().expect("a directory")).expect("it");
    fs::write(path, content).expect("a file");
}

fn tool<'a>(host: &'a TestHost, name: &str) -> Tool<'a> {
    Tool::new(host, Path::new(name))
}

/// Each name shows the same, which begins so; one of them removes it.
fn assert_found(host: &TestHost, left: &Left, header: &str, names: &[&str]) {
    let first = tool(host, names[0]).show();
    assert!(first[0].starts_with(header), "{first:#?}");
    assert!(first.iter().any(|line| line.ends_with("; to be removed)")), "{first:#?}");
    for name in names {
        assert_eq!(tool(host, name).show(), first, "{name}");
    }
    let removed = tool(host, names[names.len() - 1]).run(&[]);
    assert!(removed.code() == 0 && !left.is_there(), "{removed}");
    tool(host, names[0]).assert_finds_nothing();
}

#[track_caller]
fn assert_refused(run: &Finished, words: &[&str]) {
    assert_eq!(run.code(), 2, "{run}");
    for word in words {
        assert!(run.stderr.contains(word), "{word}: {run}");
    }
}

fn add_docker(host: &TestHost, left: &Left, root: &str, id: &str, name: &str) {
    let container = format!("{root}/containers/{id}");
    left.lay(host, &format!("{container}/checkpoints/cp"));
    let config = json!({ "ID": id, "Name": format!("/{name}"), "Config": { "Image": "busybox" } });
    write(host, &format!("{container}/config.v2.json"), &config.to_string());
}

fn docker(criu: &Criu) {
    for root in ["/var/lib/docker", "/var/lib/docker/100000.100000"] {
        let host = host();
        let left = dump(criu, &host, "one");
        add_docker(&host, &left, root, ID, "job");
        write(&host, &format!("{root}/containers/{OTHER_ID}/config.v2.json"), r#"{"Name":"/other"}"#);
        let none = tool(&host, "docker:other").run(&[]);
        assert_refused(&none, &["docker:other has no checkpoint", "--checkpoint-dir"]);
        let header = "Layout: Docker container: container job (9b051c279b05), image busybox, Docker, 20";
        let by_id = format!("docker:{ID}");
        assert_found(&host, &left, header, &["docker:job", &by_id, "docker:9b05"]);
    }
}

fn data_root(criu: &Criu) {
    let host = host();
    let left = dump(criu, &host, "one");
    make_own(&host, "/etc");
    write(&host, "/etc/docker/daemon.json", r#"{"data-root":"/var/lib/elsewhere"}"#);
    add_docker(&host, &left, "/var/lib/elsewhere", ID, "job");
    assert_found(&host, &left, "Layout: Docker container: container job", &["docker:job"]);
}

fn foreign(criu: &Criu) {
    let host = host();
    let left = dump(criu, &host, "one");
    add_docker(&host, &left, "/var/lib/docker", ID, "job");
    let config = host.path(format!("/var/lib/docker/containers/{ID}/config.v2.json"));
    fs::set_permissions(&config, fs::Permissions::from_mode(0o666)).expect("a mode");
    assert_refused(&tool(&host, "docker:job").run(&[]), &["Docker has no container job", ID]);
    assert!(left.is_there());
    assert_found(&host, &left, "Layout: Docker container", &[&format!("docker:{ID}")]);
}

fn lxc(criu: &Criu) {
    let host = host();
    let (left, own) = (dump(criu, &host, "one"), dump(criu, &host, "two"));
    write(&host, "/var/lib/lxc/c1/config", "lxc.rootfs.path = dir:/var/lib/lxc/c1/rootfs\n");
    own.lay(&host, "/var/lib/lxc/c1/rootfs");
    assert_refused(&tool(&host, "lxc:c1").run(&[]), &["lxc:c1 has no checkpoint", "lxc-checkpoint"]);
    left.lay(&host, "/var/lib/lxc/c1/cp");
    let named = tool(&host, "lxc:c1").run(&[]);
    assert!(named.code() == 0 && !left.is_there() && own.is_there(), "{named}");
    // It is one of a dump for whoever names it.
    let named = tool(&host, "/var/lib/lxc/c1/rootfs").run(&[]);
    assert!(named.code() == 0 && !own.is_there(), "{named}");
}

fn incus(criu: &Criu) {
    for (directory, names) in [("i1", &["incus:i1", "incus:default/i1"]), ("p1_i1", &["incus:i1", "incus:p1/i1"])] {
        let host = host();
        let left = dump(criu, &host, "one");
        let instance = format!("/var/lib/incus/storage-pools/default/containers/{directory}");
        left.lay(&host, &format!("{instance}/state"));
        fs::create_dir(host.path(format!("{instance}/rootfs"))).expect("a directory");
        assert_found(&host, &left, "Layout: Incus or LXD instance: container i1, 20", names);
    }
}

fn runc(criu: &Criu) {
    let host = host();
    let left = dump(criu, &host, "one");
    let bundle = beside(&host, "bundle");
    left.lay(&host, bundle.join("checkpoint").to_str().expect("a path"));
    write(&host, bundle.join("config.json").to_str().expect("a path"), r#"{"ociVersion":"1.0.2"}"#);
    assert_refused(&tool(&host, "runc:job").run(&[]), &["runc and crun have no container job", "name its bundle"]);
    let state = json!({ "id": "job", "config": { "labels": [format!("bundle={}", bundle.display())] } });
    write(&host, "/run/runc/job/state.json", &state.to_string());
    assert_found(&host, &left, "Layout: OCI runtime bundle: container job, 20", &["runc:job"]);
}

/// What containerd writes of a container.
fn spec(pod: &str, namespace: &str, container: &str) -> String {
    let annotations = json!({
        "io.kubernetes.cri.container-name": container,
        "io.kubernetes.cri.container-type": "container",
        "io.kubernetes.cri.image-name": "docker.io/library/busybox:1.36",
        "io.kubernetes.cri.sandbox-name": pod,
        "io.kubernetes.cri.sandbox-namespace": namespace,
    });
    json!({ "ociVersion": "1.2.1", "annotations": annotations }).to_string()
}

/// Packs what an engine exports into an archive.
fn export(host: &TestHost, left: &Left, pod: &str, container: &str, archive: &str) {
    let directory = beside(host, "export");
    let place = directory.to_str().expect("a path");
    left.lay(host, &format!("{place}/checkpoint"));
    write(host, &format!("{place}/spec.dump"), &spec(pod, "shop", container));
    write(host, &format!("{place}/config.dump"), &json!({ "id": ID, "name": container }).to_string());
    let script = "mkdir -p \"$(dirname $1)\"; tar --force-local -C $0 -cf $1 .; rm -r $0";
    host.run("sh", &[&"-ec", &script, &directory, &archive]);
}

fn kubelet(criu: &Criu) {
    const STORE: &str = "/var/lib/kubelet/checkpoints";
    let host = host();
    let (left, other) = (dump(criu, &host, "one"), dump(criu, &host, "two"));
    let archive =
        |pod: &str, container: &str| format!("{STORE}/checkpoint-{pod}_shop-{container}-2026-11-27T12:31:31Z.tar");
    export(&host, &left, "web", "job", &archive("web", "job"));
    export(&host, &other, "db", "app", &archive("db", "app"));
    let all = tool(&host, STORE).show();
    assert_eq!(all.iter().filter(|line| line.starts_with("Layout: ")).count(), 2, "{all:#?}");
    assert_refused(&tool(&host, &format!("cri:{ID}x")).run(&[]), &["has no container"]);
    let header = "Layout: exported container in a tar archive: container job (9b051c279b05), pod web, namespace shop, image \
                  docker.io/library/busybox:1.36, containerd, 20";
    let names = ["k8s:web", "k8s:shop/web", "k8s:web/job", "k8s:shop/web/job", &archive("web", "job")];
    assert_found(&host, &left, header, &names);
    assert!(other.is_there());
    // An archive that cannot be read may be of any id, and is in the way of none that is found.
    write(&host, &archive("cut", "short"), "no archive");
    let unread = format!("; {} cannot be read, and may be of it; names ", archive("cut", "short"));
    assert_refused(&tool(&host, &format!("cri:{ID}x")).run(&[]), &["has no container", &unread]);
    // Of the two only this one is left.
    let removed = tool(&host, "cri:9b05").run(&[]);
    assert!(removed.code() == 0 && !other.is_there(), "{removed}");
}

fn failed_restore(criu: &Criu) {
    let host = host();
    let left = dump(criu, &host, "one");
    let container = format!("/var/lib/containerd/io.containerd.grpc.v1.cri/containers/{ID}");
    left.lay(&host, &format!("{container}/ctrd-restore/checkpoint"));
    write(&host, &format!("{container}/status"), "{}");
    let (by_id, short) = (format!("cri:{ID}"), format!("cri:{}", &ID[..13]));
    assert!(tool(&host, &by_id).show().iter().any(|line| line.ends_with("; to be removed)")));
    for name in [&short, &container] {
        assert_eq!(tool(&host, name).show(), tool(&host, &by_id).show(), "{name}");
    }
    let removed = tool(&host, &short).run(&[]);
    assert!(removed.code() == 0 && !left.is_there(), "{removed}");
}

const POD: &str = "/var/lib/kubelet/pod-checkpoints/checkpoint-web_shop-2026-11-27T12:31:31Z";

/// The checkpoint of a pod with two containers, whose archives are made so. All of it is found together.
fn assert_pod_found(criu: &Criu, version: u32, archives: [&str; 2], make: impl Fn(&TestHost, &Left, &str, &str)) {
    let host = host();
    let containers = ["job", "proxy"].map(|name| (name, dump(criu, &host, name)));
    for ((name, left), archive) in containers.iter().zip(archives) {
        make(&host, left, name, &format!("{POD}/{archive}"));
    }
    let entry = |at: usize| json!({ "name": containers[at].0, "id": ID, "archive": archives[at], "config": {} });
    let manifest = json!({ "version": version, "sandboxId": OTHER_ID, "containers": [entry(0), entry(1)] });
    write(&host, &format!("{POD}/checkpoint-manifest.json"), &manifest.to_string());
    let config = json!({ "metadata": { "name": "web", "namespace": "shop", "uid": "u" } });
    write(&host, &format!("{POD}/pod-config.json"), &config.to_string());
    let shown = tool(&host, POD).show();
    for (name, _) in &containers {
        let header = format!("Layout: pod checkpoint in a tar archive: container {name} (");
        assert_eq!(shown.iter().filter(|line| line.starts_with(&header)).count(), 1, "{header}: {shown:#?}");
    }
    assert!(shown.iter().any(|line| line.contains(", pod web (9b1f00009b1f), namespace shop, ")), "{shown:#?}");
    assert_eq!(shown.iter().filter(|line| line.ends_with("; to be removed)")).count(), 2, "{shown:#?}");
    for name in ["k8s:web", "k8s:shop/web", "/var/lib/kubelet/pod-checkpoints"] {
        assert_eq!(tool(&host, name).show(), shown, "{name}");
    }
    let whole = beside(&host, "pod.tar");
    host.run("tar", &[&"-C", &POD, &"-cf", &whole, &"."]);
    let packed = tool(&host, whole.to_str().expect("a path")).show();
    assert_eq!(packed.iter().filter(|line| line.ends_with("; to be removed)")).count(), 2, "{packed:#?}");
    let one = tool(&host, "k8s:shop/web/job").run(&[]);
    assert!(one.code() == 0 && !containers[0].1.is_there() && containers[1].1.is_there(), "{one}");
    let all = tool(&host, POD).run(&[]);
    assert!(all.code() == 0 && !containers[1].1.is_there(), "{all}");
}

fn pod_of_crio(criu: &Criu) {
    let archives = [format!("containers/{}.tar", "1f".repeat(32)), format!("containers/{}.tar", "2f".repeat(32))];
    let make = |host: &TestHost, left: &Left, name: &str, archive: &str| export(host, left, "web", name, archive);
    assert_pod_found(criu, 1, archives.each_ref().map(String::as_str), make);
}

/// containerd exports an image whose only layer is what it exports of a container.
fn pod_of_containerd(criu: &Criu) {
    let make = |host: &TestHost, left: &Left, name: &str, archive: &str| {
        let (layer, manifest) = ("a".repeat(64), "b".repeat(64));
        let image = beside(host, "image");
        let blobs = format!("{}/blobs/sha256", image.display());
        export(host, left, "web", name, &format!("{blobs}/{layer}"));
        let descriptor = |digest: &str, kind: &str| json!({ "mediaType": format!("application/vnd.oci.image.{kind}"), "digest": format!("sha256:{digest}"), "size": 1 });
        let layers = json!({ "schemaVersion": 2, "layers": [descriptor(&layer, "layer.v1.tar")] });
        write(host, &format!("{blobs}/{manifest}"), &layers.to_string());
        let index = json!({ "schemaVersion": 2, "manifests": [descriptor(&manifest, "manifest.v1+json")] });
        write(host, &format!("{}/index.json", image.display()), &index.to_string());
        write(host, &format!("{}/oci-layout", image.display()), r#"{"imageLayoutVersion":"1.0.0"}"#);
        let script = "mkdir -p \"$(dirname $1)\"; tar --force-local -C $0 -cf $1 .; rm -r $0";
        host.run("sh", &[&"-ec", &script, &image, &archive]);
    };
    assert_pod_found(criu, 2, ["job.tar", "proxy.tar"], make);
}

fn absent(criu: &Criu) {
    let host = host();
    let left = dump(criu, &host, "one");
    add_docker(&host, &left, "/var/lib/docker", ID, "job");
    write(&host, &format!("/var/lib/docker/containers/{OTHER_ID}/config.v2.json"), r#"{"Name":"/other"}"#);
    let forms = ["podman:NAME|ID", "k8s:[NAMESPACE/]POD[/CONTAINER]", "ctr:[NAMESPACE/]ID"];
    let nearest = ["Docker has no container jbo", "the nearest are docker:job, docker:other"];
    assert_refused(&tool(&host, "docker:jbo").run(&[]), &[&nearest[..], &forms].concat());
    let both = [format!("docker:{ID}"), format!("docker:{OTHER_ID}")];
    let ambiguous = ["docker:9b is ambiguous", &both[0], &both[1]];
    assert_refused(&tool(&host, "docker:9b").run(&[]), &[&ambiguous[..], &forms].concat());
    assert_refused(&tool(&host, "dcoker:job").run(&[]), &[&["there is no file dcoker:job"][..], &forms].concat());
    assert_refused(&tool(&host, "job").run(&[]), &["there is no file job; did you mean docker:job?"]);
    for engine in ["podman", "cri", "ctr", "lxc", "incus", "runc", "k8s"] {
        assert_refused(&tool(&host, &format!("{engine}:job")).run(&[]), &["job", "docker:NAME|ID"]);
    }
    assert!(left.is_there());
    assert_found(&host, &left, "Layout: Docker container", &["docker:job"]);
}

/// Types into a shell on a terminal, as a person does.
const TYPE: &str = r#"
import os, pty, sys, time, select
pid, terminal = pty.fork()
if pid == 0:
    os.environ.update(PS1="$ ", TERM="dumb", PATH=sys.argv[1] + ":" + os.environ["PATH"], HISTFILE="")
    os.execvp("bash", ["bash", "--norc", "--noprofile", "-i"])
def read(until, seconds=30):
    seen, end = "", time.time() + seconds
    while until not in seen and time.time() < end:
        if select.select([terminal], [], [], 0.2)[0]:
            seen += os.read(terminal, 65536).decode(errors="replace")
    return seen
read("$ ")
os.write(terminal, b'eval "$(criu-gc --complete)"; echo re""ady\n')
read("ready")
os.write(terminal, sys.argv[2].encode() + b"\t")
time.sleep(1)
os.write(terminal, b" --show; echo status=$? the e''nd\n")
print(read("the end"))
os.write(terminal, b"exit\n")
os.waitpid(pid, 0)
"#;

fn completion(criu: &Criu) {
    let host = host();
    let left = dump(criu, &host, "one");
    add_docker(&host, &left, "/var/lib/docker", ID, "job");
    // It has no checkpoint.
    write(&host, &format!("/var/lib/docker/containers/{OTHER_ID}/config.v2.json"), r#"{"Name":"/jailer"}"#);
    let directory = binary().parent().expect("a directory").to_owned();
    let typed = |line: &str| host.command("python3").args(["-c", TYPE]).arg(&directory).arg(line).finish();
    for line in ["criu-gc docker:j", "criu-gc docker:", "criu-gc -D docker:jo", "criu-gc doc\tjo"] {
        let run = typed(line);
        assert!(run.stdout.contains("Layout: Docker container: container job"), "{line}: {run}");
        assert!(run.stdout.contains("status=0 the end"), "{line}: {run}");
    }
    let none = typed("criu-gc docker:jai");
    assert!(none.stdout.contains("status=2 the end"), "{none}");
    // Files are completed as before.
    let images = beside(&host, "container-of-images");
    host.run("mv", &[&format!("/var/lib/docker/containers/{ID}/checkpoints/cp"), &images]);
    let run =
        typed(&format!("criu-gc {}", &images.to_str().expect("a path")[..images.to_str().expect("a path").len() - 4]));
    assert!(run.stdout.contains("status=0 the end") && run.stdout.contains("; to be removed)"), "{run}");
    assert!(left.is_there());
}
