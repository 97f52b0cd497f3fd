// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Images that users other than root may have written: their word removes no more than these could have removed themselves.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};

use testkit::{Criu, IptablesFlavour, LockMethod};

use crate::case::{Case, Cases};
use crate::crash::Scene;
use crate::places::images_of;
use crate::tool::{NOTHING, Tool};

inventory::submit!(Cases::with_newest_criu(&[
    Case { name: "images that a user may have written remove nothing that is not that user's", test: of_a_user },
    Case { name: "images that anybody may have written remove nothing", test: of_anybody },
    Case { name: "images that a user may have written remove that user's own links", test: own_links },
    Case { name: "root's images in a user's directory remove what their dump left", test: in_a_users_directory },
    Case { name: "images on a filesystem that a user brought are that user's word", test: brought },
    Case { name: "images of a time that has not come yet are no evidence", test: of_the_future },
    Case { name: "tables and rules without end in another namespace cost little", test: crowded },
    Case { name: "a user is told what only root can see, and nothing is called clean", test: looked_at_by_a_user },
    Case { name: "an inventory that a user has put among root's images is not trusted with the network", test: mixed },
]));

const USER: u32 = 1000;

fn scene(criu: &Criu, lock: LockMethod) -> Scene {
    Scene::new(criu, lock, IptablesFlavour::Nft)
}

/// Changes every image of the scene's dump.
fn change_images(scene: &Scene, change: impl Fn(&std::path::Path)) {
    for entry in fs::read_dir(images_of(&scene.host)).expect("a directory") {
        change(&entry.expect("an entry").path());
    }
}

fn of_a_user(criu: &Criu) {
    for lock in [LockMethod::Iptables, LockMethod::Nftables] {
        let scene = scene(criu, lock);
        change_images(&scene, |image| chown(image, Some(USER), Some(USER)).expect("an owner"));
        assert_kept_until_allowed(&scene);
    }
}

fn of_anybody(criu: &Criu) {
    let scene = scene(criu, LockMethod::Iptables);
    let everybody_writes = fs::Permissions::from_mode(0o666);
    change_images(&scene, |image| fs::set_permissions(image, everybody_writes.clone()).expect("a mode"));
    assert_kept_until_allowed(&scene);
}

/// The directory is the user's, as is what lies in it; /dev/shm is not.
fn own_links(criu: &Criu) {
    let scene = scene(criu, LockMethod::Iptables);
    change_images(&scene, |image| chown(image, Some(USER), Some(USER)).expect("an owner"));
    chown(scene.host.dir(), Some(USER), Some(USER)).expect("an owner");
    let run = scene.tool().run(&[]);
    assert_eq!(run.code(), 1, "{run}");
    let count = |words: &str| {
        run.stdout.lines().filter(|line| line.starts_with("Link remap: ") && line.ends_with(words)).count()
    };
    assert_eq!((count("; removed)"), count("; kept: foreign-images)")), (4, 1), "{run}");
    assert_eq!(run.stdout.matches("rules of iptables-nft; kept: foreign-images").count(), 2, "{run}");
    assert_eq!(scene.tool().run(&["--allow", "foreign-images"]).code(), 0);
}

/// That the links are there, in directories where that user could not have kept them, shows that there was no restore.
fn in_a_users_directory(criu: &Criu) {
    for lock in [LockMethod::Iptables, LockMethod::Nftables] {
        let scene = scene(criu, lock);
        chown(images_of(&scene.host), Some(USER), Some(USER)).expect("an owner");
        let run = scene.tool().run(&[]);
        assert_eq!(run.code(), 0, "{run}");
    }
}

/// All on it is root's, as whoever made it says; `nosuid` is how such things are mounted. Without that root says so too.
fn brought(criu: &Criu) {
    let scene = scene(criu, LockMethod::Iptables);
    let host = &scene.host;
    let (file, place) = (host.dir().with_file_name("stick"), host.dir().with_file_name("mounted"));
    fs::File::create_new(&file).and_then(|file| file.set_len(16 << 20)).expect("a new file");
    fs::create_dir(&place).expect("a new directory");
    host.run("mkfs.ext4", &[&"-q", &file]);
    let mount = |options: &str| host.run("mount", &[&"-o", &options, &file, &place]);
    mount("loop");
    host.run("cp", &[&"-a", &images_of(host), &place.join("images")]);
    host.run("umount", &[&place]);
    let tool = Tool::new(host, place.join("images").as_path());
    mount("loop,nosuid,nodev");
    let all = scene.left();
    tool.assert_keeps_everything("foreign-images");
    assert_eq!(scene.left(), all);
    host.run("umount", &[&place]);
    mount("loop,nodev");
    let run = tool.run(&[]);
    assert_eq!(run.code(), 0, "{run}");
    host.run("umount", &[&place]);
}

