// SPDX-License-Identifier: Apache-2.0 OR MIT
use std::fs;
use std::io::Write;
use std::path::PathBuf;

use super::*;
use crate::archive::Source;
use crate::locate::archive;
use crate::locate::context::Trust;

/// A tree of files, made by hand as the runtime documents it. A path that ends in a slash is a directory.
fn tree(paths: &[&str]) -> tempfile::TempDir {
    let top = tempfile::tempdir().unwrap();
    for path in paths {
        let full = top.path().join(path);
        fs::create_dir_all(full.parent().unwrap()).unwrap();
        if path.ends_with('/') { fs::create_dir_all(&full).unwrap() } else { fs::write(&full, "{}").unwrap() }
    }
    top
}

fn host(path: &Path) -> Folder {
    Folder::Host(Directory::open(path).unwrap())
}

/// In the tree, `named` is found to hold these images, in this layout.
#[track_caller]
fn check(paths: &[&str], named: &str, layout: Layout, images: &[&str]) {
    let top = tree(paths);
    let found = locate(host(&top.path().join(named)), None).unwrap();
    let places: Vec<PathBuf> = found.iter().map(|found| found.images.path().canonicalize().unwrap()).collect();
    let expected: Vec<PathBuf> = images.iter().map(|images| top.path().join(images).canonicalize().unwrap()).collect();
    assert_eq!(places, expected);
    assert!(found.iter().all(|found| found.layout == layout), "{:?} is not {layout:?}", found[0].layout);
}

/// The same in an archive of the directory, as GNU tar makes it: the images are found at `images` in it.
#[track_caller]
fn check_archive(paths: &[&str], directory: &str, layout: Layout, images: &[&str]) {
    let top = tree(paths);
    let archive = |directory: &Path, what: &str| {
        let mut tar = std::process::Command::new("tar");
        let output = tar.arg("-C").arg(directory).args(["-cf", "-", what]).output().expect("tar");
        assert!(output.status.success());
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&output.stdout).unwrap();
        std::io::Seek::rewind(&mut file).unwrap();
        let found = archive::locate(Source::of(file, Path::new("a.tar")).unwrap(), None, &|_| {}).unwrap();
        let places: Vec<PathBuf> = found.iter().map(|found| found.images.path().to_owned()).collect();
        assert!(found.iter().all(|found| found.layout == layout), "{:?} is not {layout:?}", found[0].layout);
        assert!(found.iter().all(|found| own_namespaces(&found.context) == 0));
        places
    };
    let in_archive = |prefix: &str| images.iter().map(|images| Path::new("a.tar").join(prefix).join(images)).collect();
    let expected: Vec<PathBuf> = in_archive("");
    let plain =
        |places: Vec<PathBuf>| places.iter().map(|place| place.components().collect()).collect::<Vec<PathBuf>>();
    assert_eq!(plain(archive(&top.path().join(directory), ".")), plain(expected));
    // With the directory itself, only what is in it tells the layout.
    let expected: Vec<PathBuf> = in_archive(directory);
    assert_eq!(plain(archive(top.path(), directory)), plain(expected));
}

/// containerd restores from `ctrd-restore/checkpoint`, and moves the log of the dump one level up before.
#[test]
fn logs_are_also_found_beside_a_directory_of_images() {
    let has_log = |paths: &[&str], named: &str| {
        let top = tree(paths);
        let found = in_entry(host(&top.path().join(named)), None).unwrap();
        (found[0].images.work_directories().len() == 2, found[0].images.work_file("dump.log").unwrap().is_some())
    };
    for named in ["c", "c/ctrd-restore", "c/ctrd-restore/checkpoint"] {
        let paths = ["c/ctrd-restore/checkpoint/inventory.img", "c/ctrd-restore/dump.log", "c/status"];
        assert_eq!(has_log(&paths, named), (true, true), "{named}");
    }
    let own = ["r/checkpoint/inventory.img", "r/checkpoint/dump.log", "r/dump.log"];
    assert_eq!(has_log(&own, "r/checkpoint"), (false, true));
    assert_eq!(has_log(&["r/images/inventory.img", "r/dump.log"], "r/images"), (false, false));
}

