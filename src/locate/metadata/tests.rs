// SPDX-License-Identifier: Apache-2.0 OR MIT
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::*;
use crate::locate::context::{Bind, Named};
use crate::time::Timestamp;

/// A directory below `target`, on the way to which nobody else can write.
fn scratch() -> tempfile::TempDir {
    tempfile::Builder::new().tempdir_in(env!("CARGO_MANIFEST_DIR")).expect("a directory")
}

fn read_all(directory: &Path, layout: Layout) -> Context {
    read(&Metadata::of(Folder::Host(Directory::open(directory).unwrap())), layout)
}

fn named(name: &str, id: &str) -> Named {
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Named { name: text(name), id: text(id) }
}

const CONFIG_JSON: &str = r#"{
  "ociVersion": "1.0.2", "process": {"args": ["sh"]}, "root": {"path": "rootfs", "readonly": true},
  "mounts": [
    {"destination": "/proc", "type": "proc", "source": "proc"},
    {"destination": "/data", "type": "bind", "source": "/srv/data", "options": ["rw"]},
    {"destination": "/etc/hosts", "type": "none", "source": "hosts", "options": ["rbind", "ro"]}
  ],
  "linux": {"namespaces": [{"type": "pid"}, {"type": "network", "path": "/run/netns/blue"}, {"type": "mount"}]},
  "annotations": null
}"#;

#[test]
fn a_bundle_tells_of_root_network_and_mounts() {
    let bundle = scratch();
    fs::write(bundle.path().join("config.json"), CONFIG_JSON).unwrap();
    let context = read_all(bundle.path(), Layout::Bundle);
    assert_eq!(context.notes, Vec::<String>::new());
    assert_eq!(context.root.as_ref().unwrap().value, bundle.path().join("rootfs"));
    assert_eq!(context.network_namespaces[0].value, Path::new("/run/netns/blue"));
    let binds: Vec<&Bind> = context.binds.iter().map(|bind| &bind.value).collect();
    let hosts = Bind { destination: "/etc/hosts".into(), source: bundle.path().join("hosts") };
    assert_eq!(binds, [&Bind { destination: "/data".into(), source: "/srv/data".into() }, &hosts]);
}

#[test]
fn what_others_can_write_is_a_strangers_word() {
    let bundle = scratch();
    let config = bundle.path().join("config.json");
    fs::write(&config, CONFIG_JSON).unwrap();
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let is_own =
        || read_all(bundle.path(), Layout::Bundle).network_namespaces.iter().any(|path| path.trust == Trust::Host);
    mode(&config, 0o644);
    assert_eq!(is_own(), is_reachable_by_owner_only(bundle.path()), "void: {}", bundle.path().display());
    for others in [0o664, 0o646] {
        mode(&config, others);
        assert!(!is_own(), "{others:o}");
    }
    mode(&config, 0o644);
    for others in [0o770, 0o707] {
        mode(bundle.path(), others);
        assert!(!is_own(), "{others:o}");
    }
    let context = read_all(bundle.path(), Layout::Bundle);
    assert_eq!((context.network_namespaces.len(), context.own_root(), context.own_binds().count()), (1, None, 0));
}

fn is_reachable_by_owner_only(path: &Path) -> bool {
    trust_in_directory(&Directory::open(path).unwrap()) == Trust::Host
}

/// What podman writes beside the images.
#[test]
fn podmans_files_tell_of_container_and_addresses() {
    let userdata = scratch();
    let write = |name: &str, text: &str| fs::write(userdata.path().join(name), text).unwrap();
    write(
        "config.dump",
        r#"{"id": "6c0f0e1b", "name": "web", "pod": "77ab", "runtime": "crun", "networkMode": "bridge", "spec": {}}"#,
    );
    write("spec.dump", r#"{"annotations": {"io.container.manager": "libpod", "a": "b"}, "root": {"path": "/m"}}"#);
    write("network.status", r#"{"podman": {"interfaces": {"eth0": {"subnets": [{"ipnet": "10.88.0.2/16"}]}}}}"#);
    let context = read_all(userdata.path(), Layout::Podman);
    assert_eq!(context.notes, Vec::<String>::new());
    assert_eq!(context.engine, named("podman", ""));
    assert_eq!((context.container, context.pod), (named("web", "6c0f0e1b"), named("", "77ab")));
    assert_eq!(context.addresses, ["10.88.0.2/16"]);
    assert_eq!(context.root.unwrap().value, Path::new("/m"));
}

/// What CRI-O and containerd write.
#[test]
fn the_kubernetes_engines_tell_of_the_pod() {
    let directory = scratch();
    let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
    write("config.dump", r#"{"id": "c1", "name": "k8s_counter", "rootfsImageName": "x"}"#);
    write("bind.mounts", r#"[{"source": "/var/lib/a", "destination": "/data", "file_type": "directory"}]"#);
    let crio = r#"{"annotations": {"io.container.manager": "cri-o", "io.kubernetes.cri-o.SandboxID": "s1",
        "io.kubernetes.pod.name": "counters", "io.kubernetes.container.name": "counter"}}"#;
    write("spec.dump", crio);
    let context = read_all(directory.path(), Layout::Export);
    assert_eq!((context.engine, context.pod), (named("CRI-O", ""), named("counters", "s1")));
    assert_eq!(context.container, named("counter", "c1"));
    assert_eq!(context.binds[0].value.source, Path::new("/var/lib/a"));
    let containerd = r#"{"annotations": {"io.kubernetes.cri.container-type": "container",
        "io.kubernetes.cri.sandbox-name": "counters", "io.kubernetes.cri.sandbox-id": "s2"}}"#;
    write("spec.dump", containerd);
    let context = read_all(directory.path(), Layout::Export);
    assert_eq!((context.engine, context.pod), (named("containerd", ""), named("counters", "s2")));
}

