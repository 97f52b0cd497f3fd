// SPDX-License-Identifier: Apache-2.0 OR MIT
//! More attacks by owners (L1, L5): filesystems on which owner 0 is a user's word, directories that a user may write by
//! an access control list or a sticky bit, and work directories of others.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use testkit::{Criu, DumpOptions, IptablesFlavour, LockMethod, TestHost};

use crate::attack::{Holder, assert_left_alone};
use crate::attack_laws::assert_left_alone_where_a_restore_is_hidden;
use crate::case::{Case, Cases};
use crate::crash::Scene;
use crate::links::images_of;
use crate::refusals::{start_tree_of_all, wait_until};
use crate::tool::{NOTHING, Tool, make_tables};

inventory::submit!(Cases::with_newest_criu(&[
    Case { name: "attack: owner 0 of a filesystem that a user serves is that user's word", test: served },
    Case { name: "attack: owner 0 of an overlay on a user's stick is that user's word", test: overlaid },
    Case { name: "attack: who is in the list of the images' directory takes no sign away", test: listed },
    Case {
        name: "attack: images that a user may write by an access control list are that user's",
        test: listed_images,
    },
    Case { name: "attack: who owns a sticky directory of images takes no sign away", test: sticky },
    Case { name: "attack: who owns the work directory takes no sign of a restore away", test: work_directory },
]));

const USER: u32 = 12345;

/// An access control list that lets a user read and write (and enter a directory).
fn set_access_list(host: &TestHost, path: &Path) {
    const SCRIPT: &str = "
import os, struct, sys
entries = [(1, 7, -1), (2, 7, 12345), (4, 5, -1), (16, 7, -1), (32, 5, -1)]
value = struct.pack('<I', 2) + b''.join(struct.pack('<HHi', *entry) for entry in entries)
os.setxattr(sys.argv[1], 'system.posix_acl_access', value)
";
    host.run("python3", &[&"-c", &SCRIPT, &path]);
}

/// The same images twice: where their owner is the user's word everything is kept, where it is root's it goes.
fn assert_only_roots_images_remove(criu: &Criu, place: impl Fn(&TestHost, &Path, u32) -> Placed) {
    for user in [USER, 0] {
        let scene = Scene::new(criu, LockMethod::Iptables, IptablesFlavour::Nft);
        let placed = place(&scene.host, &images_of(&scene.host), user);
        let tool = Tool::new(&scene.host, &placed.images);
        let all = scene.left();
        if user == 0 {
            let run = tool.run(&[]);
            assert_eq!((run.code(), scene.left()), (0, NOTHING.map(String::from).to_vec()), "NOT CLEANED: {run}");
        } else {
            tool.assert_keeps_everything("foreign-images");
            assert_eq!(scene.left(), all);
        }
        scene.host.run("sh", &[&"-c", &placed.end]);
    }
}

/// Where the images are now, and the commands that end that.
struct Placed {
    images: PathBuf,
    end: String,
}

/// A FUSE server with this user's id, which says that all is root's.
fn served(criu: &Criu) {
    const SERVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/privileged/served.py");
    assert_only_roots_images_remove(criu, |host, images, user| {
        let control = host.dir().with_file_name("control");
        fs::write(&control, "").expect("a new file");
        for image in fs::read_dir(images).expect("images").flatten() {
            chown(image.path(), Some(user), Some(user)).expect("an image to give away");
        }
        let words = format!("exec python3 {SERVER} {0} {0} {1} {user}", images.display(), control.display());
        let server = Holder::start_until(host, &words, Path::new("/"));
        let table = host.path("/proc/1/mounts");
        let is_served = || fs::read_to_string(&table).expect("a table").contains("fuse.served");
        wait_until(|| is_served().then_some(())).expect("void: nothing is served");
        Placed { images: images.to_owned(), end: format!("kill -KILL {}; umount -l {}", server.pid, images.display()) }
    });
}

