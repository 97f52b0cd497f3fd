// SPDX-License-Identifier: Apache-2.0 OR MIT
//! An archive, plain or compressed, of images, of an engine's export, or of a container's image: all in it is the word
//! of whoever made it. Nothing in it counts as this host's, no file in it is trusted more or is younger than the archive,
//! and no step that its images lead to leads out of scope.
//!
//! The first byte says how the rest is compressed, who may write the archive, and whether the sums of its headers are
//! put right, without which no changed header would ever be read.
#![no_main]

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use criu_gc::internals::locate::context::Trust;
use criu_gc::internals::locate::{self, Found, Images, Located, Lockable};
use criu_gc::internals::system::author::Author;
use criu_gc_fuzz::law;
use criu_images::ImageKind;
use libfuzzer_sys::fuzz_target;

const BLOCK: usize = 512;
/// `Limit::KEPT` of the reader.
const MOST_KEPT: usize = 256 << 20;

fuzz_target!(|data: &[u8]| {
    let Some((form, rest)) = data.split_first() else { return };
    let path = PathBuf::from(format!("/dev/shm/criu-gc-fuzz.archive.{}", std::process::id()));
    fs::write(&path, packed(*form, rest)).expect("an archive");
    let is_everybodys = form & 4 != 0;
    let mode = if is_everybodys { 0o666 } else { 0o600 };
    fs::set_permissions(&path, Permissions::from_mode(mode)).expect("a mode");
    let found = match locate::locate(&path, None, &|_| {}) {
        Ok(Found::Checkpoints(found)) => found.located,
        Ok(Found::Record(_)) | Err(_) => Vec::new(),
    };
    for located in found {
        check(&located, &path, is_everybodys);
    }
    fs::remove_file(&path).expect("an archive");
});

fn packed(form: u8, data: &[u8]) -> Vec<u8> {
    let mut tar = data.to_vec();
    if form & 8 == 0 {
        tar.chunks_exact_mut(BLOCK).filter(|block| block[257..].starts_with(b"ustar")).for_each(put_sum_right);
    }
    match form & 3 {
        1 => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(&tar).and_then(|()| encoder.finish()).expect("memory")
        }
        2 => zstd::encode_all(tar.as_slice(), 1).expect("memory"),
        _ => tar,
    }
}

fn put_sum_right(header: &mut [u8]) {
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

fn check(located: &Located, archive: &Path, is_everybodys: bool) {
    let Located { images, context, archive: compression, .. } = located;
    assert!(images.path().starts_with(archive) && images.directory().is_none() && compression.is_some());
    assert!(matches!(images.lockable(), Some(Lockable::Archive(source)) if source.path() == archive));
    assert!(
        context.network_namespaces.iter().all(|path| path.trust == Trust::Stranger) && context.own_root().is_none(),
        "{context:?}"
    );
    assert!(context.own_binds().next().is_none(), "{context:?}");
    let mut kept = 0;
    for kind in ImageKind::ALL {
        let ids = images.ids(*kind);
        let names = ids.into_iter().map(|id| kind.file_name(id)).chain([kind.file_name(0)]);
        kept += names.map(|name| check_image(images, &name, is_everybodys)).sum::<usize>();
    }
    assert!(kept <= MOST_KEPT, "{kept} bytes of images");
    law::no_step_leads_out_of_scope(images);
}

/// Gives its size.
fn check_image(images: &Images, name: &str, is_everybodys: bool) -> usize {
    let Ok(Some(mut image)) = images.image(name) else { return 0 };
    assert!(!is_everybodys || image.author == Author::Anybody, "{name}: {:?}", image.author);
    let changed = images.lockable().and_then(|lockable| match lockable {
        Lockable::Archive(source) => Some(source.changed()),
        Lockable::Directory(..) | Lockable::Record(_) => None,
    });
    assert!(image.written.is_none_or(|written| Some(written.until) <= changed), "{name}: {:?}", image.written);
    let mut content = Vec::new();
    image.read_to_end(&mut content).expect("memory")
}
