// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A program that is started afresh where the dumped tree was: it is not the tree, and what it does to its old files is
//! no sign of a newer dump.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use testkit::{Container, Criu, DumpOptions, DumpResult, Launch, TestHost, Word, Workload};

use crate::case::{Case, Cases};
use crate::places::images_of;
use crate::tool::Tool;

inventory::submit!(Cases::with_each_criu(&[
    Case { name: "what a dump left is removed beside a fallback container that removed its old files", test: fallback },
    Case { name: "beside a fallback of a restored tree a newer dump's links are kept", test: after_a_newer_dump },
    Case { name: "beside a fallback that was dumped itself its link is kept", test: dumped_itself },
    Case { name: "beside a program of another container a changed link is kept", test: another_container },
    Case { name: "a changed link without a fallback is kept", test: without },
    Case {
        name: "a fallback that Docker started in the second of the dump explains what it changed",
        test: same_second
    },
    Case { name: "a link that a fallback changed is removed after its end if Docker tells of its start", test: ended },
]));

/// A container whose program has a deleted file, and starts by removing the other name of an earlier one.
struct Scene<'a> {
    criu: &'a Criu,
    host: &'a TestHost,
    container: Container,
}

const FILE: &str = "/tmp/one";
const OTHER_NAME: &str = "/tmp/one.keep";

impl<'a> Scene<'a> {
    fn new(criu: &'a Criu, host: &'a TestHost) -> Self {
        Scene { criu, host, container: Container::new(host, "root") }
    }

    fn start(&self, directives: &[Word<'_>]) -> Workload {
        let tree = Launch::new(directives).container(&self.container).start(self.host);
        // A file is never as old as the tick in which a link to it is made.
        sleep(Duration::from_millis(50));
        tree
    }

    fn dump(&self, tree: &Workload, name: &str) -> DumpResult {
        let images = self.host.dir().with_file_name(name);
        let dump = self.criu.dump(self.host, tree, &images, &DumpOptions::default());
        sleep(Duration::from_millis(50));
        dump
    }

    fn tool(&self) -> Tool<'a> {
        Tool::new(self.host, &images_of(self.host))
    }

    /// The link, as the host sees it.
    fn link(&self) -> PathBuf {
        let names = fs::read_dir(self.container.root().join("tmp")).expect("a directory").flatten();
        let link = names.map(|entry| entry.path()).find(|path| path.to_string_lossy().contains("link_remap."));
        link.expect("a link remap")
    }

    fn assert_keeps_the_link(&self) {
        self.tool().assert_keeps_everything("changed-since");
        assert!(self.link().exists());
    }
}

fn fallback(criu: &Criu) {
    let host = TestHost::new();
    let scene = Scene::new(criu, &host);
    scene.dump(&scene.start(&[&"deleted", &FILE]), "images");
    let link = scene.link();
    let fallback = scene.start(&[&"remove", &OTHER_NAME, &"deleted", &FILE]);
    let shown = scene.tool().show();
    let note = "runs in place of the dumped tree: it was started afresh, not restored";
    assert!(shown.iter().any(|line| line.starts_with("Note: process ") && line.ends_with(note)), "{shown:#?}");
    assert!(!shown.iter().any(|line| line.contains("was restored from these images")), "{shown:#?}");
    let removed = scene.tool().run(&[]);
    assert_eq!((removed.code(), link.exists()), (0, false), "{removed}");
    assert!(fallback.state().is_some_and(|state| state != 'Z'), "{removed}");
}

/// The restore has its log elsewhere, so only the access times of the images tell of it.
fn after_a_newer_dump(criu: &Criu) {
    let host = TestHost::new();
    let scene = Scene::new(criu, &host);
    let dump = scene.dump(&scene.start(&[&"deleted", &FILE]), "images");
    let work = host.dir().with_file_name("work");
    fs::create_dir(&work).expect("a new directory");
    let elsewhere = DumpOptions { extra: vec!["--work-dir".into(), work.into()], ..DumpOptions::default() };
    let restored = criu.restore(&host, &dump, &elsewhere);
    criu.dump_again(&host, restored, &dump, &host.dir().with_file_name("newer"), &DumpOptions::default());
    let _fallback = scene.start(&[&"remove", &OTHER_NAME]);
    scene.assert_keeps_the_link();
}