/// Its device is no stick's, and the directory that it is written to is root's.
fn overlaid(criu: &Criu) {
    assert_only_roots_images_remove(criu, |host, images, user| {
        let own = |name: &str| {
            let path = host.dir().with_file_name(name);
            fs::create_dir(&path).expect("a new directory");
            path
        };
        let (stick, upper, work, merged) = (own("stick"), own("upper"), own("work"), own("merged"));
        let file = host.dir().with_file_name("stick.img");
        fs::File::create_new(&file).and_then(|file| file.set_len(16 << 20)).expect("a new file");
        host.run("mkfs.ext4", &[&"-q", &file]);
        host.run("mount", &[&"-o", &"loop", &file, &stick]);
        host.run("cp", &[&"-a", &images, &stick.join("images")]);
        host.run("umount", &[&stick]);
        let options = if user == 0 { "loop,nodev" } else { "loop,nosuid,nodev" };
        host.run("mount", &[&"-o", &options, &file, &stick]);
        let layers = format!("lowerdir={},upperdir={},workdir={}", stick.display(), upper.display(), work.display());
        host.run("mount", &[&"-t", &"overlay", &"overlay", &"-o", &format!("nosuid,{layers}"), &merged]);
        Placed { images: merged.join("images"), end: format!("umount {} {}", merged.display(), stick.display()) }
    });
}

fn listed(criu: &Criu) {
    assert_left_alone_where_a_restore_is_hidden(criu, set_access_list);
}

/// The mode shows the mask of the list where a group's rights would be.
fn listed_images(criu: &Criu) {
    assert_only_roots_images_remove(criu, |host, images, user| {
        for image in fs::read_dir(images).expect("images").flatten().filter(|_| user != 0) {
            set_access_list(host, &image.path());
        }
        Placed { images: images.to_owned(), end: String::new() }
    });
}

fn sticky(criu: &Criu) {
    let open = Permissions::from_mode(0o1777);
    assert_left_alone_where_a_restore_is_hidden(criu, |_, images| {
        chown(images, Some(USER), Some(USER)).expect("a directory to give away");
        fs::set_permissions(images, Permissions::from_mode(0o1777)).expect("a directory");
    });
    // In root's own sticky directory nobody else can remove what is root's.
    let host = TestHost::new();
    make_tables(&host, &[]);
    let tree = host.start_workload(&[&"listen-connect", &"127.0.0.1:0"]);
    let before = Tool::new(&host, &images_of(&host)).snapshot();
    criu.dump(&host, &tree, &images_of(&host), &DumpOptions::default());
    drop(tree);
    fs::set_permissions(images_of(&host), open).expect("a directory");
    Tool::new(&host, &images_of(&host)).assert_removes_everything_since(&before);
}

/// CRIU writes its logs and statistics where `-W` says.
fn work_directory(criu: &Criu) {
    let host = TestHost::new();
    let work = host.dir().with_file_name("work");
    fs::create_dir(&work).expect("a new directory");
    make_tables(&host, &[]);
    let tree = host.start_workload(&[&"listen-connect", &"127.0.0.1:0"]);
    let (images, newer) = (images_of(&host), host.dir().with_file_name("newer"));
    let plain = DumpOptions::default();
    let options = DumpOptions { extra: vec!["-W".into(), work.clone().into()], ..plain.clone() };
    let dumped = criu.dump(&host, &tree, &images, &options);
    drop(tree);
    let restored = criu.restore(&host, &dumped, &options);
    criu.dump_again(&host, restored, &dumped, &newer, &plain);
    let tool = Tool::new(&host, &images).option("-W", &work);
    assert_left_alone(&tool);
    chown(&work, Some(USER), Some(USER)).expect("a directory to give away");
    for sign in ["stats-restore", "restore.log"] {
        fs::remove_file(work.join(sign)).expect("void: there is no such sign");
    }
    assert_left_alone(&tool);
    let tool = Tool::new(&host, &newer);
    assert_eq!(tool.run(&[]).code(), 0, "NOT CLEANED without an option");
    tool.assert_finds_nothing();
    assert_cleans_by_work_directory(criu);
}

/// Where nobody else may write the work directory, that there is no sign of a restore in it says that there was none.
fn assert_cleans_by_work_directory(criu: &Criu) {
    let host = TestHost::new();
    let work = host.dir().with_file_name("work");
    fs::create_dir(&work).expect("a new directory");
    let (tree, before) = start_tree_of_all(&host);
    let options = DumpOptions { extra: vec!["-W".into(), work.clone().into()], ..DumpOptions::default() };
    criu.dump(&host, &tree, &images_of(&host), &options);
    drop(tree);
    Tool::new(&host, &images_of(&host)).option("-W", &work).assert_removes_everything_since(&before);
}
