// SPDX-License-Identifier: Apache-2.0 OR MIT
//! podman's storage: root's, where storage.conf says it is, and that of each user of this host.

use std::fs;
use std::path::{Path, PathBuf};

use super::super::unseen::{Unseen, Why};
use super::super::{Engine, Holder};
use super::{Base, Places, walk};
use crate::causes::with_causes;
use crate::host;
use crate::locate;

/// Where the containers of a storage have their images.
const CHECKPOINTS: [&str; 4] = [
    "overlay-containers/+/userdata/checkpoint",
    "vfs-containers/+/userdata/checkpoint",
    "btrfs-containers/+/userdata/checkpoint",
    "zfs-containers/+/userdata/checkpoint",
];
/// Where the storage of a user is, below the home directory.
const OF_USER: &str = ".local/share/containers/storage";
/// No more users are looked at.
const MOST_USERS: usize = 1_000;
/// No list of users is larger.
const LIST_LIMIT: u64 = 4 * 1024 * 1024;

/// The storage of root's podman.
pub(super) fn add_roots(places: &mut Places) {
    match locate::podman_stores() {
        Ok(stores) => stores.into_iter().for_each(|store| {
            let (theirs, before) = (store.clone(), places.list.len());
            let names = host::answer(&[&store], move || locate::podman_names(&theirs)).unwrap_or_default();
            add(places, store, None);
            for place in &mut places.list[before..] {
                let name = place.holder.container.as_ref().and_then(|id| names.get(id)).cloned();
                place.holder.container = name.or(place.holder.container.take());
            }
        }),
        Err(error) => places.unseen.push(Unseen {
            place: PathBuf::from("/etc/containers/storage.conf"),
            why: Why::Unreadable(with_causes(&error)),
        }),
    }
}

/// That of each user who has a home directory.
pub(super) fn add_users(places: &mut Places) {
    let path = Path::new("/etc/passwd");
    let is_small = fs::metadata(path).is_ok_and(|file| file.len() <= LIST_LIMIT);
    let users = if is_small { fs::read_to_string(path).unwrap_or_default() } else { String::new() };
    for (user, home) in homes(&users).into_iter().take(MOST_USERS) {
        add(places, home.join(OF_USER), Some(user));
    }
}

fn add(places: &mut Places, store: PathBuf, user: Option<String>) {
    let patterns = CHECKPOINTS.map(walk::Pattern::of);
    places.add(&Base::Store(store), &patterns, &Holder { engine: Some(Engine::Podman), user, ..Holder::default() });
}

/// The users with home directories of their own.
fn homes(passwd: &str) -> Vec<(String, PathBuf)> {
    let user = |line: &str| {
        let fields: Vec<&str> = line.split(':').collect();
        let (name, home) = (fields.first()?, fields.get(5)?);
        let is_own = home.starts_with('/') && !matches!(*home, "/" | "/root" | "/nonexistent" | "/dev/null");
        is_own.then(|| ((*name).to_owned(), PathBuf::from(home)))
    };
    let mut found: Vec<(String, PathBuf)> = passwd.lines().filter_map(user).collect();
    found.sort_by(|one, other| one.1.cmp(&other.1));
    found.dedup_by(|one, other| one.1 == other.1);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_with_a_home_directory_may_have_a_storage() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\nann:x:1000:1000::/home/ann:/bin/sh\nbob:x:1001:1001::/:/bin/sh\n\
                      cy:x:1002:1002::/home/ann:/bin/sh\nbroken\n";
        assert_eq!(homes(passwd), [("ann".to_owned(), PathBuf::from("/home/ann"))]);
    }
}
