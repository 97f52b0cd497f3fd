// SPDX-License-Identifier: Apache-2.0 OR MIT
//! An upper directory in the images is a text (L1, L2): it was written by the tree that mounted the overlay, and means
//! something only where that tree was.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use testkit::{Artifacts, CommandExt, Container, Criu, DumpOptions, Launch, TestHost, Workload};

use crate::attack::{
    Holder, assert_cleans, assert_not_called_clean, assert_untouched, dump_process, has_link, newest, plant,
};
use crate::case::{Case, Cases};
use crate::links::images_of;
use crate::recording::recording;
use crate::refusals::wait_until;
use crate::tool::Tool;

inventory::submit!(Cases::with_newest_criu(&[
    Case { name: "attack: a user's overlay of the same text is not that of the images", test: users_text },
    Case { name: "attack: a nested engine's overlay of the same text is not that of the images", test: engines_text },
    Case { name: "attack: an upper directory that is reached by a symbolic link is not followed", test: turned_link },
    Case { name: "attack: an upper directory in a tmpfs of the tree's is not the host's", test: hidden_by_tmpfs },
    Case { name: "attack: an upper directory below a bind of the tree's is not the host's", test: hidden_by_bind },
    Case { name: "attack: an upper directory that was removed and made anew is another", test: made_anew },
]));

/// Where the engine of the host has its layers: on a filesystem that everybody may enter.
const STORE: &str = "/run/store";

/// What else may be among the options of an overlay.
const SPELLINGS: [&str; 3] = ["index=off", "index=on,metacopy=on", "index=off,xino=off"];

/// A container on an overlay, of which its directory is the lower one.
struct Overlay<'a> {
    host: &'a TestHost,
    container: Container,
    options: String,
}

impl<'a> Overlay<'a> {
    /// The store is named so in the options.
    fn mounted(host: &'a TestHost, store: &str, more: &str) -> Self {
        let container = Container::new(host, "root");
        let lower = container.root().display().to_string();
        host.run("mkdir", &[&"-p", &format!("{STORE}/upper/tmp"), &format!("{STORE}/work")]);
        let options = format!("lowerdir={lower},upperdir={store}/upper,workdir={store}/work,{more}");
        let overlay = Self { host, container, options };
        overlay.mount();
        overlay
    }

    fn mount(&self) {
        let mount = || {
            let words = ["-t", "overlay", "-o", &self.options, "overlay"];
            self.host.command("mount").args(words).arg(self.container.root()).finish()
        };
        wait_until(|| mount().status.success().then_some(())).expect("an overlay");
    }

    fn unmount(&self) {
        self.host.run("umount", &[&self.container.root()]);
    }

    fn start_tree(&self) -> Workload {
        Launch::new(&[&"deleted", &"/tmp/one"]).container(&self.container).start(self.host)
    }

    fn tool(&self) -> Tool<'a> {
        Tool::new(self.host, &images_of(self.host)).watching(STORE)
    }

    fn has_link(&self) -> bool {
        has_link(&self.host.path(STORE).join("upper/tmp"))
    }
}

/// Without any privilege: in a user namespace, where the store is a tmpfs of the user's.
fn users_text(criu: &Criu) {
    for more in SPELLINGS {
        let host = TestHost::new();
        let overlay = Overlay::mounted(&host, STORE, more);
        let tree = overlay.start_tree();
        overlay.unmount();
        criu.dump(&host, &tree, &images_of(&host), &recording(&host, &DumpOptions::default()));
        let text = format!("userxattr,lowerdir={STORE}/lower,upperdir={STORE}/upper,workdir={STORE}/work");
        let script = format!(
            "exec setpriv --reuid=12345 --regid=12345 --clear-groups unshare --user --map-root-user --mount sh -e -c '{}'",
            elsewhere(&text)
        );
        let user = Holder::start(&host, &script);
        assert_not_called_clean(&overlay.tool(), || overlay.has_link());
        user.end();
        if overlay.has_link() {
            assert_cleans(&overlay.tool(), || overlay.has_link());
        }
    }
}

/// A container of kind's or k3d's: the snapshots of two engines have the same small numbers. Here the other way round
/// as well: the other engine's layer has a link of the name, which is another checkpoint's.
fn engines_text(criu: &Criu) {
    for more in SPELLINGS {
        let host = TestHost::new();
        let overlay = Overlay::mounted(&host, STORE, more);
        let script = format!("exec unshare --mount --propagation private sh -e -c '{}'", elsewhere(&overlay.options));
        let engine = Holder::start(&host, &script);
        plant(&engine.path(Path::new(STORE)).join("upper/tmp"));
        let tree = overlay.start_tree();
        overlay.unmount();
        criu.dump(&host, &tree, &images_of(&host), &recording(&host, &DumpOptions::default()));
        assert_not_called_clean(&overlay.tool(), || overlay.has_link());
        let again = overlay.tool().run(&[]);
        assert_untouched(&engine.path(Path::new(STORE)).join("upper/tmp"), &again);
        engine.end();
        if overlay.has_link() {
            overlay.mount();
            assert_cleans(&overlay.tool(), || overlay.has_link());
        }
    }
}

