// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Archives of real images: as `tar` makes them, and as the one layer of a container's image.

use std::fs;
use std::path::Path;
use std::process::Command;

use testkit::CommandExt;

use super::{Seeds, create, failed};
use crate::error::Error;

/// What is passed over, is longer than inputs may be, or is what other targets are about.
const LEFT_OUT: [&str; 7] =
    ["pages-*.img", "pagemap-*.img", "mm-*.img", "core-*.img", "*.log", "stats-*", "config.dump"];

/// The first byte of an input: not compressed, gzip, zstd (`fuzz/targets/archive.rs`).
const FORMS: [u8; 3] = [0, 1, 2];

/// Names of blobs: the reader compares no digests.
const LAYER: &str = "11111111111111111111111111111111";
const MANIFEST: &str = "22222222222222222222222222222222";

impl Seeds<'_> {
    /// The files of a directory, in archives below another one.
    pub(super) fn add_archives(&self, name: &str, directory: &Path, scratch: &Path) -> Result<(), Error> {
        create(scratch)?;
        let plain = tar(directory, &scratch.join("plain.tar"), "gnu")?;
        self.add_forms(&format!("{name}-gnu"), &plain)?;
        self.add_forms(&format!("{name}-posix"), &tar(directory, &scratch.join("posix.tar"), "posix")?)?;
        let layout = scratch.join("layout");
        let blobs = layout.join("blobs/sha256");
        create(&blobs)?;
        let manifest = format!(
            r#"{{"layers": [{{"digest": "sha256:{LAYER}"}}], "annotations": {{"org.criu.checkpoint.container.name": "c"}}}}"#
        );
        let index = format!(r#"{{"manifests": [{{"digest": "sha256:{MANIFEST}"}}]}}"#);
        for (path, content) in [
            (blobs.join(LAYER), plain.as_slice()),
            (blobs.join(MANIFEST), manifest.as_bytes()),
            (layout.join("index.json"), index.as_bytes()),
        ] {
            fs::write(&path, content).map_err(failed("write", &path))?;
        }
        self.add_forms(&format!("{name}-image"), &tar(&layout, &scratch.join("image.tar"), "gnu")?)
    }

    fn add_forms(&self, name: &str, archive: &[u8]) -> Result<(), Error> {
        FORMS
            .into_iter()
            .try_for_each(|form| self.add_bytes("archive", &format!("{name}-{form}"), &[&[form], archive].concat()))
    }
}

/// What is below the directory, in an archive with this format of headers.
fn tar(directory: &Path, archive: &Path, format: &str) -> Result<Vec<u8>, Error> {
    let mut command = Command::new("tar");
    command.arg("-C").arg(directory).arg(format!("--format={format}")).arg("-cf").arg(archive);
    command.args(LEFT_OUT.map(|name| format!("--exclude={name}")));
    command.arg(".").succeed();
    fs::read(archive).map_err(failed("read", archive))
}