/// Somebody removed the link so that the next dump could make its own. Nobody restored the images.
fn dumped_itself(criu: &Criu) {
    let host = TestHost::new();
    let scene = Scene::new(criu, &host);
    scene.dump(&scene.start(&[&"deleted", &FILE]), "images");
    fs::remove_file(scene.link()).expect("a link");
    scene.dump(&scene.start(&[&"remove", &OTHER_NAME, &"deleted", &FILE]), "newer");
    let _fallback = scene.start(&[&"remove", &OTHER_NAME]);
    scene.assert_keeps_the_link();
}

fn another_container(criu: &Criu) {
    let host = TestHost::new();
    let scene = Scene::new(criu, &host);
    scene.dump(&scene.start(&[&"deleted", &FILE]), "images");
    let _other = Launch::new(&[&"deleted", &FILE]).container(&Container::new(&host, "other")).start(&host);
    touch(&host, &scene.link());
    scene.assert_keeps_the_link();
}

fn without(criu: &Criu) {
    let host = TestHost::new();
    let scene = Scene::new(criu, &host);
    scene.dump(&scene.start(&[&"deleted", &FILE]), "images");
    touch(&host, &scene.link());
    scene.assert_keeps_the_link();
}

/// A container that Docker restarts again and again, for example.
fn ended(criu: &Criu) {
    let host = TestHost::new();
    let scene = Scene::new(criu, &host);
    let directory = host.dir().join("containers").join("9b051c27".repeat(8));
    let images = directory.join("checkpoints/one");
    fs::create_dir_all(&images).expect("a new directory");
    let before = SystemTime::now();
    let tree = scene.start(&[&"deleted", &FILE]);
    criu.dump(&host, &tree, &images, &DumpOptions::default());
    sleep(Duration::from_millis(50));
    let after = SystemTime::now();
    drop(scene.start(&[&"remove", &OTHER_NAME, &"deleted", &FILE]));
    let tool = Tool::new(&host, &images);
    let started = |time: SystemTime| {
        let config = serde_json::json!({ "State": { "StartedAt": humantime::format_rfc3339_nanos(time).to_string() } });
        fs::write(directory.join("config.v2.json"), config.to_string()).expect("a file");
    };
    for time in [before, SystemTime::now()] {
        started(time);
        tool.assert_keeps_everything("changed-since");
    }
    started(after);
    let removed = tool.run(&[]);
    assert_eq!(removed.code(), 0, "{removed}");
    assert!(removed.stdout.contains("Note: the engine started the container again after the dump"), "{removed}");
}

/// Docker unpacks the images, and their times are whole seconds then.
fn same_second(criu: &Criu) {
    let host = TestHost::new();
    let scene = Scene::new(criu, &host);
    let directory = host.dir().join("containers").join("9b051c27".repeat(8));
    let tree = scene.start(&[&"deleted", &FILE]);
    let since_epoch = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a time");
    sleep(Duration::from_nanos(1_000_000_000 - u64::from(since_epoch().subsec_nanos())));
    let dump = scene.dump(&tree, "images");
    let images = directory.join("checkpoints/one");
    let script =
        "mkdir -p $1; tar -C $0 -cf - . | tar -C $1 -xf -; for i in $1/*; do touch -a -d @$(stat -c %Y $i) $i; done";
    host.run("sh", &[&"-ec", &script, &dump.images, &images]);
    let second = since_epoch().as_secs();
    let started = humantime::format_rfc3339_nanos(SystemTime::now()).to_string();
    let config = serde_json::json!({ "State": { "StartedAt": started } });
    fs::write(directory.join("config.v2.json"), config.to_string()).expect("a file");
    sleep(Duration::from_secs(second + 1).saturating_sub(since_epoch()) + Duration::from_millis(50));
    drop(scene.start(&[&"remove", &OTHER_NAME, &"deleted", &FILE]));
    let removed = Tool::new(&host, &images).run(&[]);
    assert_eq!(removed.code(), 0, "{removed}");
    assert!(removed.stdout.contains("Note: the engine started the container again after the dump"), "{removed}");
}

/// Changes a link and its directory, as a newer dump would.
fn touch(host: &TestHost, link: &Path) {
    host.run("sh", &[&"-c", &format!("ln {0} {0}.x && rm {0}.x", link.display())]);
}