/// Makes another store under the name of the store, and mounts an overlay of this text on it.
fn elsewhere(options: &str) -> String {
    format!(
        "mount -t tmpfs store {STORE}; cd {STORE}; mkdir -p lower/tmp upper/tmp work merged; \
         mount -t overlay -o {options} overlay merged; exec sleep 1000"
    )
}

/// The text leads through a link, which somebody turned since to the layer of another container.
fn turned_link(criu: &Criu) {
    let host = TestHost::new();
    let (link, other) = (host.path("/run/link"), host.path("/run/other"));
    fs::create_dir_all(other.join("upper/tmp")).expect("new directories");
    plant(&other.join("upper/tmp"));
    symlink(STORE, &link).expect("a new link");
    let overlay = Overlay::mounted(&host, "/run/link", "index=off");
    let tree = overlay.start_tree();
    overlay.unmount();
    criu.dump(&host, &tree, &images_of(&host), &DumpOptions::default());
    fs::remove_file(&link).and_then(|()| symlink("/run/other", &link)).expect("a turned link");
    assert_not_called_clean(&overlay.tool(), || overlay.has_link());
    assert_untouched(&other.join("upper/tmp"), &overlay.tool().run(&["--show"]));
    // Where the kernel says which overlay that is, it is found.
    fs::remove_file(&link).and_then(|()| symlink(STORE, &link)).expect("a turned link");
    overlay.mount();
    assert_cleans(&overlay.tool(), || overlay.has_link());
}

/// A real dump of root's: what the tree saw under that path ended with it.
fn hidden_by_tmpfs(criu: &Criu) {
    let host = TestHost::new();
    let tree = assert_on_hidden_store(
        &host,
        &format!("mount -t tmpfs store {STORE}; mkdir -p {STORE}/upper/tmp {STORE}/work"),
    );
    dump_process(criu, &host, tree, &images_of(&host), &[]);
    let removed = Tool::new(&host, &images_of(&host)).run(&[]);
    assert_untouched(&host.path(STORE).join("upper/tmp"), &removed);
}

/// The same where the directory is another one of the host's, and the link is still there.
fn hidden_by_bind(criu: &Criu) {
    let host = TestHost::new();
    let tree = assert_on_hidden_store(
        &host,
        &format!("mkdir -p /run/own/upper/tmp /run/own/work; mount --bind /run/own {STORE}"),
    );
    dump_process(criu, &host, tree, &images_of(&host), &[]);
    let own = host.path("/run/own/upper/tmp");
    let tool = Tool::new(&host, &images_of(&host));
    assert_not_called_clean(&tool, || has_link(&own));
    assert_untouched(&host.path(STORE).join("upper/tmp"), &tool.run(&["--show"]));
}

/// A container whose store is another one in its own mount namespace than on the host; gives its process. In the host's
/// store lie other checkpoints' links.
fn assert_on_hidden_store(host: &TestHost, hide: &str) -> u32 {
    host.run("mkdir", &[&"-p", &format!("{STORE}/upper/tmp")]);
    plant(&host.path(STORE).join("upper/tmp"));
    let root = Container::new(host, "root").root().display().to_string();
    let options = format!("lowerdir={root},upperdir={STORE}/upper,workdir={STORE}/work,index=off");
    let workload = Artifacts::of_workspace().workload();
    let script = format!(
        "{hide}; mount -t overlay -o {options} overlay {root}; exec {} enter {root} end session deleted /tmp/one ready /ready",
        workload.display()
    );
    fs::write(host.dir().with_file_name("tree.sh"), script).expect("a new file");
    let words = "unshare --pid --fork --mount --propagation private sh -e";
    let start = format!("{words} {} </dev/null >/dev/null 2>&1 &", host.dir().with_file_name("tree.sh").display());
    host.run("sh", &[&"-c", &start]);
    let pid = newest(host, "workload");
    let ready = PathBuf::from(format!("/proc/{pid}/root/ready"));
    wait_until(|| host.path(&ready).exists().then_some(())).expect("void: the tree is not ready");
    pid
}

/// The engine removed the layer, and a new container has its name: its upper directory is younger than the images, but
/// the link in it was restored from a backup that keeps times as far as that is possible.
fn made_anew(criu: &Criu) {
    let host = TestHost::new();
    let overlay = Overlay::mounted(&host, STORE, "index=off");
    let tree = overlay.start_tree();
    overlay.unmount();
    let other = host.path("/run/other-upper");
    fs::create_dir_all(other.join("tmp")).expect("new directories");
    plant(&other.join("tmp"));
    criu.dump(&host, &tree, &images_of(&host), &recording(&host, &DumpOptions::default()));
    let upper = host.path(STORE).join("upper");
    fs::rename(&upper, host.path("/run/aside")).expect("an upper directory");
    fs::rename(&other, &upper).expect("an upper directory");
    let removed = overlay.tool().run(&[]);
    assert_untouched(&upper.join("tmp"), &removed);
    fs::rename(&upper, &other).expect("an upper directory");
    fs::rename(host.path("/run/aside"), &upper).expect("an upper directory");
    assert_cleans(&overlay.tool(), || overlay.has_link());
}
