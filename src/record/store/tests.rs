// SPDX-License-Identifier: Apache-2.0 OR MIT

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::time::{Duration, SystemTime};

use super::super::document::{Dump, Machine, VERSION};
use super::super::facts::{Facts, Task};
use super::super::fields::Time;
use super::*;
use crate::json::Bytes;
use crate::system::machine;

/// A store that does not exist yet, in a directory of its own.
struct Place {
    directory: tempfile::TempDir,
    store: RecordStore,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = RecordStore::at(directory.path().join("criu-gc/records"));
        Place { directory, store }
    }

    fn limited(records: usize, bytes: u64) -> Self {
        let mut place = Place::new();
        place.store.limits = Limits { records, bytes };
        place
    }

    fn top(&self) -> &Path {
        self.directory.path()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.store.path().join(name)
    }

    #[track_caller]
    fn put(&self, document: &Document) -> Stored {
        self.store.put(document, &text(document)).unwrap()
    }

    /// Writes a record's file `seconds` ago.
    fn age(&self, run_id: &str, seconds: u64) {
        let file = fs::File::options().append(true).open(self.path(&format!("{run_id}.json"))).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(seconds)).unwrap();
    }

    fn names(&self) -> Vec<String> {
        let name = |path: PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
        self.store.list().unwrap().into_iter().map(name).collect()
    }
}

fn text(document: &Document) -> Vec<u8> {
    serde_json::to_vec(document).unwrap()
}

fn run_id(number: u32) -> String {
    format!("{number:08}-89ab-cdef-0123-456789abcdef")
}

fn of_run(run_id: &str) -> ImagesId<'_> {
    ImagesId { run_id: Some(run_id), written: None }
}

fn document(run_id: Option<String>) -> Document {
    let task = Task { pid: 7, name: None, program: None, memory: None, namespaces: None };
    Document {
        criu_gc_record: VERSION,
        tool: "criu-gc".to_owned(),
        recorded: Time(Timestamp::new(1001, 0)),
        machine: Machine {
            boot_id: machine::boot_id(),
            machine_id: machine::machine_id(),
            name: "here".to_owned(),
            pid_namespace: None,
        },
        dump: Dump {
            run_id,
            images_written: Some(Time(Timestamp::new(1000, 5))),
            images_directory: Bytes(b"/srv/images".to_vec()),
        },
        links: Vec::new(),
        network: None,
        not_recorded: Vec::new(),
        facts: Some(Facts {
            images: None,
            began: None,
            since_boot: 0,
            time_namespace: None,
            network_lock: Some(0),
            external_network: None,
            root_pid: None,
            criu: None,
            tasks: vec![task],
            links: Vec::new(),
            mounts: Vec::new(),
            connections: Vec::new(),
        }),
        restores: Vec::new(),
    }
}

#[test]
fn a_record_is_found_again_and_nobody_else_may_read_it() {
    let place = Place::new();
    let id = run_id(1);
    assert_eq!(place.store.list().unwrap(), Vec::<PathBuf>::new());
    assert!(place.store.find(of_run(&id)).unwrap().is_none() && !place.store.remove(of_run(&id)).unwrap());
    let stored = place.put(&document(Some(id.clone())));
    assert_eq!((&stored.path, stored.dropped), (&place.path(&format!("{id}.json")), 0));
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
    assert_eq!(
        [mode(place.store.path()), mode(&place.top().join("criu-gc")), mode(&stored.path)],
        [0o700, 0o700, 0o600]
    );
    assert_eq!(place.store.find(of_run(&id)).unwrap(), Some((stored.path, document(Some(id.clone())))));
    assert!(place.store.find(of_run(&run_id(2))).unwrap().is_none());
    assert!(place.store.remove(of_run(&id)).unwrap());
    assert_eq!(place.names(), Vec::<String>::new());
}

#[test]
fn a_dump_without_a_run_id_is_named_by_its_time() {
    let place = Place::new();
    let stored = place.put(&document(None));
    assert_eq!(stored.path, place.path("images-1000.000000005-7.json"));
    for (written, is_found) in [
        (Timestamp::new(1000, 5), true),
        // As tar keeps it.
        (Timestamp::new(1000, 0), true),
        (Timestamp::new(1000, 6), false),
        (Timestamp::new(1001, 0), false),
        (Timestamp::new(10, 0), false),
    ] {
        let found = place.store.find(ImagesId { run_id: None, written: Some(written) }).unwrap();
        assert_eq!(found.is_some(), is_found, "{written}");
    }
    let mut nameless = document(None);
    nameless.dump.images_written = None;
    assert!(matches!(place.store.put(&nameless, b"{}"), Err(StoreError::NoName)));
    assert!(matches!(place.store.put(&document(Some("../../etc/passwd".into())), b"{}"), Err(StoreError::NoName)));
}

#[test]
fn the_oldest_records_go_when_there_is_no_room() {
    let place = Place::limited(3, 1 << 20);
    for number in 1..=3 {
        place.put(&document(Some(run_id(number))));
        place.age(&run_id(number), u64::from(10 - number));
    }
    place.age(&run_id(2), 1000);
    assert_eq!(place.put(&document(Some(run_id(4)))).dropped, 1);
    assert_eq!(place.names(), [1, 3, 4].map(|number| format!("{}.json", run_id(number))));
    // The same once more takes no room.
    assert_eq!(place.put(&document(Some(run_id(4)))).dropped, 0);
    let size = text(&document(Some(run_id(1)))).len() as u64;
    let small = Place::limited(100, 2 * size);
    for (number, dropped) in [(1, 0), (2, 0), (3, 1)] {
        assert_eq!(small.put(&document(Some(run_id(number)))).dropped, dropped, "{number}");
        small.age(&run_id(number), u64::from(10 - number));
    }
    let too_large = vec![b' '; usize::try_from(2 * size + 1).unwrap()];
    assert!(matches!(small.store.put(&document(Some(run_id(4))), &too_large), Err(StoreError::TooLarge(_))));
    assert_eq!(small.names(), [2, 3].map(|number| format!("{}.json", run_id(number))));
}

