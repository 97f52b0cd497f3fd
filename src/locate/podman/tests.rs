// SPDX-License-Identifier: Apache-2.0 OR MIT
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::*;
use crate::causes::with_causes;
use crate::locate::metadata::SIZE_LIMIT;

const ONE: &str = "6c0f0e1b00000000000000000000000000000000000000000000000000000001";
const TWO: &str = "6c0f0e1b00000000000000000000000000000000000000000000000000000002";

/// A storage on the way to which nobody else can write, with this list.
fn storage(list: &str) -> (tempfile::TempDir, Storage) {
    let top = tempfile::Builder::new().tempdir_in(env!("CARGO_MANIFEST_DIR")).expect("a directory");
    let containers = top.path().join("overlay-containers");
    for id in [ONE, TWO] {
        fs::create_dir_all(containers.join(id).join("userdata")).unwrap();
    }
    fs::write(containers.join(LISTS[0]), list).unwrap();
    let storage = Storage { store: top.path().to_owned(), volatile: top.path().join("run") };
    (top, storage)
}

fn two() -> String {
    format!(r#"[{{"id": "{ONE}", "names": ["web"], "layer": "x"}}, {{"id": "{TWO}", "names": null}}]"#)
}

/// The directory of the container with this name.
fn found(storage: &Storage, name: &str) -> Result<Option<PathBuf>, PodmanError> {
    let is_meant = |container: &Container| container.names.iter().any(|known| known.typed == name);
    let found = storage.containers()?.into_iter().find(is_meant);
    Ok(found.map(|container| match &container.at[..] {
        [At::Directory(path)] => path.clone(),
        other => panic!("{other:?}"),
    }))
}

#[test]
fn a_container_is_found_by_its_names_and_its_id() {
    let (top, storage) = storage(&two().replace(r#"["web"]"#, r#"["web", "www"]"#));
    for (name, id) in [("web", ONE), ("www", ONE), (ONE, ONE), (TWO, TWO)] {
        let expected = top.path().join("overlay-containers").join(id).join("userdata");
        assert_eq!(found(&storage, name).unwrap(), Some(expected), "{name}");
    }
    for name in ["", "we", "webs", "7", "6c0f"] {
        assert_eq!(found(&storage, name).unwrap(), None, "{name}");
    }
}

#[test]
fn a_container_that_need_not_outlive_a_boot_is_found() {
    for store in ["", "run"] {
        let (top, storage) = storage("[]");
        let directory = top.path().join(store).join("overlay-containers");
        fs::create_dir_all(directory.join(ONE).join("userdata")).unwrap();
        fs::write(directory.join(LISTS[1]), two()).unwrap();
        assert_eq!(found(&storage, "web").unwrap(), Some(directory.join(ONE).join("userdata")));
    }
}

#[test]
fn ids_that_lead_elsewhere_are_none() {
    for id in ["../../elsewhere", "", ".", "/etc", "a/b", &"a".repeat(65)] {
        let (_top, storage) = storage(&format!(r#"[{{"id": "{id}", "names": ["web"]}}]"#));
        assert_eq!(found(&storage, "web").unwrap(), None, "{id}");
    }
}

#[test]
fn a_list_that_cannot_be_used_is_an_error() {
    let deep = "[".repeat(100_000);
    for list in ["", "{", "7", &deep, r#"[{"names": ["web"]}]"#] {
        let (_top, storage) = storage(list);
        assert!(matches!(found(&storage, "web").unwrap_err(), PodmanError::List { .. }));
    }
}

#[test]
fn a_list_that_is_a_link_a_pipe_or_too_large_is_an_error() {
    let (top, storage) = storage(&two());
    let list = top.path().join("overlay-containers").join(LISTS[0]);
    let is_refused = |why: &str| {
        let error = with_causes(&found(&storage, "web").unwrap_err());
        assert!(error.contains("containers.json: ") && error.contains(why), "{error}");
    };
    fs::OpenOptions::new().write(true).open(&list).unwrap().set_len(SIZE_LIMIT + 1).unwrap();
    is_refused("larger than 8388608 bytes");
    let other = list.with_file_name("other");
    fs::rename(&list, &other).unwrap();
    symlink(&other, &list).unwrap();
    is_refused("symbolic links");
    fs::remove_file(&list).unwrap();
    mknodat(CWD, &list, FileType::Fifo, Mode::RUSR, 0).unwrap();
    is_refused("not a regular file");
}

#[test]
fn a_list_that_others_can_write_is_not_believed() {
    let (top, storage) = storage(&two());
    let list = top.path().join("overlay-containers").join(LISTS[0]);
    fs::set_permissions(&list, fs::Permissions::from_mode(0o666)).unwrap();
    assert!(matches!(found(&storage, "web").unwrap_err(), PodmanError::Foreign { .. }));
    fs::set_permissions(&list, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(found(&storage, "web").is_ok());
    fs::set_permissions(top.path(), fs::Permissions::from_mode(0o777)).unwrap();
    assert!(matches!(found(&storage, "web").unwrap_err(), PodmanError::Foreign { .. }));
}
