// SPDX-License-Identifier: Apache-2.0 OR MIT

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use super::*;

#[test]
fn names_are_numbered_on_from_the_highest() {
    let check = |names: &[&str], expected: u64| {
        let names: Vec<Vec<u8>> = names.iter().map(|name| name.as_bytes().to_vec()).collect();
        assert_eq!(first_free_number(&names), expected, "{names:?}");
    };
    check(&[], 1);
    check(&["manifest.jsonl", "link_remap.7", "-8", "x9-link_remap.1"], 1);
    check(&["1-link_remap.7", "10-link_remap.1", "2-link_remap.99"], 11);
    check(&["3-link_remap.7.part"], 4);
    check(&["5", "4-"], 6);
    check(&["99999999999999999999-link_remap.1", "2-"], 3);
}

/// A directory with a link remap in it, and a save directory that is not there yet.
struct Scene {
    place: tempfile::TempDir,
    evidence: Vec<Evidence>,
}

impl Scene {
    fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("link_remap.7"), "content").unwrap();
        let evidence = vec![Evidence { image: "files.img".into(), record: 3, offset: 128 }];
        Scene { place, evidence }
    }

    fn saved(&self) -> PathBuf {
        self.place.path().join("saved")
    }

    fn destination(&self) -> Result<Destination, SaveError> {
        Destination::check(&self.saved())
    }

    fn save(&self) -> Saved {
        let directory = self.destination().unwrap().open().unwrap();
        let file = self.file();
        let mut saver = Saver { directory, images: Some("/images".into()), run_id: Some("run".to_owned()) };
        let subject = Subject {
            stem: "link_remap",
            id: 7,
            link: b"/tmp/link_remap.7",
            original: Some(b"/tmp/\xff"),
            path: self.place.path().join("link_remap.7"),
            identity: &file.identity().unwrap(),
            evidence: &self.evidence,
        };
        let unsynced = saver.save(&subject, &file).unwrap();
        saver.sync(vec![unsynced]).unwrap().remove(0)
    }

    fn file(&self) -> Pinned {
        Directory::open(self.place.path()).unwrap().pin(OsStr::new("link_remap.7")).unwrap().unwrap()
    }

    fn manifest(&self) -> Vec<serde_json::Value> {
        let text = fs::read_to_string(self.saved().join(MANIFEST)).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

#[test]
fn checking_a_destination_makes_nothing() {
    let scene = Scene::new();
    assert!(scene.destination().is_ok() && !scene.saved().exists());
}

#[test]
fn a_file_is_saved_once_more_when_it_is_saved_again() {
    let scene = Scene::new();
    let saved = [scene.save(), scene.save()];
    for (saved, name) in saved.iter().zip(["1-link_remap.7", "2-link_remap.7"]) {
        assert_eq!((&saved.path, saved.method), (&scene.saved().join(name), Method::HardLink));
        assert_eq!(fs::read_to_string(&saved.path).unwrap(), "content");
    }
    let files: Vec<serde_json::Value> = scene.manifest().iter().map(|line| line["file"].clone()).collect();
    assert_eq!(files, ["1-link_remap.7", "2-link_remap.7"]);
    assert_eq!(fs::metadata(scene.saved()).unwrap().permissions().mode() & 0o7777, 0o700);
}

#[test]
fn a_line_says_what_the_file_was() {
    let scene = Scene::new();
    let file = scene.file();
    let identity = file.identity().unwrap();
    let before = Attributes::of(&file, file.path()).unwrap();
    let _ = scene.save();
    let line = &scene.manifest()[0];
    let (major, minor) = identity.device;
    let after = Attributes::of(&file, file.path()).unwrap();
    let expected = serde_json::json!({
        "manifest": 1,
        "file": "1-link_remap.7",
        "method": "hard-link",
        "link": { "text": "/tmp/link_remap.7" },
        "original": { "bytes": "L3RtcC//" },
        "path": { "text": scene.place.path().join("link_remap.7") },
        "device": format!("{major}:{minor}"),
        "inode": identity.inode,
        "mode": format!("{:o}", identity.mode),
        "uid": before.uid,
        "gid": before.gid,
        "size": 7,
        "accessed": before.accessed.to_string(),
        "modified": before.modified.to_string(),
        "changed": before.changed.to_string(),
        "changed_by_saving": after.changed.to_string(),
        "refused_attributes": [],
        "images_directory": { "text": "/images" },
        "run_id": "run",
        "evidence": [{ "image": "files.img", "record": 3, "offset": 128 }],
        "saved": line["saved"],
        "tool": concat!("criu-gc ", env!("CARGO_PKG_VERSION")),
    });
    assert_eq!(line, &expected);
    assert!(line["saved"].as_str() >= Some(&*before.changed.to_string()), "{line}");
}

#[test]
fn a_later_run_knows_the_changes_that_an_earlier_one_made() {
    let scene = Scene::new();
    let _ = scene.save();
    let identity = scene.file().identity().unwrap();
    assert_eq!(scene.destination().unwrap().own_changes().get(&identity.id()), Some(&identity.changed));
}

#[test]
fn lines_that_say_nothing_are_passed_over() {
    let line = |version: u32, inode: u64, changed: &str| {
        format!(r#"{{"manifest":{version},"device":"8:1","inode":{inode},"changed_by_saving":{changed}}}"#)
    };
    let lines = [
        line(1, 5, r#""12.000000034""#),
        line(2, 6, r#""12.000000034""#),
        line(1, 7, "null"),
        line(1, 8, r#""12""#),
        "{\"manifest\":1,\"dev".to_owned(),
        "\u{0}".to_owned(),
        String::new(),
        line(1, 5, r#""13.000000001""#),
    ];
    let changes = manifest::own_changes(lines.join("\n").as_bytes()).unwrap();
    assert_eq!(changes, Changes::from([(((8, 1), 5), Timestamp::new(13, 1))]));
}

#[test]
fn a_directory_that_others_can_write_in_is_refused_unless_it_is_sticky() {
    let scene = Scene::new();
    fs::create_dir(scene.saved()).unwrap();
    for (mode, is_good) in [(0o700, true), (0o755, true), (0o1777, true), (0o777, false), (0o770, false)] {
        fs::set_permissions(scene.saved(), Permissions::from_mode(mode)).unwrap();
        let checked = scene.destination();
        assert_eq!(checked.is_ok(), is_good, "{mode:o}");
        assert!(is_good || matches!(checked, Err(SaveError::OthersWrite(_))), "{mode:o}: {checked:?}");
    }
}
