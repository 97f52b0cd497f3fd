// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the list says, by containerd's namespaces: images by their names, and containers with their labels.

use std::collections::BTreeMap;
use std::path::Path;

use super::super::bolt::{Bolt, Bucket, Damaged};
use super::BoltError;
use crate::locate::own;

/// Where it is below containerd's root.
const FILE: &str = "io.containerd.metadata.v1.bolt/meta.db";
/// The version of what is in it.
const VERSION: &str = "v1";
/// No list is larger: one of a thousand containers has a few megabytes.
const SIZE_LIMIT: u64 = 256 << 20;
/// So many bytes hold both meta pages, whatever the size of a page.
const START: u64 = 128 << 10;
/// How often it is read, if containerd writes to it meanwhile.
const TRIES: usize = 10;

/// The namespaces by their names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::locate::engines) struct List(pub(in crate::locate::engines) BTreeMap<String, Namespace>);

/// What one of them holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::locate::engines) struct Namespace {
    /// The digest of the index or manifest of each image, by its name.
    pub(in crate::locate::engines) images: BTreeMap<String, String>,
    /// The labels of each container, by its id.
    pub(in crate::locate::engines) containers: BTreeMap<String, BTreeMap<String, String>>,
}

impl List {
    /// That of the containerd with this root; empty if there is none.
    pub(in crate::locate::engines) fn of(root: &Path) -> Result<Self, BoltError> {
        let path = root.join(FILE);
        let damaged = |_: Damaged| BoltError::Damaged(path.clone());
        for _ in 0..TRIES {
            let Some(bytes) = own::bytes(&path, SIZE_LIMIT)? else { return Ok(List::default()) };
            let after = own::bytes_at_start(&path, (bytes.len() as u64).min(START))?.unwrap_or_default();
            let bolt = Bolt::new(&bytes).map_err(damaged)?;
            // The pages of a state are not written to until the one after it is complete.
            if Bolt::new(&after).is_ok_and(|now| now.transaction == bolt.transaction) {
                return List::read(bolt).map_err(damaged);
            }
        }
        Err(BoltError::Busy(path))
    }

    pub(in crate::locate::engines) fn read(bolt: Bolt<'_>) -> Result<Self, Damaged> {
        let mut list = List::default();
        let Some(version) = bolt.root().bucket(VERSION)? else { return Ok(list) };
        for (name, bucket) in version.buckets()? {
            list.0.insert(name.to_owned(), Namespace::read(bucket)?);
        }
        Ok(list)
    }
}

impl Namespace {
    fn read(bucket: Bucket<'_>) -> Result<Self, Damaged> {
        let mut namespace = Namespace::default();
        for (name, image) in bucket.bucket("images")?.map_or(Ok(Vec::new()), |images| images.buckets())? {
            let target = image.bucket("target")?;
            if let Some(digest) = target.map(|target| target.text("digest")).transpose()?.flatten() {
                namespace.images.insert(name.to_owned(), digest.to_owned());
            }
        }
        for (id, container) in bucket.bucket("containers")?.map_or(Ok(Vec::new()), |all| all.buckets())? {
            let labels = container.bucket("labels")?.map_or(Ok(Vec::new()), |labels| labels.texts())?;
            let labels = labels.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
            namespace.containers.insert(id.to_owned(), labels);
        }
        Ok(namespace)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::bolt::tests::{Item, file};
    use super::*;

    #[test]
    fn images_and_containers_are_listed_by_namespace() {
        let image = |name, digest| Item::Bucket(name, vec![Item::Bucket("target", vec![Item::Text("digest", digest)])]);
        let labels = Item::Bucket("labels", vec![Item::Text("io.kubernetes.pod.name", "web")]);
        let container = Item::Bucket("0123", vec![labels, Item::Text("image", "x")]);
        let namespace =
            vec![Item::Bucket("containers", vec![container]), Item::Bucket("images", vec![image("a", "sha256:1")])];
        let bytes =
            file(&[Item::Bucket("v1", vec![Item::Bucket("default", vec![]), Item::Bucket("k8s.io", namespace)])]);
        let list = List::read(Bolt::new(&bytes).unwrap()).unwrap();
        assert_eq!(list.0["default"], Namespace::default());
        let found = &list.0["k8s.io"];
        assert_eq!(found.images["a"], "sha256:1");
        assert_eq!(found.containers["0123"]["io.kubernetes.pod.name"], "web");
    }

    #[test]
    fn without_a_file_there_is_nothing() {
        let top = tempfile::tempdir().unwrap();
        assert_eq!(List::of(top.path()).unwrap(), List::default());
        std::fs::create_dir_all(top.path().join("io.containerd.metadata.v1.bolt")).unwrap();
        std::fs::write(top.path().join(FILE), "no bolt").unwrap();
        assert!(matches!(List::of(top.path()), Err(BoltError::Damaged(_))));
    }
}
