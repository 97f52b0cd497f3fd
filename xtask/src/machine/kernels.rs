// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Debian's kernels for clouds, with their modules: small, and with all drivers that an emulated machine has.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use machine::{Installation, Kernel};

use super::{filesystem, initramfs, stamp};
use crate::apt::Apt;
use crate::error::Error;
use crate::tree::{create, entries, file, remove, unpack, write};
use crate::{program, sources};

/// Part of the stamp: kernels that another xtask brought are brought again when this changes.
const LAYOUT: &str = "layout 1";

/// The package that depends on the newest kernel of a release.
const PACKAGE: &str = "linux-image-cloud-amd64";

/// What a kernel of a version comes in: one package, or since 7.x three.
const PARTS: [&str; 3] = ["linux-image-", "linux-binary-", "linux-modules-"];

/// Brings the kernel, if none of its line is here.
pub(crate) fn bring(installation: &Installation, kernel: Kernel) -> Result<(), Error> {
    let place = installation.kernel(kernel);
    let text = format!("{LAYOUT}\n{}\n", initramfs::SCRIPT);
    if stamp::holds(&place, &text) {
        println!("machine: kernel {kernel} is here");
        return Ok(());
    }
    println!("machine: brings kernel {kernel} from {}", kernel.suite());
    let new = place.with_file_name(format!("new-{kernel}"));
    remove(&new)?;
    create(&new)?;
    let tree = download(kernel, &new)?;
    let release = release(&tree, &new)?;
    program::output(Command::new("depmod").arg("--basedir").arg(&tree).arg(&release))?;
    let vmlinuz = vmlinuz(&tree, &release, &new)?;
    fs::copy(&vmlinuz, new.join("vmlinuz")).map_err(file("read", &vmlinuz))?;
    initramfs::make(&tree, &release, &installation.directory().join("busybox"), &new.join("initramfs"))?;
    let modules = tree.join("usr/lib/modules");
    let megabytes = filesystem::size(&modules)? * 5 / 4 + 32;
    filesystem::ext4(&modules, &new.join("modules.img"), megabytes)?;
    write(&new.join("release"), &release)?;
    remove(&tree)?;
    remove(&place)?;
    fs::rename(&new, &place).map_err(file("make", &place))?;
    stamp::set(&place, &text)
}

/// Unpacks the kernel's packages to a directory, which it gives.
fn download(kernel: Kernel, place: &Path) -> Result<PathBuf, Error> {
    let mirror = sources::mirror()?;
    let apt = Apt::update(&place.join("apt"), &mirror, &[kernel.suite()])?;
    let is_image = |name: &String| name.starts_with(PARTS[0]);
    let image = apt.dependencies(PACKAGE)?.into_iter().find(is_image);
    let missing = || Error::NoKernel { suite: kernel.suite(), mirror: mirror.uri.clone(), package: PACKAGE };
    let image = image.ok_or_else(missing)?;
    let is_part = |name: &String| PARTS[1..].iter().any(|part| name.starts_with(part));
    let mut parts: Vec<String> = apt.dependencies(&image)?.into_iter().filter(is_part).collect();
    parts.push(image);
    let packages = place.join("packages");
    create(&packages)?;
    apt.download(&parts, &packages)?;
    let tree = place.join("tree");
    unpack(&packages, &tree)?;
    remove(&packages)?;
    Ok(tree)
}

/// Its version, as `uname -r` prints it.
fn release(tree: &Path, place: &Path) -> Result<String, Error> {
    let modules = entries(&tree.join("usr/lib/modules"))?;
    let name = modules.first().and_then(|path| path.file_name()).map(|name| name.to_string_lossy().into_owned());
    name.ok_or_else(|| Error::Layout { place: place.to_owned(), what: "modules" })
}

fn vmlinuz(tree: &Path, release: &str, place: &Path) -> Result<PathBuf, Error> {
    let places = [
        tree.join("boot").join(format!("vmlinuz-{release}")),
        tree.join("usr/lib/modules").join(release).join("vmlinuz"),
    ];
    let missing = || Error::Layout { place: place.to_owned(), what: "kernel" };
    places.into_iter().find(|path| path.exists()).ok_or_else(missing)
}
