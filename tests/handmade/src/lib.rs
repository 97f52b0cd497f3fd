// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Checkpoints made by hand, for the tests that need no root.
//!
//! A [`Checkpoint`] has images that no CRIU wrote and one link remap that really exists. A test changes one thing in
//! it, writes the images and runs criu-gc. The other functions make single entries and images.
//!
//! ```no_run
//! use handmade::{Checkpoint, LINK};
//!
//! let mut checkpoint = Checkpoint::new("target/debug/criu-gc");
//! checkpoint.link_entry().id = LINK + 1;
//! checkpoint.write();
//! checkpoint.assert_refused_at("files.img", 8, "has different ids inside and outside");
//! ```

mod checkpoint;
mod entries;
mod refusal;

pub use checkpoint::{Checkpoint, LINK, ORIGINAL};
pub use entries::{connection_without_addresses, image, named, offset, regular, remap, socket};
pub use refusal::names_below;