#[test]
fn what_is_not_a_record_is_neither_counted_nor_removed() {
    let place = Place::limited(1, 1 << 20);
    place.put(&document(Some(run_id(1))));
    place.age(&run_id(1), 10);
    fs::write(place.path("notes.json"), "precious").unwrap();
    fs::create_dir(place.path(&format!("{}.json", run_id(8)))).unwrap();
    // What a killed run left is a record that will never be one.
    let unfinished = place.path(&format!("{}.json.part", run_id(9)));
    fs::write(&unfinished, "{").unwrap();
    assert_eq!(place.put(&document(Some(run_id(2)))).dropped, 2);
    assert!(!unfinished.exists() && place.path("notes.json").exists());
    assert_eq!(place.names(), [2, 8].map(|number| format!("{}.json", run_id(number))));
}

#[test]
fn a_failed_write_leaves_the_older_record() {
    let place = Place::new();
    let stored = place.put(&document(Some(run_id(1))));
    fs::create_dir(place.path(&format!("{}.json.part", run_id(1)))).unwrap();
    assert!(matches!(place.store.put(&document(Some(run_id(1))), b"{"), Err(StoreError::File(_))));
    assert_eq!(fs::read(stored.path).unwrap(), text(&document(Some(run_id(1)))));
}

#[test]
fn no_symbolic_link_is_followed_below_what_every_host_has() {
    for link in ["criu-gc", "criu-gc/records"] {
        let place = Place::new();
        fs::create_dir_all(place.top().join("elsewhere/records")).unwrap();
        if link != "criu-gc" {
            fs::create_dir(place.top().join("criu-gc")).unwrap();
        }
        symlink(place.top().join("elsewhere"), place.top().join(link)).unwrap();
        place.store.put(&document(Some(run_id(1))), b"{}").unwrap_err();
        place.store.list().unwrap_err();
        assert_eq!(fs::read_dir(place.top().join("elsewhere/records")).unwrap().count(), 0, "{link}");
    }
    // In the place of a record.
    let place = Place::new();
    place.put(&document(Some(run_id(2))));
    let precious = place.top().join("precious");
    fs::write(&precious, text(&document(Some(run_id(1))))).unwrap();
    symlink(&precious, place.path(&format!("{}.json", run_id(1)))).unwrap();
    place.store.find(of_run(&run_id(1))).unwrap_err();
    place.store.remove(of_run(&run_id(1))).unwrap_err();
    place.put(&document(Some(run_id(1))));
    assert!(!fs::symlink_metadata(place.path(&format!("{}.json", run_id(1)))).unwrap().is_symlink());
    assert!(precious.exists());
}

#[test]
fn a_store_that_others_can_write_is_refused() {
    let id = run_id(1);
    for open in ["criu-gc/records", "criu-gc", ""] {
        let place = Place::new();
        place.put(&document(Some(id.clone())));
        let set = |mode: u32| fs::set_permissions(place.top().join(open), Permissions::from_mode(mode)).unwrap();
        for mode in [0o777, 0o770, 0o722] {
            set(mode);
            assert!(matches!(place.store.find(of_run(&id)), Err(StoreError::OthersWrite(_))), "{open} {mode:o}");
            assert!(matches!(place.store.put(&document(Some(run_id(2))), b"{}"), Err(StoreError::OthersWrite(_))));
            place.store.remove(of_run(&id)).unwrap_err();
        }
        set(0o755);
        assert!(place.store.find(of_run(&id)).unwrap().is_some(), "{open}");
        assert_eq!(place.names().len(), 1);
    }
}

#[test]
fn a_record_that_others_can_write_is_not_used() {
    let place = Place::new();
    let id = run_id(1);
    let stored = place.put(&document(Some(id.clone())));
    fs::set_permissions(&stored.path, Permissions::from_mode(0o666)).unwrap();
    assert!(matches!(place.store.record(of_run(&id), Author::Trusted), Err(StoreError::OthersWrite(_))));
    fs::set_permissions(&stored.path, Permissions::from_mode(0o600)).unwrap();
    assert!(place.store.record(of_run(&id), Author::Trusted).unwrap().is_some());
    fs::write(&stored.path, "{").unwrap();
    assert!(matches!(place.store.record(of_run(&id), Author::Trusted), Err(StoreError::Unusable { .. })));
}

#[test]
fn names_of_records() {
    let id = run_id(1);
    for (name, is_record) in [
        (format!("{id}.json"), true),
        ("images-1000.000000005-7.json".to_owned(), true),
        (id.clone(), false),
        (format!("{id}.json.part"), false),
        (format!("{id}x.json"), false),
        (".json".to_owned(), false),
        ("images-x.json".to_owned(), false),
    ] {
        assert_eq!(is_record_name(name.as_bytes()), is_record, "{name}");
    }
    assert!(is_ours(format!("{id}.json.part").as_bytes()) && !is_ours(b"notes.json.part"));
}
