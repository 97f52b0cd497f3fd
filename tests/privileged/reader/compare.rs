// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reads each image of a directory twice, and compares all that criu-images reads.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};

use criu_images::{ByteOrder, Entry, ImageKind, ImageReader};
use serde_json::Value;
use testkit::{Crit, Criu};

use super::fields;

/// What came of a comparison.
#[derive(Default)]
pub(super) struct Compared {
    /// Where the readers differ.
    pub(super) differences: Vec<String>,
    /// The fields that CRIU's reader found in some record with a value that is not the field's default.
    pub(super) seen: BTreeSet<String>,
}

/// Compares every image of the kinds that criu-images reads.
pub(super) fn compare_images(criu: &Criu, directory: &Path) -> Compared {
    let mut compared = Compared::default();
    let images = images(directory);
    let paths: Vec<&Path> = images.iter().map(|(_, path)| path.as_path()).collect();
    for ((kind, path), theirs) in images.iter().zip(Crit::records_of_all(criu, &paths)) {
        let ours = fields::of_image(*kind, path);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // CRIU's reader gives the chunks of a ghost file's content too.
        if ours.len() != theirs.len() && *kind != ImageKind::GhostFile {
            compared.differences.push(format!("{name}: {} records, and by CRIU {}", ours.len(), theirs.len()));
        }
        for (at, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
            compared.compare(&format!("{name} record {at}"), &format!("{kind:?}"), ours, theirs);
        }
    }
    compared
}

fn images(directory: &Path) -> Vec<(ImageKind, PathBuf)> {
    let entries = fs::read_dir(directory).expect("the images directory");
    let paths = entries.map(|entry| entry.expect("an entry of the images directory").path());
    paths.filter_map(|path| Some((ImageKind::from_file_name(path.file_name()?)?.0, path))).collect()
}

/// The byte order and the records of an image, by criu-images.
pub(super) fn records<E: Entry>(path: &Path) -> (ByteOrder, Vec<E>) {
    let wrong = |error| panic!("{}: {error}", path.display());
    let file = BufReader::new(File::open(path).expect("an image"));
    let reader = ImageReader::open(file).unwrap_or_else(wrong);
    let order = reader.byte_order();
    (order, reader.map(|record| record.unwrap_or_else(|error| panic!("{}: {error}", path.display())).entry).collect())
}

impl Compared {
    /// Compares every field of `ours`; CRIU's reader leaves out what is not set.
    fn compare(&mut self, place: &str, name: &str, ours: &Value, theirs: &Value) {
        if let (Value::Object(ours), Value::Object(theirs)) = (ours, theirs) {
            for (field, ours) in ours {
                self.compare(place, &format!("{name}.{field}"), ours, theirs.get(field).unwrap_or(&Value::Null));
            }
            if ours.is_empty() {
                self.seen.insert(name.to_owned());
            }
            return;
        }
        let is_same = ours == theirs || theirs.is_null() && is_default(ours);
        if !is_same {
            self.differences.push(format!("{place}: {name} is {ours}, and by CRIU {theirs}"));
        }
        if !is_default(theirs) && theirs != 0 {
            self.seen.insert(name.to_owned());
        }
    }
}

/// Whether our types have this value too where the field is not set.
fn is_default(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(values) => values.is_empty(),
        _ => false,
    }
}
