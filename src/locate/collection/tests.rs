// SPDX-License-Identifier: Apache-2.0 OR MIT

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use super::*;
use crate::locate::layout::Layout;

const READING: Reading<'static> = Reading { work_dir: None, progress: &|_| {} };

/// A tree of files, made by hand as the runtime documents it.
fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
    let top = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let full = top.path().join(path);
        fs::create_dir_all(full.parent().unwrap()).unwrap();
        fs::write(full, text).unwrap();
    }
    top
}

fn images(paths: &[&str]) -> tempfile::TempDir {
    tree(&paths.iter().map(|path| (*path, "{}")).collect::<Vec<_>>())
}

/// Makes an archive, with a path in the directory, of these names in `of`.
fn pack(top: &Path, archive: &str, of: &str, names: &[&str]) {
    let archive = top.join(archive);
    fs::create_dir_all(archive.parent().unwrap()).unwrap();
    let tar = Command::new("tar").arg("-C").arg(top.join(of)).arg("-cf").arg(archive).args(names).status().unwrap();
    assert!(tar.success());
}

fn found(directory: &Path) -> Result<Collection, LocateError> {
    locate(&Directory::open(directory).unwrap(), READING)
}

/// The paths of the images below the directory.
fn places(top: &Path, named: &str) -> Vec<String> {
    let found = found(&top.join(named)).unwrap();
    assert!(found.unusable.is_empty(), "{:?}", found.unusable);
    let place = |located: &Located| located.images.path().strip_prefix(top).unwrap().display().to_string();
    found.located.iter().map(place).collect()
}

#[test]
fn each_entry_with_images_is_a_checkpoint() {
    for (paths, expected) in [
        (&["x/images/inventory.img", "x/data/file"][..], &["x/images"][..]),
        (&["x/monday/inventory.img", "x/tuesday/inventory.img", "x/file"], &["x/monday", "x/tuesday"]),
        (&["x/images/inventory.img", "x/monday/inventory.img"], &["x/images", "x/monday"]),
        (&["x/web/checkpoint/inventory.img", "x/web/config.json"], &["x/web/checkpoint"]),
        (&["x/a/images/inventory.img", "x/b/images/inventory.img"], &["x/a/images", "x/b/images"]),
        (&["x/1/ctrd-restore/checkpoint/inventory.img", "x/1/status"], &["x/1/ctrd-restore/checkpoint"]),
        (&["x/1/userdata/checkpoint/inventory.img", "x/1/userdata/config.json"], &["x/1/userdata/checkpoint"]),
        (
            &["x/1/config.v2.json", "x/1/checkpoints/a/inventory.img", "x/1/checkpoints/b/inventory.img"],
            &["x/1/checkpoints/a", "x/1/checkpoints/b"],
        ),
    ] {
        assert_eq!(places(images(paths).path(), "x"), expected, "{paths:?}");
    }
}

/// A runtime's directory is that of one container. What else lies in it is no other checkpoint of it.
#[test]
fn beside_the_images_of_one_container_nothing_is_looked_for() {
    let bundle = images(&["x/config.json", "x/checkpoint/inventory.img", "x/rootfs/inventory.img", "x/old/files.img"]);
    assert_eq!(places(bundle.path(), "x"), ["x/checkpoint"]);
}

/// A container can write there what it likes.
#[test]
fn the_root_directory_of_a_container_is_no_checkpoint() {
    let top = images(&["x/config", "x/dump/inventory.img", "x/rootfs/inventory.img"]);
    assert_eq!(places(top.path(), "x"), ["x/dump"]);
    assert!(matches!(
        found(images(&["x/rootfs/inventory.img"]).path().join("x").as_path()),
        Err(LocateError::NoImages { .. })
    ));
}

#[test]
fn archives_are_read_and_links_are_not_followed() {
    let top = images(&["e/checkpoint/inventory.img", "e/config.dump", "x/text", "other/file", "away/inventory.img"]);
    pack(top.path(), "x/one.tar", "e", &["checkpoint", "config.dump"]);
    pack(top.path(), "x/two.tar", "e", &["checkpoint"]);
    pack(top.path(), "x/files.tar", "other", &["file"]);
    fs::write(top.path().join("x/rootfs-diff.tar"), "no archive").unwrap();
    symlink(top.path().join("away"), top.path().join("x/link")).unwrap();
    symlink(top.path().join("x/one.tar"), top.path().join("x/link.tar")).unwrap();
    assert_eq!(places(top.path(), "x"), ["x/one.tar/checkpoint", "x/two.tar/checkpoint"]);
}

#[test]
fn what_cannot_be_used_is_listed() {
    let top = images(&["x/good/inventory.img"]);
    fs::write(top.path().join("x/bad.tar"), "no archive").unwrap();
    let found = found(&top.path().join("x")).unwrap();
    assert_eq!((found.located.len(), found.unusable.len()), (1, 1));
    assert_eq!(found.unusable[0].path, top.path().join("x/bad.tar"));
}

