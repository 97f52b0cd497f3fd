// SPDX-License-Identifier: Apache-2.0 OR MIT

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::super::fields::Time;
use super::*;
use crate::json::Bytes;

const RUN_ID: &str = "01234567-89ab-cdef-0123-456789abcdef";
const WRITTEN: Timestamp = Timestamp::new(1000, 5);

fn here() -> Machine {
    Machine {
        boot_id: machine::boot_id(),
        machine_id: machine::machine_id(),
        name: "here".to_owned(),
        pid_namespace: None,
    }
}

fn document() -> Document {
    Document {
        criu_gc_record: VERSION,
        tool: "criu-gc".to_owned(),
        recorded: Time(WRITTEN),
        machine: here(),
        dump: Dump {
            run_id: Some(RUN_ID.to_owned()),
            images_written: Some(Time(WRITTEN)),
            images_directory: Bytes(b"/srv/\xff".to_vec()),
        },
        links: Vec::new(),
        network: None,
        not_recorded: Vec::new(),
        facts: None,
        restores: Vec::new(),
    }
}

const IMAGES: ImagesId<'_> = ImagesId { run_id: Some(RUN_ID), written: Some(WRITTEN) };

/// A directory with this record; its mode is what a private one's is.
fn place(document: &Document) -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join(FILE_NAME);
    fs::write(&path, serde_json::to_vec(document).unwrap()).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    place
}

fn read_in(place: &tempfile::TempDir, images: ImagesId<'_>) -> Beside {
    read(&Directory::open(place.path()).unwrap(), images)
}

#[track_caller]
fn check_ignored(document: &Document, images: ImagesId<'_>, words: &str) {
    match read_in(&place(document), images) {
        Beside::Ignored(why) => assert!(why.contains(words), "{words:?} is not in {why}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_record_is_read_as_it_was_written() {
    let text = serde_json::to_vec(&document()).unwrap();
    assert_eq!(serde_json::from_slice::<Document>(&text).unwrap(), document());
    let Beside::Found(record) = read_in(&place(&document()), IMAGES) else { panic!("not found") };
    assert_eq!((record.trust, record.boot), (Trust::Full, Boot::This));
    let empty = tempfile::tempdir().unwrap();
    assert!(matches!(read_in(&empty, IMAGES), Beside::Nothing));
}

#[test]
fn a_record_that_others_can_write_is_believed_less() {
    let found = document();
    for (file, directory, trust) in [
        (0o600, 0o755, Trust::Full),
        (0o644, 0o700, Trust::Full),
        (0o620, 0o755, Trust::KeepOnly),
        (0o602, 0o755, Trust::KeepOnly),
        (0o600, 0o775, Trust::KeepOnly),
        (0o600, 0o777, Trust::KeepOnly),
        // Only who owns an entry can replace it there.
        (0o600, 0o1777, Trust::Full),
    ] {
        let place = place(&found);
        fs::set_permissions(place.path().join(FILE_NAME), fs::Permissions::from_mode(file)).unwrap();
        fs::set_permissions(place.path(), fs::Permissions::from_mode(directory)).unwrap();
        let Beside::Found(record) = read_in(&place, IMAGES) else { panic!("not found") };
        assert_eq!(record.trust, trust, "{file:o} {directory:o}");
    }
}

#[test]
fn a_record_of_other_images_is_ignored() {
    let other = "f1234567-89ab-cdef-0123-456789abcdef";
    check_ignored(&document(), ImagesId { run_id: Some(other), ..IMAGES }, other);
    check_ignored(&document(), ImagesId { run_id: None, ..IMAGES }, "another version");
    // The run id is enough: a copy of the images may have other times.
    let copied = ImagesId { written: Some(Timestamp::new(2000, 0)), ..IMAGES };
    assert!(matches!(read_in(&place(&document()), copied), Beside::Found(_)));
    let mut old = document();
    old.dump.run_id = None;
    check_ignored(&old, IMAGES, "another version");
    for (written, is_same) in [
        (Some(WRITTEN), true),
        (Some(Timestamp::new(1000, 0)), true),
        (Some(Timestamp::new(1000, 6)), false),
        (Some(Timestamp::new(1001, 0)), false),
        (None, false),
    ] {
        let beside = read_in(&place(&old), ImagesId { run_id: None, written });
        assert_eq!(matches!(beside, Beside::Found(_)), is_same, "{written:?}: {beside:?}");
    }
}

#[test]
fn a_record_knows_its_machine() {
    let with = |boot: Option<&str>, machine: Option<&str>| Machine {
        boot_id: boot.map(str::to_owned),
        machine_id: machine.map(str::to_owned),
        name: "there".to_owned(),
        pid_namespace: None,
    };
    let here = with(Some("b"), Some("m"));
    for (recorded, expected) in [
        (with(Some("b"), Some("m")), Ok(Boot::This)),
        // The machine id is that of a container.
        (with(Some("b"), None), Ok(Boot::This)),
        (with(Some("c"), Some("m")), Ok(Boot::Earlier)),
        (with(None, Some("m")), Ok(Boot::Earlier)),
        (with(Some("c"), Some("n")), Err(unusable("it was made on another machine, there"))),
        (with(None, None), Err(unusable("it was made on another machine, there"))),
    ] {
        assert_eq!(boot(&recorded, &here), expected, "{recorded:?}");
    }
    assert!(boot(&with(None, None), &with(None, None)).is_err());
}

#[test]
fn what_is_no_record_is_ignored() {
    let mut newer = document();
    newer.criu_gc_record = VERSION + 1;
    check_ignored(&newer, IMAGES, "version 2");
    for (text, words) in [("", "not a record"), ("{}", "not a record"), ("{\"criu_gc_record\": 1}", "not a record")] {
        let place = place(&document());
        fs::write(place.path().join(FILE_NAME), text).unwrap();
        let Beside::Ignored(why) = read_in(&place, IMAGES) else { panic!("not ignored: {text}") };
        assert!(why.contains(words), "{why}");
    }
    let place = tempfile::tempdir().unwrap();
    symlink("/etc/passwd", place.path().join(FILE_NAME)).unwrap();
    assert!(matches!(read_in(&place, IMAGES), Beside::Ignored(_)));
}