/// A clock was set back, or somebody touched the files: then every link looks older than its images.
fn of_the_future(criu: &Criu) {
    let scene = scene(criu, LockMethod::Iptables);
    let images = images_of(&scene.host);
    let touch = |when: &str| scene.host.run("sh", &[&"-c", &format!("touch -d '{when}' {}/*.img", images.display())]);
    touch("next year");
    let run = scene.tool().run(&[]);
    assert_eq!(run.code(), 1, "{run}");
    let links: Vec<&str> = run.stdout.lines().filter(|line| line.starts_with("Link remap: ")).collect();
    assert!(links.iter().all(|line| line.contains("; kept: ") && line.contains("changed-since")), "{run}");
    assert!(!links.is_empty() && run.stdout.contains("lies in the future"), "{run}");
    touch("now");
    let run = scene.tool().run(&[]);
    assert_eq!(run.code(), 0, "{run}");
}

/// Any user can have such namespaces. Tables of other names are not read, and of rules only what CRIU makes is kept.
fn crowded(criu: &Criu) {
    for lock in [LockMethod::Iptables, LockMethod::Nftables] {
        let scene = scene(criu, lock);
        let namespace = scene.host.make_net_namespace("crowd");
        let script = scene.host.dir().join("crowd.nft");
        let mut text =
            "add table ip filter\nadd chain ip filter INPUT { type filter hook input priority 0; }\n".to_owned();
        text.extend((0..1_000).map(|table| format!("add table inet CRIU-{table:08}\n")));
        let address = |rule: u32| format!("10.0.{}.{}", rule >> 8, rule & 255);
        text.extend((0..10_000).map(|rule| format!("add rule ip filter INPUT ip saddr {} drop\n", address(rule))));
        fs::write(&script, text).expect("a new file");
        scene.host.run_in(&namespace, "nft", &[&"-f", &script]);
        let tool = scene.tool().under(&["prlimit", "--as=536870912"]);
        let start = std::time::Instant::now();
        let run = tool.run(&[]);
        assert_eq!(run.code(), 0, "{run}");
        assert!(start.elapsed() < std::time::Duration::from_secs(10), "{:?}", start.elapsed());
    }
}

/// As if to have the table of another dump's run id removed.
fn mixed(criu: &Criu) {
    let scene = scene(criu, LockMethod::Nftables);
    let inventory = images_of(&scene.host).join("inventory.img");
    chown(inventory, Some(USER), Some(USER)).expect("an owner");
    assert_kept_until_allowed(&scene);
}

fn assert_kept_until_allowed(scene: &Scene) {
    let all = scene.left();
    scene.tool().assert_keeps_everything("foreign-images");
    assert_eq!(scene.left(), all);
    let run = scene.tool().run(&["--allow", "foreign-images"]);
    assert_eq!(run.code(), 0, "{run}");
    assert_eq!(scene.left(), NOTHING);
}

/// A user sees less, and is told what.
fn looked_at_by_a_user(criu: &Criu) {
    let scene = scene(criu, LockMethod::Iptables);
    let run = |arguments: &[&str]| {
        let as_user = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups"];
        scene.tool().under(&as_user).run(arguments)
    };
    for is_left in [true, false] {
        let shown = run(&["--show", "--exit-code"]);
        assert_eq!(shown.code(), 1, "{shown}");
        assert!(!shown.stdout.contains("Nothing is left"), "{shown}");
        assert!(shown.stdout.contains("Locked tcp connection: ") && shown.stdout.contains("(not known: "), "{shown}");
        assert!(shown.stdout.contains("Not known: cannot look at ") && shown.stdout.contains("run as root"), "{shown}");
        if is_left {
            let all = scene.left();
            assert_eq!(run(&[]).code(), 1);
            assert_eq!(scene.left(), all, "a user has removed something");
            scene.assert_completes();
        }
    }
}
