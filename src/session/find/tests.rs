// SPDX-License-Identifier: Apache-2.0 OR MIT

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::*;
use crate::causes::with_causes;
use crate::kind;
use crate::record::store::RecordStore;
use crate::system::author::Author;
use crate::system::machine;

const RUN_ID: &str = "01234567-89ab-cdef-0123-456789abcdef";

/// A record without images: of a task with a link on a mount of its own, one on nothing that is known, and a connection.
fn record() -> Value {
    let namespaces = json!({ "pid": 1, "network": 2, "mount": 3 });
    let own = json!({ "pid": 11, "network": 2, "mount": 13 });
    let link = |id: u32| {
        json!({
            "id": id, "link": { "text": format!("/data/link_remap.{id}") }, "path": { "text": "/srv/x" },
            "device": "254:1", "inode": 7, "born": null, "changed": "999.000000000", "links": 2, "size": 41,
            "directory": { "inode": 6, "changed": "999.000000000" },
        })
    };
    json!({
        "criu_gc_record": 1, "tool": "criu-gc", "recorded": "1001.000000000",
        "machine": { "boot_id": machine::boot_id(), "machine_id": machine::machine_id(), "name": "here" },
        "dump": { "run_id": RUN_ID, "images_written": "1000.000000000", "images_directory": { "text": "/none" } },
        "links": [link(6)], "network": null, "not_recorded": [],
        "facts": {
            "images": null, "began": null, "since_boot": 1, "time_namespace": null, "network_lock": 0,
            "external_network": null, "root_pid": null,
            "criu": namespaces,
            "tasks": [{ "pid": 1, "name": { "text": "job" }, "program": null, "memory": null, "namespaces": own }],
            "links": [{ "id": 6, "original": { "text": "/data/one" }, "mode": 33188, "size": 41, "mount": 20 }],
            "mounts": [{
                "namespace": 13, "id": 20, "parent": 1, "kind": 0, "name": null, "device": "254:1",
                "root": { "text": "/volume" }, "mountpoint": { "text": "./data" }, "source": { "text": "/dev/vda1" },
                "options": { "text": "rw" }, "has_plugin": false, "is_external": false, "is_deleted": false, "key": null,
            }],
            "connections": [{ "local": "127.0.0.1:1", "peer": "127.0.0.1:2" }],
        },
    })
}

/// The file of a record, in a directory of its own.
struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    fn new(record: &Value) -> Self {
        let place = Place { directory: tempfile::tempdir().unwrap() };
        fs::write(place.path(), serde_json::to_vec_pretty(record).unwrap()).unwrap();
        fs::set_permissions(place.path(), Permissions::from_mode(0o600)).unwrap();
        place
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("any name")
    }

    fn options(&self) -> Options {
        Options::new().record_store(RecordStore::at(self.directory.path().join("criu-gc/records")))
    }

    fn read(&self) -> Result<Checkpoint, Error> {
        let [found] = <[Candidate<Described>; 1]>::try_from(locate(&self.path(), None, &Observer::default())?).unwrap();
        let described = found.state.unwrap();
        assert_eq!(described.layout, Layout::Record);
        read(described.given, &self.options()).map(|read| read.checkpoint)
    }
}

/// What the record claims, by label and name.
#[track_caller]
fn claims(record: &Value) -> Vec<String> {
    let checkpoint = Place::new(record).read().unwrap();
    let claims = kind::named_by_images(&checkpoint);
    assert_eq!(claims.unknown, []);
    let words = |residue: &kind::Residue| {
        let described = residue.describe(&crate::carrier::Presence::Unreachable(crate::carrier::Cause::Firewall));
        format!("{} {}", described.label, String::from_utf8_lossy(&described.name))
    };
    claims.residues.iter().map(words).collect()
}