#[test]
fn an_archive_holds_what_the_directory_holds() {
    check_archive(&["x/inventory.img"], "x", Layout::ImagesDirectory, &[""]);
    check_archive(&["x/inventory.img", "x/tty.info"], "x", Layout::Lxc, &[""]);
    check_archive(&["b/config.json", "b/checkpoint/inventory.img", "b/rootfs/x"], "b", Layout::Bundle, &["checkpoint"]);
    check_archive(&["e/spec.dump", "e/checkpoint/inventory.img"], "e", Layout::Export, &["checkpoint"]);
    let podman = ["i/userdata/config.json", "i/userdata/checkpoint/inventory.img", "i/userdata/dump.log"];
    check_archive(&podman, "i", Layout::Podman, &["userdata/checkpoint"]);
    let docker = ["d/config.v2.json", "d/checkpoints/one/inventory.img", "d/checkpoints/two/inventory.img"];
    check_archive(&docker, "d", Layout::Docker, &["checkpoints/one", "checkpoints/two"]);
    check_archive(&["i/rootfs/", "i/state/inventory.img"], "i", Layout::Incus, &["state"]);
    let zeropod = ["z/snapshot/inventory.img", "z/work/dump.log", "z/snapshot/pre-dump/inventory.img"];
    check_archive(&zeropod, "z", Layout::Zeropod, &["snapshot"]);
}

#[test]
fn several_dumps_in_one_archive_are_all_found() {
    let dumps = ["d/one/inventory.img", "d/one/pre-dump/inventory.img", "d/two/files.img", "d/one-more/pstree.img"];
    check_archive(&dumps, "d", Layout::ImagesDirectory, &["one", "one-more", "two"]);
}

#[test]
fn every_container_of_a_pods_archive_is_found() {
    let pod = ["p/pod.options", "p/one/checkpoint/inventory.img", "p/one/config.dump", "p/two/inventory.img", "p/x/"];
    check_archive(&pod, "p", Layout::Pod, &["one/checkpoint", "two"]);
}

#[test]
fn plain_images_stay_plain_whatever_their_directory_is_called() {
    check(&["checkpoint/inventory.img"], "checkpoint", Layout::ImagesDirectory, &["checkpoint"]);
    check(&["state/pstree.img", "config.json"], "state", Layout::ImagesDirectory, &["state"]);
    check(&["x/inventory.img", "x/tty.info"], "x", Layout::Lxc, &["x"]);
    check(&["x/inventory.img", "x/descriptors.json"], "x", Layout::RuntimeImages, &["x"]);
}

#[test]
fn a_bundle_is_found_by_itself_and_by_its_images() {
    let bundle = ["b/config.json", "b/checkpoint/inventory.img", "b/checkpoint/descriptors.json", "b/rootfs/"];
    check(&bundle, "b", Layout::Bundle, &["b/checkpoint"]);
    check(&bundle, "b/checkpoint", Layout::Bundle, &["b/checkpoint"]);
    check(&bundle, "b/rootfs/../checkpoint", Layout::Bundle, &["b/checkpoint"]);
    let other_name = ["b/config.json", "b/images/inventory.img", "b/images/descriptors.json"];
    check(&other_name, "b/images", Layout::Bundle, &["b/images"]);
}

#[test]
fn a_container_of_podman_is_found_by_any_of_its_directories() {
    let container = ["ID/userdata/config.json", "ID/userdata/checkpoint/inventory.img", "ID/userdata/dump.log"];
    for named in ["ID", "ID/userdata", "ID/userdata/checkpoint"] {
        check(&container, named, Layout::Podman, &["ID/userdata/checkpoint"]);
    }
}

#[test]
fn an_unpacked_export_is_found() {
    for metadata in ["config.dump", "spec.dump"] {
        let path = format!("e/{metadata}");
        check(&["e/checkpoint/inventory.img", &path], "e", Layout::Export, &["e/checkpoint"]);
    }
}

