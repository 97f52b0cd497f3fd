// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What surrounds an images directory, and so its layout.

use std::path::Path;

use super::container_of_images::ContainerOfImages;
use super::containerd::{self, TASKS};
use super::engines::docker;
use super::folder::Folder;
use super::images::RESTORE_LOG;
use super::layout::Layout;
use super::metadata::POD_OPTIONS;
use crate::system::dir::{Directory, FileError};

/// Names that tell a layout, beside those of images and of metadata that is read.
pub(super) const MARKERS: [&str; 5] = ["tty.info", "descriptors.json", "rootfs", "001", "work"];

/// What is around an images directory.
pub(super) struct Surroundings {
    pub(super) layout: Layout,
    /// The directory that holds the runtime's metadata.
    pub(super) container: Option<Folder>,
    /// Where CRIU's logs are, if not with the images.
    pub(super) work: Option<Folder>,
    /// The container of LXC's that the images name.
    pub(super) of_lxc: Option<String>,
}

impl Surroundings {
    pub(super) fn of(images: &Folder) -> Result<Self, FileError> {
        let Some(parent) = images.parent() else { return Ok(Self::alone(images)) };
        if let Some(container) = docker_container(&parent) {
            return Ok(Self::of_docker(container));
        }
        let Some(layout) = layout(images, &parent) else {
            let mut alone = Self::alone(images);
            if alone.container.is_none() && has_logs_above(images, &parent) {
                alone.work = Some(parent);
            }
            return Ok(alone);
        };
        let work = match layout {
            Layout::Zeropod => parent.below("work")?,
            Layout::Podman | Layout::Export | Layout::Pod => Some(parent.again()?),
            Layout::ImagesDirectory
            | Layout::RuntimeImages
            | Layout::Bundle
            | Layout::Docker
            | Layout::Lxc
            | Layout::Incus
            | Layout::OciImage
            | Layout::Record => None,
        };
        // A pod's container has its metadata beside `checkpoint`, or with the images.
        let has_own = layout == Layout::Pod && images.has("config.dump");
        let container = if has_own { images.again()? } else { parent };
        Ok(Surroundings { layout, container: Some(container), work, of_lxc: None })
    }

    /// The checkpoint of a container of Docker's that has this directory.
    fn of_docker(container: Folder) -> Self {
        let work = task_of_docker(&container);
        Surroundings { layout: Layout::Docker, container: Some(container), work, of_lxc: None }
    }

    /// What tells nothing but by its own files.
    fn alone(images: &Folder) -> Self {
        let of_lxc = match ContainerOfImages::of(images) {
            Some(ContainerOfImages::Docker(id)) => match docker_container_of(&id) {
                Some(container) => return Self::of_docker(container),
                None => None,
            },
            Some(ContainerOfImages::Lxc(name)) => Some(name),
            None => None,
        };
        // Without a terminal LXC writes no `tty.info`.
        let layout = if images.has("tty.info") || of_lxc.is_some() {
            Layout::Lxc
        } else if images.has("descriptors.json") {
            Layout::RuntimeImages
        } else {
            Layout::ImagesDirectory
        };
        Surroundings { layout, container: None, work: None, of_lxc }
    }
}

/// Whether the directory above has what CRIU wrote beside these images: containerd moves it there before it restores.
fn has_logs_above(images: &Folder, parent: &Folder) -> bool {
    let of_dump = ["dump.log", "stats-dump"];
    let has_any = |names: &[&str], folder: &Folder| names.iter().any(|name| folder.has(name));
    images.is_entry("checkpoint", parent)
        && !has_any(&of_dump, images)
        && (has_any(&of_dump, parent) || parent.has(RESTORE_LOG))
}

/// The directory of the Docker container with this id, which the images name from elsewhere (`--checkpoint-dir`).
fn docker_container_of(id: &str) -> Option<Folder> {
    let directory = docker::container_directory(id).ok()??;
    let container = Folder::Host(Directory::open_exactly(&directory).ok()?.reopened().ok()?);
    container.has("config.v2.json").then_some(container)
}

/// The directory of the Docker container that owns `checkpoints`, if there is one.
pub(super) fn docker_container(checkpoints: &Folder) -> Option<Folder> {
    let container = checkpoints.parent()?;
    let is_dockers = checkpoints.is_entry("checkpoints", &container) && container.has("config.v2.json");
    is_dockers.then_some(container)
}

/// Where containerd has runc write the log when it restores this container of Docker's: Docker's own containerd has that in
/// Docker's data root, and one that the host runs in its own.
fn task_of_docker(container: &Folder) -> Option<Folder> {
    let location = container.host()?.location().ok()?;
    let task = Path::new(TASKS).join("moby").join(location.file_name()?);
    let of_dockers = Path::new("containerd/daemon").join(&task);
    let in_data_root = container.parent()?.parent()?.below(of_dockers.to_str()?).ok().flatten();
    let in_containerds = || Directory::open_exactly(&Path::new(containerd::ROOT).join(&task)).ok()?.reopened().ok();
    in_data_root.or_else(|| in_containerds().map(Folder::Host))
}

/// The layout in which the directory above matters.
fn layout(images: &Folder, parent: &Folder) -> Option<Layout> {
    let is = |name| images.is_entry(name, parent);
    let above = parent.parent();
    let is_in_userdata = above.as_ref().is_some_and(|container| parent.is_entry("userdata", container));
    let has_pod = |folder: &Folder| folder.has(POD_OPTIONS);
    if is("snapshot") && parent.below("work").is_ok_and(|work| work.is_some()) {
        Some(Layout::Zeropod)
    } else if is("state") && parent.has("rootfs") || is("final") && parent.has("001") {
        Some(Layout::Incus)
    } else if has_pod(parent) || is("checkpoint") && above.as_ref().is_some_and(has_pod) {
        Some(Layout::Pod)
    } else if is("checkpoint") && is_in_userdata {
        Some(Layout::Podman)
    } else if is("checkpoint") && (parent.has("config.dump") || parent.has("spec.dump")) {
        Some(Layout::Export)
    } else if parent.has("config.json") && (is("checkpoint") || images.has("descriptors.json")) {
        Some(Layout::Bundle)
    } else {
        None
    }
}
