// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Images that a real criu wrote: `images/make.sh` makes them.

use std::fs::File;
use std::path::Path;

use criu_images::{Entry, FdType, FileEntry, ImageReader, Inventory, NetworkLock, PstreeEntry, RemapFilePathEntry};

fn read<E: Entry>() -> Vec<E> {
    let path = Path::new("images/criu-4.3").join(E::KIND.file_name(0));
    let reader = ImageReader::open(File::open(path).unwrap()).unwrap();
    reader.map(|record| record.unwrap().entry).collect()
}

#[test]
fn the_inventory_has_the_fields_of_its_version() {
    let [inventory] = &read::<Inventory>()[..] else { panic!("not one inventory") };
    assert_eq!(inventory.network_lock(), NetworkLock::Iptables);
    assert_eq!((inventory.compress, inventory.compress_block_size), (Some(0), None));
    assert_eq!(inventory.dump_criu_run_id.as_ref().map(Vec::len), Some(36));
}

#[test]
fn the_remap_leads_from_the_deleted_file_to_its_link() {
    let [remap] = read::<RemapFilePathEntry>()[..] else { panic!("not one remap") };
    let files = read::<FileEntry>();
    let name = |id| {
        let file = files.iter().find(|file| file.id == id && file.fd_type() == FdType::Reg);
        String::from_utf8(file.unwrap().reg.as_ref().unwrap().name.clone()).unwrap()
    };
    assert_eq!(name(remap.orig_id), "/mnt/data/report");
    assert_eq!(name(remap.remap_id), format!("/mnt/data/link_remap.{}", remap.remap_id));
}

#[test]
fn the_tree_is_one_process() {
    let [task] = &read::<PstreeEntry>()[..] else { panic!("not one process") };
    assert_eq!((task.ppid, task.threads.as_slice()), (0, &[task.pid][..]));
}
