// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How the dump ended, by what its files are, not by what they say.

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;

use criu_images::{ImageKind, Inventory};

use super::Reader;
use super::dump_log::USUAL_NAME;
use crate::checkpoint::{Ending, Record};
use crate::locate::ImageFile;
use crate::system::author::Author;
use crate::system::reads::is_local;

impl Reader<'_> {
    /// CRIU writes the inventory last. If it is missing or empty, and nobody but root can have taken or emptied it, the images
    /// cannot be restored.
    pub(super) fn ending(&self, inventory: Option<&Record<Inventory>>) -> Ending {
        let name = ImageKind::Inventory.file_name(0);
        let is_trusted = [self.author, self.images.absence()] == [Author::Trusted; 2];
        // On a filesystem of the network a dump may be at work elsewhere.
        let is_here = self.images.directory().is_some_and(is_local);
        let of_inventory = self.images.image(&name).ok();
        let is_whole = of_inventory.is_none_or(|file| file.is_some_and(|file| !is_empty(file)));
        if inventory.is_some() || is_whole || !is_trusted || !is_here {
            return Ending::Unknown;
        }
        if self.are_all_empty() { Ending::PowerLost } else { Ending::Interrupted }
    }

    /// Whether all images, and a log or the inventory, are there without content: a dump that is killed has written its log,
    /// and has no inventory.
    fn are_all_empty(&self) -> bool {
        let is_image = |name: &&String| ImageKind::from_file_name(OsStr::from_bytes(name.as_bytes())).is_some();
        let names = self.images.names();
        let images = names.iter().filter(is_image);
        let has_content = |name: &String| !self.images.image(name).is_ok_and(|file| file.is_some_and(is_empty));
        let is_empty_log = |name: String| self.images.work_file(&name).is_ok_and(|file| file.is_some_and(is_empty));
        let has_inventory = self.images.image(&ImageKind::Inventory.file_name(0)).is_ok_and(|file| file.is_some());
        !images.into_iter().any(has_content)
            && (has_inventory || self.images.logs(USUAL_NAME).into_iter().any(is_empty_log))
    }
}

fn is_empty(mut file: ImageFile) -> bool {
    file.read(&mut [0]).is_ok_and(|read| read == 0)
}