#[test]
fn docker_tells_of_the_sandbox_and_volumes() {
    let directory = scratch();
    let config = r#"{"ID": "d1", "Name": "/web", "NetworkSettings": {"SandboxKey": "/var/run/docker/netns/3f"},
        "MountPoints": {"/data": {"Source": "/var/lib/docker/volumes/v/_data", "Destination": "/data"}},
        "State": {"StartedAt": "2026-11-26T09:30:00.000000007Z"}}"#;
    fs::write(directory.path().join("config.v2.json"), config).unwrap();
    let context = read_all(directory.path(), Layout::Docker);
    assert_eq!((&context.engine, &context.container), (&named("Docker", ""), &named("web", "d1")));
    assert_eq!(context.network_namespaces[0].value, Path::new("/var/run/docker/netns/3f"));
    assert_eq!(context.binds[0].value.destination, Path::new("/data"));
    assert_eq!(context.own_start(), Some(Timestamp::new(1_795_685_400, 7)));
    for never in ["0001-01-01T00:00:00Z", "", "yesterday", "2026-11-26"] {
        let config = format!(r#"{{"State": {{"StartedAt": "{never}"}}}}"#);
        fs::write(directory.path().join("config.v2.json"), config).unwrap();
        assert_eq!(read_all(directory.path(), Layout::Docker).own_start(), None, "{never}");
    }
}

