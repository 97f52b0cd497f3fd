// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Archives of real images: as `tar` makes them, and as the one layer of a container's image.

use std::fs;
use std::path::Path;
use std::process::Command;

use testkit::CommandExt;

use super::corpus::Corpus;
use crate::error::Error;
use crate::tree::{create, file};

/// What is passed over, is longer than inputs may be, or is what other targets are about.
const LEFT_OUT: [&str; 7] =
    ["pages-*.img", "pagemap-*.img", "mm-*.img", "core-*.img", "*.log", "stats-*", "config.dump"];

/// The first byte of an input: not compressed, gzip, zstd (`fuzz/targets/archive.rs`).
const FORMS: [u8; 3] = [0, 1, 2];

/// Names of blobs: the reader compares no digests.
const LAYER: &str = "11111111111111111111111111111111";
const MANIFEST: &str = "22222222222222222222222222222222";

/// Adds the files of a directory, in archives that are made below another one.
pub(super) fn add(corpus: &Corpus<'_>, name: &str, directory: &Path, scratch: &Path) -> Result<(), Error> {
    create(scratch)?;
    let plain = tar(directory, &scratch.join("plain.tar"), "gnu")?;
    add_forms(corpus, &format!("{name}-gnu"), &plain)?;
    add_forms(corpus, &format!("{name}-posix"), &tar(directory, &scratch.join("posix.tar"), "posix")?)?;
    let layout = scratch.join("layout");
    write_layout(&layout, &plain)?;
    add_forms(corpus, &format!("{name}-image"), &tar(&layout, &scratch.join("image.tar"), "gnu")?)
}

/// A container's image of one layer.
fn write_layout(layout: &Path, layer: &[u8]) -> Result<(), Error> {
    let blobs = layout.join("blobs/sha256");
    create(&blobs)?;
    let manifest = format!(
        r#"{{"layers": [{{"digest": "sha256:{LAYER}"}}], "annotations": {{"org.criu.checkpoint.container.name": "c"}}}}"#
    );
    let index = format!(r#"{{"manifests": [{{"digest": "sha256:{MANIFEST}"}}]}}"#);
    for (path, content) in [
        (blobs.join(LAYER), layer),
        (blobs.join(MANIFEST), manifest.as_bytes()),
        (layout.join("index.json"), index.as_bytes()),
    ] {
        fs::write(&path, content).map_err(file("write", &path))?;
    }
    Ok(())
}

fn add_forms(corpus: &Corpus<'_>, name: &str, archive: &[u8]) -> Result<(), Error> {
    FORMS
        .into_iter()
        .try_for_each(|form| corpus.add_bytes("archive", &format!("{name}-{form}"), &[&[form], archive].concat()))
}

/// What is below the directory, in an archive with this format of headers.
fn tar(directory: &Path, archive: &Path, format: &str) -> Result<Vec<u8>, Error> {
    let mut command = Command::new("tar");
    command.arg("-C").arg(directory).arg(format!("--format={format}")).arg("-cf").arg(archive);
    command.args(LEFT_OUT.map(|name| format!("--exclude={name}")));
    command.arg(".").succeed();
    fs::read(archive).map_err(file("read", archive))
}
