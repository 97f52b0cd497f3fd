// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Archives of real dumps, whose images are nowhere else any more. Those that podman makes are in `podman.rs`.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};

use testkit::{Criu, IptablesFlavour, LockMethod};

use crate::case::{Case, Cases};
use crate::crash::{LINKS, Scene};
use crate::places::images_of;
use crate::tool::Tool;

inventory::submit!(Cases::with_each_criu(&[
    Case { name: "what a dump left is removed by an archive of its images", test: removed },
    Case { name: "an archive that a user may have written removes nothing that is not that user's", test: of_a_user },
    Case {
        name: "an archive in which a user's images are removes nothing that is not that user's",
        test: holds_a_users,
    },
    Case { name: "links that were made after an archive are kept, whatever times stand in it", test: made_anew },
    Case { name: "a record of the dump that came in an archive is not used, and that is told", test: recorded },
    Case { name: "an archive with a part missing removes nothing", test: cut },
]));

const USER: u32 = 1000;

/// What a dump left, and the only images of it, in an archive that is made so.
fn dump_to_archive(criu: &Criu, options: &[&str]) -> (Scene, PathBuf) {
    let scene = Scene::new(criu, LockMethod::Iptables, IptablesFlavour::Nft);
    let archive = make_archive(&scene, "images.tar", options);
    fs::remove_dir_all(images_of(&scene.host)).expect("the images");
    (scene, archive)
}

fn make_archive(scene: &Scene, name: &str, options: &[&str]) -> PathBuf {
    let images = images_of(&scene.host);
    let archive = images.with_file_name(name);
    let mut tar = scene.host.command("tar");
    tar.arg("-C").arg(images.parent().expect("a directory")).arg("-cf").arg(&archive).args(options).arg("images");
    assert!(tar.status().expect("tar").success());
    archive
}

fn tool<'a>(scene: &'a Scene, archive: &Path) -> Tool<'a> {
    Tool::new(&scene.host, archive)
}

fn removed(criu: &Criu) {
    for options in [&["--format=posix"][..], &["--format=gnu", "--gzip"], &["--format=oldgnu", "--sparse"]] {
        let (scene, archive) = dump_to_archive(criu, options);
        let run = tool(&scene, &archive).run(&[]);
        assert_eq!((run.code(), scene.left()), (0, Vec::new()), "{options:?}: {run}");
        assert!(run.stdout.starts_with("Layout: images directory in a tar archive"), "{run}");
        tool(&scene, &archive).assert_finds_nothing();
    }
}

fn of_a_user(criu: &Criu) {
    let (scene, archive) = dump_to_archive(criu, &[]);
    chown(&archive, Some(USER), Some(USER)).expect("an owner");
    assert_kept_until_allowed(&scene, &archive);
}

fn holds_a_users(criu: &Criu) {
    let (scene, archive) = dump_to_archive(criu, &["--owner=1000", "--group=1000"]);
    assert_kept_until_allowed(&scene, &archive);
}

fn assert_kept_until_allowed(scene: &Scene, archive: &Path) {
    let all = scene.left();
    tool(scene, archive).assert_keeps_everything("foreign-images");
    assert_eq!(scene.left(), all);
    let run = tool(scene, archive).run(&["--allow", "foreign-images"]);
    assert_eq!((run.code(), scene.left()), (0, Vec::new()), "{run}");
}

/// As a newer dump of the same tree makes them. Whoever made the archive may have written any time into it.
fn made_anew(criu: &Criu) {
    for options in [&["--format=posix"][..], &["--mtime=2100-01-01"]] {
        let (scene, archive) = dump_to_archive(criu, options);
        // In whole seconds, those of the same second would pass for the old ones.
        std::thread::sleep(std::time::Duration::from_millis(1100));
        let links = tool(&scene, &archive).show_objects();
        let links: Vec<&str> = links.iter().filter_map(|object| object["link"]["text"].as_str()).collect();
        assert_eq!(links.len(), LINKS);
        for link in links {
            let link = scene.host.path(link);
            let other = link.with_file_name("for a moment");
            fs::rename(&link, &other).expect("another name");
            fs::hard_link(&other, &link).expect("a new link");
            fs::remove_file(&other).expect("the other name");
        }
        let run = tool(&scene, &archive).run(&[]);
        assert_eq!(run.code(), 1, "{run}");
        assert_eq!(run.stdout.matches("; kept: changed-since)").count(), LINKS, "{options:?}: {run}");
        assert!(!run.stdout.contains("removed)"), "a newer dump's rules were removed: {run}");
    }
}

fn recorded(criu: &Criu) {
    let scene = Scene::new(criu, LockMethod::Iptables, IptablesFlavour::Nft);
    fs::write(images_of(&scene.host).join("criu-gc-record.json"), "{}").expect("a new file");
    let archive = make_archive(&scene, "images.tar", &[]);
    let shown = tool(&scene, &archive).show();
    let note = "Note: criu-gc-record.json comes from an archive and is not used";
    assert!(shown.iter().any(|line| line == note), "{shown:#?}");
    let run = tool(&scene, &archive).run(&[]);
    assert_eq!((run.code(), scene.left()), (0, Vec::new()), "{run}");
}

fn cut(criu: &Criu) {
    let (scene, archive) = dump_to_archive(criu, &["--gzip"]);
    let whole = fs::read(&archive).expect("the archive");
    let all = scene.left();
    for length in [0, 1, 100, whole.len() / 2, whole.len() - 1] {
        fs::write(&archive, &whole[..length]).expect("a part of it");
        let run = tool(&scene, &archive).run(&[]);
        assert_eq!((run.code(), run.stdout.as_str()), (2, ""), "{length}: {run}");
        assert!(run.stderr.starts_with("criu-gc: error: cannot use the archive "), "{run}");
        assert_eq!(scene.left(), all);
    }
}
