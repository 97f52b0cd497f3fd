// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The manifest of a save directory: `manifest.jsonl`, one line for each saved file, a JSON object.
//!
//! Lines rather than one document: an earlier line is never rewritten, so nothing can destroy it, and ten thousand
//! files do not mean writing all lines ten thousand times.

use std::io::{self, BufRead};

use base64::Engine;
use serde::{Deserialize, Serialize, Serializer};

use super::Changes;
use crate::json::{Bytes, EvidenceReport};
use crate::system::dir::{FileIdentity, InodeId};
use crate::system::save::{Attributes, ExtendedAttribute, Method};
use crate::time::Timestamp;

/// The name of the manifest in the save directory.
pub(super) const MANIFEST: &str = "manifest.jsonl";

/// The version of the lines; it grows when a field changes its meaning or goes away.
pub(super) const VERSION: u32 = 1;

/// The line about a saved file. Times are in seconds since 1970 with nine decimals, as text: exact.
#[derive(Debug, Serialize)]
pub(super) struct Entry<'a> {
    /// [`VERSION`].
    pub(super) manifest: u32,
    /// The name of the file in the save directory.
    pub(super) file: &'a str,
    /// How it was saved.
    #[serde(serialize_with = "method_name")]
    pub(super) method: Method,
    /// The link as the tree saw it.
    pub(super) link: Bytes,
    /// The file that it stands for, as the tree saw it.
    pub(super) original: Option<Bytes>,
    /// Where the link was on this host.
    pub(super) path: Bytes,
    #[serde(flatten)]
    pub(super) facts: Facts,
    /// The change of its inode that saving made, for a hard link.
    #[serde(serialize_with = "exact_if_any")]
    pub(super) changed_by_saving: Option<Timestamp>,
    /// Extended attributes that could not be set on the saved file.
    pub(super) refused_attributes: Vec<RefusedAttribute>,
    /// The images directory.
    pub(super) images_directory: Option<Bytes>,
    /// The dump's run id, where it is known.
    pub(super) run_id: Option<&'a str>,
    /// The entries of the images that name the link.
    pub(super) evidence: Vec<EvidenceReport>,
    /// When it was saved.
    #[serde(serialize_with = "exact")]
    pub(super) saved: Timestamp,
    /// The program that saved it.
    pub(super) tool: &'static str,
}

/// The attributes of the file before it was saved.
#[derive(Debug, Serialize)]
pub(super) struct Facts {
    /// The device number of its filesystem, `major:minor`.
    device: String,
    inode: u64,
    /// Type and permission bits, octal.
    mode: String,
    uid: u32,
    gid: u32,
    size: u64,
    /// Last access.
    #[serde(serialize_with = "exact")]
    accessed: Timestamp,
    /// Last change of the content.
    #[serde(serialize_with = "exact")]
    modified: Timestamp,
    /// Last change of the inode.
    #[serde(serialize_with = "exact")]
    changed: Timestamp,
}

impl Facts {
    pub(super) fn of(identity: &FileIdentity, attributes: &Attributes) -> Self {
        let (major, minor) = identity.device;
        Facts {
            device: format!("{major}:{minor}"),
            inode: identity.inode,
            mode: format!("{:o}", attributes.mode),
            uid: attributes.uid,
            gid: attributes.gid,
            size: identity.size,
            accessed: attributes.accessed,
            modified: attributes.modified,
            changed: attributes.changed,
        }
    }
}

/// An extended attribute that only the manifest keeps.
#[derive(Debug, Serialize)]
pub(super) struct RefusedAttribute {
    name: Bytes,
    /// In base64.
    value: String,
}

impl RefusedAttribute {
    pub(super) fn of(attribute: &ExtendedAttribute) -> Self {
        let value = base64::engine::general_purpose::STANDARD.encode(&attribute.value);
        RefusedAttribute { name: Bytes(attribute.name.clone()), value }
    }
}

/// What a later run wants to know of an earlier one.
#[derive(Debug, Deserialize)]
struct Earlier {
    manifest: u32,
    device: String,
    inode: u64,
    changed_by_saving: Option<String>,
}

/// The changes that the manifest says were made by keeping files. A line of another version, or one that was cut
/// short, says nothing.
pub(super) fn own_changes(manifest: impl BufRead) -> io::Result<Changes> {
    let mut changes = Changes::new();
    for line in manifest.split(b'\n') {
        let earlier = serde_json::from_slice::<Earlier>(&line?).ok();
        changes.extend(earlier.and_then(|earlier| earlier.change()));
    }
    Ok(changes)
}

impl Earlier {
    fn change(&self) -> Option<(InodeId, Timestamp)> {
        if self.manifest != VERSION {
            return None;
        }
        let (major, minor) = self.device.split_once(':')?;
        let device = (major.parse().ok()?, minor.parse().ok()?);
        Some(((device, self.inode), self.changed_by_saving.as_deref()?.parse().ok()?))
    }
}

fn method_name<S: Serializer>(method: &Method, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(match method {
        Method::HardLink => "hard-link",
        Method::Reflink => "reflink",
        Method::Copy => "copy",
        Method::MadeAnew => "made-anew",
    })
}

fn exact<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(time)
}

fn exact_if_any<S: Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => serializer.collect_str(time),
        None => serializer.serialize_none(),
    }
}