/// Root may have unpacked what somebody else made.
fn own_namespaces(context: &Context) -> usize {
    context.network_namespaces.iter().filter(|path| path.trust == Trust::Host).count()
}

#[test]
fn what_an_export_says_ties_nothing() {
    let spec = r#"{"linux": {"namespaces": [{"type": "network", "path": "/run/netns/blue"}]}}"#;
    for (file, own) in [("e/spec.dump", 0), ("e/config.json", 1)] {
        let top = tree(&[file, "e/checkpoint/inventory.img"]);
        fs::write(top.path().join(file), spec).unwrap();
        let found = locate(host(&top.path().join("e")), None).unwrap();
        let context = &found[0].context;
        assert_eq!((context.network_namespaces.len(), own_namespaces(context)), (1, own), "{file}");
    }
}

#[test]
fn all_checkpoints_of_a_docker_container_are_found() {
    let container =
        ["d/config.v2.json", "d/checkpoints/one/inventory.img", "d/checkpoints/two/inventory.img", "d/checkpoints/x/y"];
    check(&container, "d", Layout::Docker, &["d/checkpoints/one", "d/checkpoints/two"]);
    check(&container, "d/checkpoints/two", Layout::Docker, &["d/checkpoints/two"]);
}

#[test]
fn an_instance_of_incus_is_found() {
    let instance = ["i/rootfs/", "i/state/inventory.img", "i/backup.yaml"];
    check(&instance, "i", Layout::Incus, &["i/state"]);
    check(&instance, "i/state", Layout::Incus, &["i/state"]);
    let migration = ["m/001/pages-1.img", "m/001/inventory.img", "m/final/inventory.img"];
    check(&migration, "m", Layout::Incus, &["m/final"]);
}

#[test]
fn zeropods_logs_are_in_its_work_directory() {
    let paths = ["z/snapshot/inventory.img", "z/work/dump.log", "z/snapshot/pre-dump/inventory.img"];
    check(&paths, "z", Layout::Zeropod, &["z/snapshot"]);
    let top = tree(&paths);
    let log = |work_dir: Option<&Path>| {
        let found = locate(host(&top.path().join("z")), work_dir).unwrap();
        found[0].images.work_file("dump.log").unwrap().is_some()
    };
    assert!(log(None));
    assert!(!log(Some(&top.path().join("z/snapshot"))), "-W does not count");
}

#[test]
fn every_container_of_a_pod_is_found() {
    let pod = ["p/pod.options", "p/one/checkpoint/inventory.img", "p/one/config.dump", "p/two/inventory.img", "p/x/"];
    check(&pod, "p", Layout::Pod, &["p/one/checkpoint", "p/two"]);
    check(&pod, "p/one", Layout::Pod, &["p/one/checkpoint"]);
    check(&pod, "p/two", Layout::Pod, &["p/two"]);
}

#[test]
fn links_lead_nowhere() {
    let top = tree(&["elsewhere/inventory.img", "b/config.json"]);
    std::os::unix::fs::symlink("../elsewhere", top.path().join("b/checkpoint")).unwrap();
    let error = locate(host(&top.path().join("b")), None).unwrap_err();
    assert!(matches!(error, LocateError::NoImages { .. }), "{error}");
}

#[test]
fn statistics_and_page_images_alone_are_no_checkpoint() {
    let top = tree(&["x/stats-dump", "x/pages-1.img", "x/inventory.img.tmp"]);
    assert!(has_only_pages(&host(&top.path().join("x"))).unwrap());
    let top = tree(&["x/stats-dump", "x/inventory.img.tmp"]);
    let error = locate(host(&top.path().join("x")), None).unwrap_err();
    assert!(matches!(error, LocateError::NoImages { .. }), "{error}");
}

#[test]
fn the_directory_of_all_checkpoints_of_a_docker_container_is_that_container() {
    let container = ["d/config.v2.json", "d/checkpoints/one/inventory.img", "d/checkpoints/two/inventory.img"];
    check(&container, "d/checkpoints", Layout::Docker, &["d/checkpoints/one", "d/checkpoints/two"]);
}
