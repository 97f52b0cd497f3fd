// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The layouts in which people and runtimes store checkpoints.

/// How the images are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// `criu dump -D DIR`, and nothing that a runtime adds.
    ImagesDirectory,
    /// A directory that a runtime gave to CRIU, with its `descriptors.json` but without the container's configuration:
    /// `runc checkpoint --image-path`, `docker checkpoint create --checkpoint-dir`, nerdctl.
    RuntimeImages,
    /// The bundle of an OCI runtime (runc, crun): `config.json` beside the images.
    Bundle,
    /// A podman container in local storage: `userdata/checkpoint`.
    Podman,
    /// A Docker container: `checkpoints/NAME` beside `config.v2.json`.
    Docker,
    /// `lxc-checkpoint -D DIR`.
    Lxc,
    /// An instance of Incus or LXD: `state`, or `final` of a migration.
    Incus,
    /// `snapshot` beside `work`, as zeropod has them.
    Zeropod,
    /// What an engine exports: `checkpoint` with `config.dump` and `spec.dump` beside it.
    Export,
    /// A container of a pod's checkpoint: `pod.options`, and a directory for each container.
    Pod,
    /// An image of containers, in which a layer holds what an engine exports, or the images alone.
    OciImage,
    /// The record of a dump, without images.
    Record,
}

impl Layout {
    /// Whether a directory in this layout is that of one container, so that what else lies in it is no other checkpoint.
    pub(super) const fn is_of_one_container(self) -> bool {
        match self {
            Layout::ImagesDirectory | Layout::RuntimeImages | Layout::Lxc => false,
            Layout::Bundle
            | Layout::Podman
            | Layout::Docker
            | Layout::Incus
            | Layout::Zeropod
            | Layout::Export
            | Layout::Pod
            | Layout::OciImage
            | Layout::Record => true,
        }
    }

    /// The name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Layout::ImagesDirectory => "images-directory",
            Layout::RuntimeImages => "runtime-images",
            Layout::Bundle => "bundle",
            Layout::Podman => "podman",
            Layout::Docker => "docker",
            Layout::Lxc => "lxc",
            Layout::Incus => "incus",
            Layout::Zeropod => "zeropod",
            Layout::Export => "export",
            Layout::Pod => "pod",
            Layout::OciImage => "oci-image",
            Layout::Record => "record",
        }
    }

    /// What it is, in words.
    pub const fn words(self) -> &'static str {
        match self {
            Layout::ImagesDirectory => "images directory",
            Layout::RuntimeImages => "images of a container runtime",
            Layout::Bundle => "OCI runtime bundle",
            Layout::Podman => "podman container",
            Layout::Docker => "Docker container",
            Layout::Lxc => "LXC checkpoint",
            Layout::Incus => "Incus or LXD instance",
            Layout::Zeropod => "zeropod snapshot",
            Layout::Export => "exported container",
            Layout::Pod => "pod checkpoint",
            Layout::OciImage => "container image",
            Layout::Record => "record of a dump, without its images",
        }
    }
}
