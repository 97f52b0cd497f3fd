// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cargo xtask image`: criu-gc as a container image, without a daemon.
//!
//! The image holds one static program and nothing else, as `deploy/Containerfile` says. The archive is an OCI layout that
//! also has the index of `docker save`, so that old and new engines load it.

use std::fs;
use std::io::Write;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use testkit::Artifacts;

use crate::cargo;
use crate::error::Error;
use crate::tree::{create, file};

/// Where the program is in the image.
const PROGRAM: &str = "criu-gc";
const OCI: &str = "application/vnd.oci.image";
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Builds the program and the archive, and says where they are.
pub(crate) fn run() -> Result<(), Error> {
    let artifacts = Artifacts::of_workspace();
    let (program, archive) = (artifacts.image().join(PROGRAM), artifacts.image_archive());
    create(&artifacts.image())?;
    cargo::build_static("criu-gc", PROGRAM, &program)?;
    let bytes = fs::read(&program).map_err(file("read", &program))?;
    let new = archive.with_extension("new");
    fs::write(&new, archive_of(&bytes)).map_err(file("write", &new))?;
    fs::rename(&new, &archive).map_err(file("write", &archive))?;
    println!("image: {} ({} KiB), {PROGRAM}:{VERSION}", archive.display(), bytes.len() >> 10);
    Ok(())
}

/// Something that is named by its content.
struct Blob {
    media_type: String,
    bytes: Vec<u8>,
}

impl Blob {
    fn json(kind: &str, value: &Value) -> Self {
        Blob { media_type: format!("{OCI}.{kind}+json"), bytes: value.to_string().into_bytes() }
    }

    fn digest(&self) -> String {
        Sha256::digest(&self.bytes).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn path(&self) -> String {
        format!("blobs/sha256/{}", self.digest())
    }

    fn descriptor(&self) -> Value {
        let digest = format!("sha256:{}", self.digest());
        json!({ "mediaType": self.media_type, "digest": digest, "size": self.bytes.len() })
    }
}

/// The archive for the bytes of a program; the same for the same bytes.
fn archive_of(program: &[u8]) -> Vec<u8> {
    let layer =
        Blob { media_type: format!("{OCI}.layer.v1.tar"), bytes: tar_of(&[(PROGRAM.to_owned(), program, 0o755)]) };
    let configuration = Blob::json(
        "config.v1",
        &json!({
            "architecture": architecture(),
            "os": "linux",
            "created": "1970-01-01T00:00:00Z",
            "config": {
                "Entrypoint": [format!("/{PROGRAM}")],
                "Labels": {
                    "org.opencontainers.image.title": PROGRAM,
                    "org.opencontainers.image.version": VERSION,
                    "org.opencontainers.image.licenses": "Apache-2.0 OR MIT",
                },
            },
            "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", layer.digest())] },
            "history": [{ "created": "1970-01-01T00:00:00Z", "created_by": "COPY criu-gc /criu-gc" }],
        }),
    );
    let manifest = Blob::json(
        "manifest.v1",
        &json!({
            "schemaVersion": 2,
            "mediaType": format!("{OCI}.manifest.v1+json"),
            "config": configuration.descriptor(),
            "layers": [layer.descriptor()],
        }),
    );
    let mut listed = manifest.descriptor();
    listed["annotations"] = json!({ "org.opencontainers.image.ref.name": format!("{PROGRAM}:{VERSION}") });
    let index = json!({ "schemaVersion": 2, "mediaType": format!("{OCI}.index.v1+json"), "manifests": [listed] });
    let saved = json!([{
        "Config": configuration.path(),
        "RepoTags": [format!("{PROGRAM}:{VERSION}")],
        "Layers": [layer.path()],
    }]);
    let texts = [
        ("oci-layout", json!({ "imageLayoutVersion": "1.0.0" }).to_string()),
        ("index.json", index.to_string()),
        ("manifest.json", saved.to_string()),
    ];
    let texts = texts.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes(), 0o644));
    let blobs = [&layer, &configuration, &manifest].map(|blob| (blob.path(), blob.bytes.as_slice(), 0o644));
    tar_of(&texts.chain(blobs).collect::<Vec<_>>())
}

/// A tar archive of files: name, content and mode. Nothing in it tells when or by whom it was made.
fn tar_of(files: &[(String, &[u8], u32)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, bytes, mode) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(*mode);
        archive.append_data(&mut header, name, *bytes).expect("a file in memory");
    }
    archive.into_inner().and_then(|mut bytes| bytes.flush().map(|()| bytes)).expect("an archive in memory")
}

/// The name of this machine's architecture in images.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read;

    use super::*;

    #[test]
    fn every_digest_in_the_archive_leads_to_its_blob() {
        let archive = archive_of(b"a program");
        assert_eq!(archive, archive_of(b"a program"));
        let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        for entry in tar::Archive::new(archive.as_slice()).entries().expect("entries") {
            let mut entry = entry.expect("an entry");
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).expect("a file");
            files.insert(entry.path().expect("a path").display().to_string(), bytes);
        }
        let json = |name: &str| serde_json::from_slice::<Value>(&files[name]).expect("a document");
        let blob = |descriptor: &Value| {
            let digest = descriptor["digest"].as_str().expect("a digest").replace("sha256:", "blobs/sha256/");
            assert_eq!(files[&digest].len() as u64, descriptor["size"].as_u64().expect("a size"));
            digest
        };
        let manifest = json(&blob(&json("index.json")["manifests"][0]));
        let saved = &json("manifest.json")[0];
        assert_eq!(saved["Config"], blob(&manifest["config"]));
        assert_eq!(saved["Layers"][0], blob(&manifest["layers"][0]));
        assert!(files[saved["Layers"][0].as_str().expect("a path")].windows(9).any(|bytes| bytes == b"a program"));
    }
}