#[test]
fn docker_tells_of_the_sandbox_of_another_container() {
    let containers = scratch();
    let id = "9b051c27".repeat(8);
    let write = |container: &str, file: &str, content: &str| {
        let directory = containers.path().join(container);
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join(file), content).unwrap();
    };
    write("job", "config.v2.json", r#"{"ID": "d1", "NetworkSettings": {"SandboxKey": ""}}"#);
    write(&id, "config.v2.json", r#"{"NetworkSettings": {"SandboxKey": "/run/docker/netns/f7"}}"#);
    let namespaces = |mode: &str| {
        write("job", "hostconfig.json", &format!(r#"{{"NetworkMode": "{mode}"}}"#));
        read_all(&containers.path().join("job"), Layout::Docker).network_namespaces
    };
    let found = namespaces(&format!("container:{id}"));
    assert_eq!(found[0].value, Path::new("/run/docker/netns/f7"));
    assert_eq!(found[0].trust, Trust::Host);
    for mode in ["host", "bridge", "container:../job", "container:", &format!("container:{}", "0".repeat(64))] {
        assert_eq!(namespaces(mode), [], "{mode}");
    }
}

#[test]
fn docker_tells_of_a_restore_that_failed() {
    let directory = scratch();
    let failed = |error: &str, started: &str| {
        let config = format!(r#"{{"State": {{"Error": "{error}", "StartedAt": "{started}"}}}}"#);
        fs::write(directory.path().join("config.v2.json"), config).unwrap();
        let context = read_all(directory.path(), Layout::Docker);
        context.own_failed_restore().map(|(_, started)| started)
    };
    let (error, started) = ("OCI runtime restore failed: criu failed: type RESTORE errno 0", "2026-11-26T09:30:00Z");
    assert_eq!(failed(error, started), Some(Timestamp::new(1_795_685_400, 0)));
    for (error, started) in [("", started), ("no such image", started), (error, "0001-01-01T00:00:00Z")] {
        assert_eq!(failed(error, started), None, "{error} {started}");
    }
}

#[test]
fn docker_tells_of_the_layer_of_a_container() {
    let data_root = scratch();
    let [id, layer] = ["9b051c27", "772274f8"].map(|word| word.repeat(8));
    let container = data_root.path().join("containers").join(&id);
    let mounts = data_root.path().join("image/overlay2/layerdb/mounts").join(&id);
    let root = |driver: &str, mount_id: &str| {
        for directory in [&container, &mounts] {
            fs::create_dir_all(directory).unwrap();
        }
        let config = format!(r#"{{"ID": "{id}", "Driver": "{driver}"}}"#);
        fs::write(container.join("config.v2.json"), config).unwrap();
        fs::write(mounts.join("mount-id"), mount_id).unwrap();
        read_all(&container, Layout::Docker).own_root().map(Path::to_owned)
    };
    let merged = data_root.path().canonicalize().unwrap().join("overlay2").join(&layer).join("merged");
    assert_eq!(root("overlay2", &layer), Some(merged));
    for (driver, mount_id) in [("overlay2", "../../etc"), ("overlay2", ""), ("../overlay2", &*layer), ("vfs", &*layer)]
    {
        assert_eq!(root(driver, mount_id), None, "{driver} {mount_id}");
    }
}

#[test]
fn metadata_that_cannot_be_used_is_a_note() {
    let deep = "[".repeat(100_000);
    let huge = format!("\"{}\"", "x".repeat(SIZE_LIMIT as usize));
    for (content, word) in [("", "EOF"), ("{\"root\": 7}", "invalid type"), (deep.as_str(), ""), (&huge, "larger")] {
        let directory = scratch();
        fs::write(directory.path().join("config.json"), content).unwrap();
        let context = read_all(directory.path(), Layout::Bundle);
        assert_eq!(context.notes.len(), 1, "{word}");
        assert!(context.notes[0].starts_with("config.json ") && context.notes[0].contains(word), "{:?}", context.notes);
        assert_eq!(context, Context { notes: context.notes.clone(), ..Context::default() });
    }
}

/// Each fact is compared with all: a file of eight megabytes would take minutes.
#[test]
fn facts_without_end_are_cut_off_and_told() {
    let directory = scratch();
    let mounts = (0..150_000).map(|number| format!(r#"{{"source": "/{number}", "destination": "/d"}}"#));
    let binds = format!("[{}]", mounts.collect::<Vec<_>>().join(","));
    fs::write(directory.path().join("bind.mounts"), &binds).unwrap();
    let namespaces = (0..1000).map(|number| format!(r#"{{"type": "network", "path": "/run/netns/{number}"}}"#));
    let spec = format!(r#"{{"linux": {{"namespaces": [{}]}}}}"#, namespaces.collect::<Vec<_>>().join(","));
    fs::write(directory.path().join("spec.dump"), spec).unwrap();
    let subnets =
        (0..1000).map(|_| r#"{"ipnet": "10.0.0.1/8"}, {"ipnet": "no address"}"#).collect::<Vec<_>>().join(",");
    let networks = format!(r#"{{"podman": {{"interfaces": {{"eth0": {{"subnets": [{subnets}]}}}}}}}}"#);
    fs::write(directory.path().join("network.status"), networks).unwrap();
    let started = std::time::Instant::now();
    let context = read_all(directory.path(), Layout::Export);
    assert!(started.elapsed().as_secs() < 10, "{:?} for {} bytes", started.elapsed(), binds.len());
    assert_eq!((context.binds.len(), context.network_namespaces.len(), context.addresses.len()), (1024, 16, 64));
    let notes = [
        "spec.dump names more than 16 network namespaces; the rest are ignored",
        "bind.mounts names more than 1024 mounts; the rest are ignored",
    ];
    assert_eq!(context.notes, notes);
}

#[test]
fn what_no_name_or_path_can_be_is_not_used() {
    let directory = scratch();
    let long = "x".repeat(5000);
    let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
    write("config.dump", &format!(r#"{{"id": "c1", "name": "{long}"}}"#));
    write("spec.dump", &format!(r#"{{"root": {{"path": "/{long}"}}, "annotations": "{long}"}}"#));
    let context = read_all(directory.path(), Layout::Export);
    assert_eq!((context.container, context.root), (named("", "c1"), None));
    assert_eq!(context.notes.len(), 1);
    assert!(context.notes[0].len() < 200, "{:?}", context.notes);
}

#[test]
fn a_link_in_the_place_of_metadata_is_not_followed() {
    let directory = scratch();
    fs::write(directory.path().join("elsewhere"), CONFIG_JSON).unwrap();
    std::os::unix::fs::symlink("elsewhere", directory.path().join("config.json")).unwrap();
    let context = read_all(directory.path(), Layout::Bundle);
    assert_eq!((context.notes.len(), context.network_namespaces.len()), (1, 0));
}
