// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Layouts made by hand as the OCI image specification and the engines document them.

use std::fs;
use std::io::{Seek, Write};

use serde_json::{Value, json};

use super::*;
use criu_images::ImageKind;

use crate::locate::context::Named;
use crate::locate::{Found, archive};

/// A layout of images in a directory.
struct Layouts(tempfile::TempDir);

/// The tar archive of these files; each holds the word.
fn layer(paths: &[&str]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for path in paths {
        let mut header = tar::Header::new_gnu();
        header.set_size(2);
        header.set_mode(0o644);
        builder.append_data(&mut header, path, b"{}".as_slice()).unwrap();
    }
    builder.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

impl Layouts {
    fn new() -> Self {
        let top = tempfile::tempdir().unwrap();
        fs::write(top.path().join("oci-layout"), r#"{"imageLayoutVersion": "1.0.0"}"#).unwrap();
        fs::create_dir_all(top.path().join("blobs/sha256")).unwrap();
        Layouts(top)
    }

    /// Adds a blob and gives its digest. What it is called matters, not whether it is right.
    fn blob(&self, content: &[u8]) -> String {
        let directory = self.0.path().join("blobs/sha256");
        let digest = format!("{:064x}", fs::read_dir(&directory).unwrap().count() + 1);
        fs::write(directory.join(&digest), content).unwrap();
        format!("sha256:{digest}")
    }

    fn manifest(&self, layers: &[&[u8]], annotations: &Value) -> String {
        let layers: Vec<Value> = layers.iter().map(|layer| json!({"digest": self.blob(layer)})).collect();
        self.blob(json!({"schemaVersion": 2, "layers": layers, "annotations": annotations}).to_string().as_bytes())
    }

    fn index(&self, manifests: &Value) {
        fs::write(self.0.path().join("index.json"), json!({"manifests": manifests}).to_string()).unwrap();
    }

    /// What is found in the directory, and in an archive of it: both the same.
    fn found(&self) -> Result<Vec<Located>, LocateError> {
        let in_directory = crate::locate::locate(self.0.path(), None, &|_| {}).map(|found| match found {
            Found::Checkpoints(found) => found.located,
            Found::Record(_) => Vec::new(),
        });
        let mut builder = tar::Builder::new(tempfile::tempfile().unwrap());
        builder.append_dir_all("", self.0.path()).unwrap();
        let mut file = builder.into_inner().unwrap();
        file.rewind().unwrap();
        let in_archive = archive::locate(Source::of(file, Path::new("a.tar")).unwrap(), None, &|_| {});
        let seen = |found: &Result<Vec<Located>, LocateError>, top: &Path| match found {
            Ok(found) => found
                .iter()
                .map(|each| (each.images.path().strip_prefix(top).unwrap().to_owned(), each.context.clone()))
                .collect(),
            Err(_) => Vec::new(),
        };
        assert_eq!(seen(&in_directory, self.0.path()), seen(&in_archive, Path::new("a.tar")));
        assert!(in_directory.iter().flatten().all(|each| each.layout == Layout::OciImage));
        in_directory
    }
}

const EXPORT: [&str; 3] = ["checkpoint/inventory.img", "config.dump", "spec.dump"];

#[test]
fn the_image_that_podman_makes_is_found() {
    let layouts = Layouts::new();
    let annotations = json!({
        "io.podman.annotations.checkpoint.name": "web", "io.podman.annotations.checkpoint.criu.version": "40300",
        "io.podman.annotations.checkpoint.podman.version": "5.4.0",
    });
    for pack in [|bytes: &[u8]| bytes.to_vec(), gzip, |bytes: &[u8]| zstd::stream::encode_all(bytes, 1).unwrap()] {
        let manifest = layouts.manifest(&[&pack(&layer(&EXPORT))], &annotations);
        layouts.index(&json!([{"digest": manifest}]));
        let found = layouts.found().unwrap();
        assert_eq!(found.len(), 1);
        assert!(found[0].images.path().ends_with("checkpoint"));
        let context = &found[0].context;
        assert_eq!(context.container.name.as_deref(), Some("web"));
        assert_eq!(context.engine, Named { name: Some("podman".into()), id: Some("5.4.0".into()) });
        assert_eq!(context.criu_version.as_deref(), Some("40300"));
    }
}

/// `ctr checkpoint`: the images are no layer of a manifest, but a blob of the index itself.
#[test]
fn the_images_in_an_index_of_containerds_are_found() {
    let layouts = Layouts::new();
    let images = layouts.blob(&layer(&["inventory.img", "pages-1.img"]));
    let container = layouts.manifest(&[&layer(&["etc/passwd"])], &json!({}));
    let index = layouts.blob(
        json!({"manifests": [
            {"mediaType": "application/vnd.containerd.container.criu.checkpoint.criu.tar", "digest": images},
            {"mediaType": "application/vnd.containerd.container.checkpoint.runtime.name", "digest": layouts.blob(b"io.containerd.runc.v2")},
            {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": container},
        ]})
        .to_string()
        .as_bytes(),
    );
    layouts.index(&json!([{"digest": index}]));
    let found = layouts.found().unwrap();
    assert_eq!(found.len(), 1);
    assert!(found[0].images.image("inventory.img").unwrap().is_some());
}

#[test]
fn each_image_with_a_checkpoint_is_found_once() {
    let layouts = Layouts::new();
    let one = layouts.manifest(&[&layer(&EXPORT)], &json!({"org.criu.checkpoint.container.name": "one"}));
    let other = layouts.manifest(&[&layer(&["etc/passwd"])], &json!({}));
    let two = layouts.manifest(&[&layer(&EXPORT)], &json!({"org.criu.checkpoint.container.name": "two"}));
    layouts.index(&json!([{"digest": one}, {"digest": other}, {"digest": two}, {"digest": one}]));
    let names: Vec<_> = layouts.found().unwrap().into_iter().map(|found| found.context.container.name).collect();
    assert_eq!(names, [Some("one".to_owned()), Some("two".to_owned())]);
}

#[test]
fn a_layer_hides_what_lies_below() {
    let found = |layers: &[&[&str]]| {
        let layouts = Layouts::new();
        let layers: Vec<Vec<u8>> = layers.iter().map(|paths| layer(paths)).collect();
        let layers: Vec<&[u8]> = layers.iter().map(Vec::as_slice).collect();
        layouts.index(&json!([{"digest": layouts.manifest(&layers, &json!({}))}]));
        layouts.found().map(|found| found[0].images.ids(ImageKind::Core))
    };
    let images = ["checkpoint/inventory.img", "checkpoint/core-1.img", "checkpoint/core-2.img"];
    assert_eq!(found(&[&images, &["checkpoint/core-3.img"]]).unwrap(), [1, 2, 3]);
    assert_eq!(found(&[&images, &["checkpoint/.wh.core-1.img"]]).unwrap(), [2]);
    assert_eq!(found(&[&images, &["checkpoint/.wh..wh..opq", "checkpoint/core-9.img"]]).unwrap(), [9]);
    assert!(found(&[&images, &[".wh.checkpoint"]]).is_err());
    assert_eq!(found(&[&[".wh.checkpoint"], &images]).unwrap(), [1, 2]);
}

#[test]
fn documents_that_lead_nowhere_are_no_checkpoint() {
    let layouts = Layouts::new();
    let good = layouts.blob(&layer(&EXPORT));
    let own = format!("sha256:{:064x}", 7);
    for index in [
        json!([]),
        json!([{"digest": "sha256:../../../../etc/passwd"}, {"digest": "../index.json"}, {"digest": ""}]),
        json!([{"digest": "sha256:/etc/passwd"}, {"digest": ":"}, {"digest": "sha256:"}, {"digest": own}]),
        // A layer is no manifest.
        json!([{"digest": good}]),
    ] {
        layouts.index(&index);
        assert!(matches!(layouts.found().unwrap_err(), LocateError::NoImages { .. }), "{index}");
    }
}

#[test]
fn a_changed_byte_of_a_layer_is_noticed() {
    let layouts = Layouts::new();
    let mut packed = gzip(&layer(&EXPORT));
    let sum = packed.len() - 6;
    packed[sum] ^= 1;
    layouts.index(&json!([{"digest": layouts.manifest(&[&packed], &json!({}))}]));
    assert!(matches!(layouts.found().unwrap_err(), LocateError::Archive { .. }));
}

#[test]
fn a_circle_of_indexes_comes_to_an_end() {
    let layouts = Layouts::new();
    let digest = |number: usize| format!("sha256:{number:064x}");
    for number in 1..=9 {
        let manifests = json!([{"digest": digest(number % 9 + 1)}, {"digest": digest(number)}]);
        assert_eq!(layouts.blob(json!({"manifests": manifests}).to_string().as_bytes()), digest(number));
    }
    layouts.index(&json!([{"digest": digest(1)}]));
    assert!(matches!(layouts.found().unwrap_err(), LocateError::NoImages { .. }));
}

#[test]
fn an_index_that_makes_no_sense_is_told() {
    let layouts = Layouts::new();
    let deep = "[".repeat(100_000);
    for index in ["", "7", r#"{"manifests": 7}"#, &deep] {
        fs::write(layouts.0.path().join("index.json"), index).unwrap();
        let error = layouts.found().unwrap_err();
        assert!(matches!(error, LocateError::Document { .. } | LocateError::NoImages { .. }), "{error}");
        assert!(!error.to_string().is_empty());
    }
}

/// `docker save`, and `podman save` by default: no layout, but `manifest.json` and an archive for each layer.
#[test]
fn what_docker_saves_is_found() {
    let digest = "ab".repeat(32);
    for name in [format!("{digest}.tar"), format!("{digest}/layer.tar"), format!("blobs/sha256/{digest}")] {
        let mut builder = tar::Builder::new(tempfile::tempfile().unwrap());
        let mut add = |path: &str, content: &[u8]| {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            builder.append_data(&mut header, path, content).unwrap();
        };
        add(&name, &layer(&EXPORT));
        let manifest = json!([{"Config": "x.json", "RepoTags": ["checkpoint:latest"], "Layers": [name]}]);
        add("manifest.json", manifest.to_string().as_bytes());
        let mut file = builder.into_inner().unwrap();
        file.rewind().unwrap();
        let found = archive::locate(Source::of(file, Path::new("a.tar")).unwrap(), None, &|_| {}).unwrap();
        assert_eq!((found.len(), found[0].layout), (1, Layout::OciImage), "{name}");
    }
}

#[test]
fn layers_without_end_are_refused() {
    let layouts = Layouts::new();
    let layer = layouts.blob(&layer(&EXPORT));
    let layers: Vec<Value> = (0..=LAYERS).map(|_| json!({"digest": layer})).collect();
    let manifest = layouts.blob(json!({"layers": layers}).to_string().as_bytes());
    layouts.index(&json!([{"digest": manifest}]));
    let error = layouts.found().unwrap_err().to_string();
    assert!(error.contains("have more than 4096 layers"), "{error}");
}
