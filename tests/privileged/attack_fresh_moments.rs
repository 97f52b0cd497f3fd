// SPDX-License-Identifier: Apache-2.0 OR MIT
//! More attacks on the acts (L8): what is removed was looked at while a person was asked, and something else has the name
//! by the time of the answer; and removals of which a part fails.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use testkit::{Criu, DumpOptions, Finished, LockMethod, TestHost};

use crate::attack::{assert_cleans, has_link};
use crate::attack_laws::{assert_told_until_removable, dump_with_link};
use crate::case::{Case, Cases};
use crate::container_links::directory;
use crate::filters::tables;
use crate::links::images_of;
use crate::neighbours::link_in;
use crate::terminal::run_at_terminal_after;
use crate::tool::Tool;

inventory::submit!(Cases::with_newest_criu(&[
    Case { name: "attack: what is mounted over a link while a person is asked is not touched", test: mounted_over },
    Case { name: "attack: a directory in the place of the link's while a person is asked is not", test: exchanged },
    Case { name: "attack: a link that is made again while a person is asked is a newer dump's", test: made_again },
    Case { name: "attack: a table that is made again while a person is asked is another", test: table_made_again },
    Case { name: "attack: a link in an append-only directory is said to stay, and all else goes", test: append_only },
    Case { name: "attack: a link on what became read-only is said to stay, and all else goes", test: read_only },
]));

/// Somebody says yes after these commands.
fn answer_after(host: &TestHost, commands: &str) -> Finished {
    let told = run_at_terminal_after(host, &format!("-D {}", images_of(host).display()), commands, "y");
    assert!(told.stdout.contains("[y/N]"), "void: nothing was asked: {told}");
    told
}

/// A file like the link in every way that shows, made before the dump, and of the same name.
fn make_look_alike(link: &Path, place: &Path) -> PathBuf {
    let other = place.join(link.file_name().expect("a name"));
    fs::copy(link, &other).expect("a copy");
    let time = fs::metadata(link).expect("a link").modified().expect("a time");
    fs::File::options().write(true).open(&other).and_then(|file| file.set_modified(time)).expect("a copy");
    other
}

/// The link's directory, and another with a look-alike, which the commands put in its place.
fn assert_replacement_survives(criu: &Criu, there: fn(&Path, &Path) -> String, back: fn(&Path, &Path) -> String) {
    let host = TestHost::new();
    let [own, other] = ["own", "other"].map(|name| directory(&host, name));
    dump_with_link(criu, &host, &own.join("data"));
    let link = link_in(&own);
    let inodes = [&link, &make_look_alike(&link, &other)].map(|file| fs::symlink_metadata(file).expect("a link").ino());
    let told = answer_after(&host, &there(&own, &other));
    host.run("sh", &[&"-c", &back(&own, &other)]);
    let left = [&own, &other].map(|place| has_link(place).then(|| fs::metadata(link_in(place)).expect("a link").ino()));
    assert_eq!(left[1], Some(inodes[1]), "GOT: another file was removed: {told}");
    assert!(left[0].is_none() || told.code() == 1, "GOT: clean: {told}");
    if left[0].is_some() {
        assert_cleans(&Tool::new(&host, &images_of(&host)), || has_link(&own));
    }
}

fn mounted_over(criu: &Criu) {
    assert_replacement_survives(
        criu,
        |own, other| format!("mount --bind {} {}", other.display(), own.display()),
        |own, _| format!("umount {}", own.display()),
    );
}

fn exchanged(criu: &Criu) {
    fn exchange(own: &Path, other: &Path) -> String {
        format!("mv {0} {0}.aside; mv {1} {0}; mv {0}.aside {1}", own.display(), other.display())
    }
    assert_replacement_survives(criu, exchange, exchange);
}

/// The same file gets the name again.
fn made_again(criu: &Criu) {
    let host = TestHost::new();
    let own = directory(&host, "own");
    dump_with_link(criu, &host, &own.join("data"));
    let link = link_in(&own);
    let told = answer_after(&host, &format!("rm {0}; ln {1}.keep {0}", link.display(), own.join("data").display()));
    assert!(link.exists(), "GOT: a newer dump's link was removed: {told}");
    assert_eq!(told.code(), 1, "GOT: clean: {told}");
    let kept = Tool::new(&host, &images_of(&host)).run(&[]);
    assert!(link.exists() && kept.code() == 1, "GOT: a newer dump's link was removed: {kept}");
    let honest = TestHost::new();
    dump_with_link(criu, &honest, &honest.dir().join("data"));
    let told = answer_after(&honest, "true");
    assert!(told.code() == 0 && !has_link(honest.dir()), "NOT CLEANED: {told}");
}

/// Its content is somebody else's.
fn table_made_again(criu: &Criu) {
    let host = TestHost::new();
    let tree = host.start_workload(&[&"listen-connect", &"127.0.0.1:0"]);
    let options = DumpOptions { lock: LockMethod::Nftables, ..DumpOptions::default() };
    criu.dump(&host, &tree, &images_of(&host), &options);
    drop(tree);
    let [name] = &tables(&host, None)[..] else { panic!("void: no table") };
    let again = format!(
        "nft delete table inet {name}; nft add table inet {name}; \
         nft \"add chain inet {name} mine {{ type filter hook input priority 0; }}\"; \
         nft add rule inet {name} mine tcp dport 22 accept"
    );
    let told = answer_after(&host, &again);
    assert_eq!(tables(&host, None).as_slice(), std::slice::from_ref(name), "GOT: it was removed: {told}");
    assert_eq!(told.code(), 1, "GOT: clean: {told}");
    let tool = Tool::new(&host, &images_of(&host));
    tool.assert_keeps_everything("foreign-content");
    host.run("nft", &[&"delete", &"table", &"inet", name]);
    tool.assert_finds_nothing();
}

fn append_only(criu: &Criu) {
    assert_told_until_removable(
        criu,
        |host, link| drop(host.run("chattr", &[&"+a", &link.parent().expect("a directory")])),
        |host, link| drop(host.run("chattr", &[&"-a", &link.parent().expect("a directory")])),
    );
}

/// Only the mount is, by which everybody has the directory.
fn read_only(criu: &Criu) {
    assert_told_until_removable(
        criu,
        |host, link| {
            let place = link.parent().expect("a directory");
            host.run("mount", &[&"--bind", &place, &place]);
            host.run("mount", &[&"-o", &"remount,bind,ro", &place]);
        },
        |host, link| drop(host.run("umount", &[&link.parent().expect("a directory")])),
    );
}