#[test]
fn a_record_claims_what_its_images_did() {
    assert_eq!(claims(&record()), ["Locked tcp connection 127.0.0.1:1", "Link remap /data/link_remap.6"]);
    let mut nftables = record();
    nftables["facts"]["network_lock"] = json!(1);
    let table = format!("Network lock table inet CRIU-{RUN_ID}");
    let expected = ["Locked tcp connection 127.0.0.1:1", table.as_str(), "Link remap /data/link_remap.6"];
    assert_eq!(claims(&nftables), expected);
    let mut own = record();
    own["facts"]["tasks"][0]["namespaces"]["network"] = json!(12);
    assert_eq!(claims(&own), ["Network lock chain CRIU", "Link remap /data/link_remap.6"]);
}

#[test]
fn rules_and_chains_ended_with_their_boot() {
    let mut earlier = record();
    earlier["machine"]["boot_id"] = json!("another");
    assert_eq!(claims(&earlier), ["Link remap /data/link_remap.6"]);
    earlier["facts"]["network_lock"] = json!(1);
    assert_eq!(claims(&earlier).len(), 3, "a table may have been saved, and its name is the dump's");
    earlier["dump"]["run_id"] = Value::Null;
    assert_eq!(claims(&earlier), ["Link remap /data/link_remap.6"]);
}

#[test]
fn what_a_record_does_not_name_is_not_known() {
    let problems = |record: &Value| Place::new(record).read().unwrap().problems.len();
    assert_eq!(problems(&record()), 0);
    let mut incomplete = record();
    incomplete["not_recorded"] = json!(["/data/link_remap.8 could not be checked"]);
    assert_eq!(problems(&incomplete), 1);
    incomplete["facts"]["links"] = json!([]);
    assert_eq!(problems(&incomplete), 2);
}

#[test]
fn a_record_is_its_authors_word() {
    for (file, directory, author) in [
        (0o600, 0o755, Author::Trusted),
        (0o602, 0o755, Author::Anybody),
        (0o600, 0o777, Author::Anybody),
        (0o600, 0o1777, Author::Trusted),
    ] {
        let place = Place::new(&record());
        fs::set_permissions(place.path(), Permissions::from_mode(file)).unwrap();
        fs::set_permissions(place.directory.path(), Permissions::from_mode(directory)).unwrap();
        let checkpoint = place.read().unwrap();
        assert_eq!(checkpoint.author, author, "{file:o} {directory:o}");
        let record = checkpoint.record.record().unwrap();
        assert_eq!(record.since_boot(None).is_some(), author == Author::Trusted);
        assert_eq!(checkpoint.absence, Author::Anybody);
    }
}

#[test]
fn a_record_that_cannot_stand_for_its_images_is_refused() {
    let error = |change: &dyn Fn(&mut Value)| {
        let mut record = record();
        change(&mut record);
        with_causes(&Place::new(&record).read().unwrap_err())
    };
    let words = |error: String| error.split_once(": ").unwrap().1.to_owned();
    let old = words(error(&|record| record["facts"] = Value::Null));
    assert_eq!(old, "it was made by a criu-gc that did not yet record what the images say: name the images");
    let other =
        words(error(&|record| record["machine"] = json!({ "boot_id": "b", "machine_id": "m", "name": "there" })));
    assert_eq!(other, "it was made on another machine, there");
    assert!(words(error(&|record| record["criu_gc_record"] = json!(2))).starts_with("it has version 2"));
    // A task without all its fields would take much more memory than text.
    assert!(error(&|record| record["facts"]["tasks"] = json!([{ "pid": 1 }])).contains("missing field"));
}

#[test]
fn more_than_any_dump_leaves_is_refused() {
    let mut huge = record();
    let connection = huge["facts"]["connections"][0].clone();
    huge["facts"]["connections"] = Value::Array(vec![connection; 200_000]);
    let error = Place::new(&huge).read().unwrap_err();
    assert!(with_causes(&error).contains("no real dump leaves that many"), "{error}");
}

#[test]
fn the_first_bytes_tell_a_record_from_an_archive() {
    let is_record = |text: &str| {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        crate::record::is_record(&File::open(file.path()).unwrap())
    };
    assert!(is_record("{\n  \"criu_gc_record\": 1,") && is_record("{\"criu_gc_record\":1}"));
    for text in ["", "{", "{}", "{\"other\": 1}", "\u{1f}\u{8b}", "criu_gc_record"] {
        assert!(!is_record(text), "{text:?}");
    }
}
