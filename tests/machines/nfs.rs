// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Link remaps on NFS. The machine mounts its own exports, with versions 3 and 4.2.

use machine::Kernel;

use crate::case::{Case, Cases};
use crate::scene::Scene;

inventory::submit!(Cases(&[
    Case::new("links on NFS stay while root is squashed, and are removed afterwards", squashed),
    Case::new("links of silly renames on NFS are kept, and can be allowed", silly),
    Case::new("a link in a container's volume on NFS is removed", volume),
    Case::new("an NFS server that is gone delays nothing whose links are elsewhere", unrelated),
    Case::new("a link on an NFS server that is gone is not known within 2 s", dead),
]));

const FUNCTIONS: &str = include_str!("nfs.sh");

/// What is on the server.
const LIST: &str = "cd /srv/export; ls -A *";

/// How long a stuck file system may delay an answer, in milliseconds.
const DELAY: u64 = 2000;

/// A machine that serves with this option and mounts what it serves.
struct Served(Scene);

impl Served {
    fn new() -> Self {
        let mut served = Self(Scene::booted(Kernel::V6_1));
        served.run("serve no_root_squash");
        served
    }

    #[track_caller]
    fn run(&mut self, script: &str) -> String {
        self.0.run(&format!("{FUNCTIONS}\n{script}"))
    }

    /// What criu-gc said, and how many milliseconds it took.
    #[track_caller]
    fn run_timed(&mut self, arguments: &str) -> (String, u64) {
        let said = self.run(&format!("timed {arguments}"));
        let (text, time) = said.trim_end().rsplit_once('\n').expect("two lines");
        (text.to_owned(), time.parse().expect("milliseconds"))
    }
}

/// Another client, here the server, deletes the files: then nothing is renamed.
fn squashed() {
    let mut served = Served::new();
    served.run(
        "make_files three four
         touch /srv/export/four/link_remap.1
         three=$(start_tree open /mnt/three/three/file)
         four=$(start_tree open /mnt/four/four/file)
         rm /srv/export/*/file
         dump 4.3 $three /srv/images.three
         dump 4.3 $four /srv/images.four",
    );
    let names = served.run(LIST);
    assert_eq!(names.matches("link_remap.").count(), 3, "{names}");
    served.run("export_with root_squash");
    for images in ["three", "four"] {
        let ended = served.0.finish(&format!("$gc /srv/images.{images}"));
        assert_eq!(ended.code, 1, "{}{}", ended.stdout, ended.stderr);
        assert!(ended.stdout.contains("Permission denied"), "{}{}", ended.stdout, ended.stderr);
    }
    assert_eq!(served.run(LIST), names);
    served.run("export_with no_root_squash");
    for images in ["three", "four"] {
        let removed = served.run(&format!("$gc /srv/images.{images}"));
        assert!(removed.ends_with("1 object: 1 removed.\n"), "{removed}");
    }
    assert_eq!(served.run(LIST), "four:\nfile.keep\nlink_remap.1\n\nthree:\nfile.keep\n");
}

fn volume() {
    let mut served = Served::new();
    served.run(
        "make_files volume
         tree=$(start_container /srv/root bind /mnt/four/volume /data end session open /data/file)
         rm /srv/export/volume/file
         dump 4.3 $tree /srv/images --external mnt[/data]:/data",
    );
    let ended = served.0.finish("$gc /srv/images");
    assert!(ended.stdout.ends_with("1 object: 1 removed.\n"), "{}{}", ended.stdout, ended.stderr);
    assert_eq!(served.run("ls -A /srv/export/volume"), "file.keep\n");
}

/// When the tree ends, the client takes the name away that it made: that changes the file and the directory after the
/// images, and after the record.
fn silly() {
    let mut served = Served::new();
    served.run(
        "mkdir /srv/export/{three,four}
         ln -s $gc /usr/local/bin/criu-gc-record
         dump 4.3 $(start_tree deleted /mnt/three/three/file) /srv/images.three
         dump 4.3 $(start_tree deleted /mnt/four/four/file) /srv/images.four \
             --action-script /usr/local/bin/criu-gc-record",
    );
    let names = served.run(LIST);
    assert_eq!(names.matches("link_remap.").count(), 2, "{names}");
    for images in ["three", "four"] {
        let ended = served.0.finish(&format!("$gc /srv/images.{images}"));
        assert_eq!(ended.code, 1, "{}{}", ended.stdout, ended.stderr);
        let kept = "1 other name, an NFS silly rename; kept: changed-since)";
        assert!(ended.stdout.contains(kept), "{}", ended.stdout);
    }
    assert_eq!(served.run(LIST), names);
    let removed = served.run("$gc --allow changed-since /srv/images.three /srv/images.four");
    assert_eq!(removed.matches("1 object: 1 removed.").count(), 2, "{removed}");
    assert_eq!(served.run(LIST), "four:\nfile.keep\n\nthree:\nfile.keep\n");
}

/// A process works on the mount, and one stands in it.
fn unrelated() {
    let mut served = Served::new();
    served.run(
        "mkdir /srv/data
         dump 4.3 $(start_tree deleted /srv/data/file) /srv/images
         tree=$(start_container /srv/root end session deleted /tmp/file)
         dump 4.3 $tree /srv/images.container
         sleep 1000 > /mnt/four/open &
         cd /mnt/four; sleep 1000 > /dev/null &",
    );
    let (shown, time) = served.run_timed("--show /srv/images /srv/images.container");
    assert_eq!(shown.matches("1 object: 1 to be removed.").count(), 2, "{shown}");
    served.run("rpc.nfsd 0");
    let (again, stuck) = served.run_timed("--show /srv/images /srv/images.container");
    assert_eq!(again, shown);
    assert!(stuck < time * 2 + DELAY, "{stuck} ms instead of {time} ms");
    let (removed, _) = served.run_timed("/srv/images /srv/images.container");
    assert_eq!(removed.matches("1 object: 1 removed.").count(), 2, "{removed}");
    assert_eq!(served.run("ls /srv/data /srv/root/tmp"), "/srv/data:\nfile.keep\n\n/srv/root/tmp:\nfile.keep\n");
}

fn dead() {
    let mut served = Served::new();
    served.run(
        "mkdir /srv/export/data
         dump 4.3 $(start_tree deleted /mnt/four/data/file) /srv/images",
    );
    let (shown, time) = served.run_timed("--show --allow changed-since /srv/images");
    assert!(shown.contains("1 object: 1 to be removed."), "{shown}");
    served.run("rpc.nfsd 0");
    let (shown, stuck) = served.run_timed("--show --allow changed-since /srv/images");
    assert!(!shown.contains("criu-gc hangs"), "{shown}");
    assert!(!shown.contains("Nothing is left"), "{shown}");
    assert!(stuck < time * 2 + DELAY, "{stuck} ms instead of {time} ms");
    served.run("rpc.nfsd 2");
    let (removed, _) = served.run_timed("--allow changed-since /srv/images");
    assert!(removed.contains("1 object: 1 removed."), "{removed}");
}