/// Behind the names that are looked at there may be another.
#[test]
fn names_that_are_not_looked_at_are_told() {
    let top = images(&["x/a/inventory.img"]);
    for number in 0..=NAMES_LIMIT {
        fs::write(top.path().join(format!("x/file-{number}")), "").unwrap();
    }
    let found = found(&top.path().join("x")).unwrap();
    assert_eq!(found.located.len(), 1);
    assert!(matches!(found.unusable[..], [Unusable { error: LocateError::TooManyNames { .. }, .. }]));
}

const CRIO: &str = r#"{"version":1,"runtime":"cri-o","runtimeHandler":"runc","sandboxId":"5a","containers":
    [{"name":"web","id":"aa","archive":"containers/1f.tar","sha256":"00","config":{}},
     {"name":"job","id":"bb","archive":"containers/2f.tar","sha256":"00","config":{}}]}"#;
const CONFIGURATION: &str = r#"{"metadata":{"name":"p1","namespace":"shop","uid":"u"}}"#;

fn crio() -> tempfile::TempDir {
    let top = tree(&[
        ("e/checkpoint/inventory.img", ""),
        ("e/spec.dump", "{}"),
        ("pod/checkpoint-manifest.json", CRIO),
        ("pod/pod-config.json", CONFIGURATION),
    ]);
    for archive in ["pod/containers/1f.tar", "pod/containers/2f.tar", "pod/containers/other.tar"] {
        pack(top.path(), archive, "e", &["checkpoint", "spec.dump"]);
    }
    top
}

fn assert_is_pod(located: &[Located]) {
    let name = |located: &Located| located.context.container.name.clone().unwrap();
    assert_eq!(located.iter().map(name).collect::<Vec<_>>(), ["web", "job"]);
    for Located { layout, context, .. } in located {
        assert_eq!(*layout, Layout::Pod);
        assert_eq!((context.pod.name.as_deref(), context.pod.id.as_deref()), (Some("p1"), Some("5a")));
        assert_eq!(context.pod_namespace.as_deref(), Some("shop"));
    }
}

#[test]
fn the_archives_that_the_manifest_of_a_pod_names_are_read() {
    let top = crio();
    let pod = found(&top.path().join("pod")).unwrap();
    assert_is_pod(&pod.located);
    // The directory of all pods.
    fs::create_dir(top.path().join("pods")).unwrap();
    fs::rename(top.path().join("pod"), top.path().join("pods/checkpoint-p1_shop-time")).unwrap();
    assert_is_pod(&found(&top.path().join("pods")).unwrap().located);
}

#[test]
fn a_pod_in_an_archive_is_read_whatever_comes_first() {
    let top = crio();
    pack(top.path(), "last.tar", "pod", &["containers", "checkpoint-manifest.json", "pod-config.json"]);
    pack(top.path(), "first.tar", "pod", &["checkpoint-manifest.json", "pod-config.json", "containers"]);
    pack(top.path(), "whole.tar", ".", &["pod"]);
    for name in ["last.tar", "first.tar", "whole.tar"] {
        let path = top.path().join(name);
        let source = || Source::of(fs::File::open(&path).unwrap(), &path).unwrap();
        assert_is_pod(&archive::locate(source(), None, &|_| {}).unwrap());
    }
    // Without a manifest they are checkpoints of no pod.
    pack(top.path(), "plain.tar", "pod", &["containers"]);
    let path = top.path().join("plain.tar");
    let plain = archive::locate(Source::of(fs::File::open(&path).unwrap(), &path).unwrap(), None, &|_| {}).unwrap();
    assert_eq!(plain.len(), 3);
    assert!(plain.iter().all(|located| located.layout == Layout::Export));
}

#[test]
fn a_manifest_leads_nowhere_else() {
    for archive in ["../e.tar", "/etc/passwd", "", "containers/../../e.tar"] {
        let top = crio();
        let manifest = CRIO.replace("containers/1f.tar", archive);
        fs::write(top.path().join("pod/checkpoint-manifest.json"), manifest).unwrap();
        let error = found(&top.path().join("pod")).unwrap_err();
        assert!(matches!(error, LocateError::Containers { .. }), "{archive}: {error}");
    }
    let top = crio();
    let place = top.path().join("pod/containers/1f.tar");
    fs::remove_file(&place).unwrap();
    assert!(matches!(found(&top.path().join("pod")).unwrap_err(), LocateError::Directory(_)));
    symlink("2f.tar", &place).unwrap();
    assert!(matches!(found(&top.path().join("pod")).unwrap_err(), LocateError::Directory(_)));
    fs::write(top.path().join("pod/checkpoint-manifest.json"), "{").unwrap();
    assert!(matches!(found(&top.path().join("pod")).unwrap_err(), LocateError::Manifest { .. }));
}
