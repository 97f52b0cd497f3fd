// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is missing in the images, as far as other images show.

use std::collections::HashSet;

use criu_images::{ImageKind, Inventory};

use super::{Reader, pair};
use crate::checkpoint::{ImageProblem, ImageProblemKind, Record, RemapRecord};

impl Reader<'_> {
    /// An image that ends between two records looks whole. That it is not can be told from other images, where they
    /// have what it should name.
    pub(super) fn note_lacking_links(&mut self, remaps: &[RemapRecord], shaped: &[RemapRecord], link_remaps: &[u32]) {
        let linked: HashSet<u32> = pair::linked(remaps).chain(pair::linked(shaped)).collect();
        let links = link_remaps.iter().filter(|id| !linked.contains(id)).count();
        if links > 0 {
            let image = ImageKind::RemapFilePath.file_name(0);
            self.problems.push(ImageProblem { image, kind: ImageProblemKind::LacksLinkRemaps { count: links } });
        }
    }

    /// The same for the sockets of connections.
    pub(super) fn note_lacking_sockets(&mut self, sockets: &HashSet<u32>) {
        let queues = self.images.ids(ImageKind::TcpStream).into_iter().filter(|inode| !sockets.contains(inode)).count();
        if queues > 0 {
            let image = ImageKind::Files.file_name(0);
            self.problems.push(ImageProblem { image, kind: ImageProblemKind::LacksSockets { count: queues } });
        }
    }

    /// Every process has files open, its program at least. A pre-dump writes none of them.
    pub(super) fn note_missing(&mut self, inventory: Option<&Record<Inventory>>, lacks_files: bool) {
        let is_pre_dump = inventory.is_some_and(|inventory| inventory.entry.img_version == 0);
        if inventory.is_none() {
            self.note_missing_image(ImageKind::Inventory);
        }
        if lacks_files && !is_pre_dump {
            self.note_missing_image(ImageKind::Files);
        }
    }

    fn note_missing_image(&mut self, kind: ImageKind) {
        let image = kind.file_name(0);
        if !self.problems.iter().any(|problem| problem.image == image) {
            self.problems.push(ImageProblem { image, kind: ImageProblemKind::Missing });
        }
    }
}
