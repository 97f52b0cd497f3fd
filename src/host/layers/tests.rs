// SPDX-License-Identifier: Apache-2.0 OR MIT

use super::*;

#[test]
fn what_is_at_a_path_is_found_in_sight() {
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("file"), "").unwrap();
    let directory = place.path().canonicalize().unwrap();
    let directory = directory.strip_prefix("/").unwrap();
    let layers = Layers::look(directory).unwrap();
    assert_eq!(layers.find("file".as_ref()).unwrap(), Some(Found::InSight));
    assert_eq!(layers.find("other".as_ref()).unwrap(), None);
    let missing = Layers::look(&directory.join("none/at/all")).unwrap();
    assert_eq!((missing.find("file".as_ref()).unwrap(), missing.nearest()), (None, Some(place.path())));
}

#[test]
fn a_directory_shows_whether_something_was_made_in_it_since() {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().canonicalize().unwrap();
    let changed = Directory::open(&directory).unwrap().identity().unwrap().changed;
    let layers = Layers::look(directory.strip_prefix("/").unwrap()).unwrap();
    let later = Timestamp::new(changed.seconds() + 10, 0);
    assert!(layers.have_changed(changed, later));
    assert!(!layers.have_changed(later, later));
    // It was made after that, and only the directory above can tell.
    let earlier = Timestamp::new(changed.seconds() - 10, 0);
    assert!(layers.have_changed(earlier, earlier));
}

#[test]
fn a_mount_that_does_not_show_is_hidden_unless_it_can_hold_no_link_or_shows_elsewhere() {
    let table = br"21 1 8:1 / / rw - ext4 /dev/sda1 rw
22 21 8:2 / /home rw - ext4 /dev/sda2 rw
23 22 0:30 / /home rw - tmpfs over rw
24 21 0:31 / /home rw - autofs systemd-1 rw
25 23 0:30 / /home/a rw - tmpfs over rw
26 21 0:32 / / rw - tmpfs new rw
";
    let (table, not_understood) = mountinfo::parse(table);
    assert_eq!(not_understood, 0);
    let hidden: Vec<PathBuf> =
        hidden_mounts(&table, &[21, 23].into()).into_iter().map(|hidden| hidden.mountpoint).collect();
    assert_eq!(hidden, [PathBuf::from("/home")]);
    assert!(hidden_mounts(&table, &[21, 22, 23].into()).is_empty());
}
