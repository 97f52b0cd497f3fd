// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Link remaps in a container whose root is an overlay, mounted again or nowhere.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use testkit::{
    CommandExt, Container, Criu, DumpOptions, IptablesFlavour, Launch, Network, Snapshot, TestHost, Word, Workload,
    wait_until,
};

use crate::case::{Case, Cases};
use crate::closed::Closed;
use crate::container_links::assert_not_known;
use crate::places::{images_of, make_directory};
use crate::recording::recording;
use crate::stored::dump_and_discard;
use crate::tool::{NOTHING, Tool};

inventory::submit!(Cases::with_each_criu(&[
    Case { name: "a link remap on an overlay is removed where that is mounted", test: mounted },
    Case { name: "a link remap on an overlay that was mounted anew is removed", test: mounted_anew },
    Case {
        name: "a link remap on an overlay that is mounted nowhere is removed from its upper directory",
        test: upper,
    },
    Case { name: "an upper directory that became a link to another's is not looked into", test: turned },
    Case {
        name: "a link that another dump left where the options of an overlay lead to is kept",
        test: upper_of_another,
    },
    Case { name: "a recorded link on an overlay is the same one in its upper directory", test: recorded },
    Case { name: "a recorded link on an overlay is removed from its upper directory without images", test: discarded },
    Case { name: "a link remap on an overlay whose upper directory was removed is gone", test: removed_upper },
    Case { name: "the link remap of a file that an overlay copied up is removed", test: copied_up },
    Case {
        name: "the link remap of a file of which an overlay copied up all but the content is removed",
        test: copied_up_without_content,
    },
    Case { name: "a deleted file of an overlay's lower directory leaves nothing", test: lower },
    Case { name: "beside a fallback the link in the layer that the engine names is removed", test: named_by_engine },
    Case { name: "beside a fallback a link in a layer that no engine names is kept", test: named_by_nobody },
    Case { name: "beside a fallback the link in the layer of containerd's container is removed", test: containerds },
    Case { name: "beside a fallback the link in the layer of Docker's containerd store is removed", test: dockers },
    Case { name: "containerd's container in this layer tells the network namespace", test: containerds_network },
    Case { name: "what others can write of containerd's container does not lead to its layer", test: of_others },
    Case { name: "a layer that is younger than the images is not that of the dumped container", test: younger_layer },
]));

const DELETED: [&str; 2] = ["deleted", "/tmp/one"];

fn mounted(criu: &Criu) {
    let host = TestHost::new();
    let overlay = Overlay::mounted(&host);
    let tree = overlay.start_tree(&DELETED);
    let before = overlay.dump(criu, &tree);
    assert_is_in(&overlay.tool().assert_removes_everything_since(&before), overlay.root());
    overlay.assert_clean();
}

/// Under another device number, that is.
fn mounted_anew(criu: &Criu) {
    let host = TestHost::new();
    let overlay = Overlay::mounted(&host);
    let tree = overlay.start_tree(&DELETED);
    let number = overlay.device();
    let before = overlay.dump(criu, &tree);
    overlay.unmount();
    overlay.mount();
    while overlay.device() == number {
        overlay.unmount();
        host.run("mount", &[&"-t", &"tmpfs", &"takes a number", &"/mnt"]);
        overlay.mount();
    }
    assert_is_in(&overlay.tool().assert_removes_everything_since(&before), overlay.root());
    overlay.assert_clean();
}

fn upper(criu: &Criu) {
    let host = TestHost::new();
    let (overlay, tree) = Overlay::left_by_tree(&host);
    let before = overlay.dump(criu, &tree);
    assert_is_in(&overlay.tool().assert_removes_everything_since(&before), &overlay.upper);
    overlay.mount();
    overlay.assert_clean();
}

/// The path stands in the mount's options, and whoever owns a directory on the way decides where it leads.
fn turned(criu: &Criu) {
    let host = TestHost::new();
    let (overlay, tree) = Overlay::left_by_tree(&host);
    let before = overlay.dump(criu, &tree);
    for turned in [overlay.upper.clone(), overlay.upper.parent().expect("a directory").to_owned()] {
        let elsewhere = turned.with_extension("victim");
        fs::rename(&turned, &elsewhere).expect("another name");
        std::os::unix::fs::symlink(&elsewhere, &turned).expect("a symbolic link");
        assert_not_known(&overlay.tool(), "Too many levels of symbolic links");
        fs::remove_file(&turned).expect("the link");
        fs::rename(&elsewhere, &turned).expect("the old name");
    }
    overlay.tool().assert_removes_everything_since(&before);
}

/// The path of an upper directory is the word of whoever mounted the overlay: here it leads to what another dump left.
fn upper_of_another(criu: &Criu) {
    let host = TestHost::new();
    let (overlay, tree) = Overlay::left_by_tree(&host);
    let (other, away) = (make_directory(&host, "other"), host.dir().join("away"));
    fs::create_dir(other.join("tmp")).expect("a new directory");
    for number in 2..30 {
        fs::write(other.join(format!("tmp/link_remap.{number}")), [b'x'; 41]).expect("a new file");
    }
    host.run("sleep", &[&"0.2"]);
    overlay.dump(criu, &tree);
    fs::rename(&overlay.upper, &away).expect("the upper directory");
    fs::rename(&other, &overlay.upper).expect("another one");
    overlay.tool().assert_keeps_everything("older-than-dump");
    fs::rename(&overlay.upper, &other).expect("the other one");
    fs::rename(&away, &overlay.upper).expect("the upper directory");
    let removed = overlay.tool().run(&[]);
    assert_eq!(removed.code(), 0, "{removed}");
    assert_eq!(names(&other.join("tmp")).len(), 28);
    overlay.mount();
    overlay.assert_clean();
}

/// The overlay has another device number than its upper directory, and is mounted while the record is made.
fn recorded(criu: &Criu) {
    let host = TestHost::new();
    let (overlay, tree) = Overlay::left_by_tree(&host);
    let before = overlay.tool().snapshot();
    criu.dump(&host, &tree, &images_of(&host), &recording(&host, &DumpOptions::default()));
    let [object] = &overlay.tool().show_objects()[..] else { panic!("not one object") };
    assert_eq!((&object["record"], &object["verdict"]), (&"same".into(), &"remove".into()), "{object:#}");
    assert_is_in(&overlay.tool().assert_removes_everything_since(&before), &overlay.upper);
}

fn discarded(criu: &Criu) {
    let host = TestHost::new();
    let (overlay, tree) = Overlay::left_by_tree(&host);
    let before = overlay.tool().snapshot();
    let record = dump_and_discard(criu, &host, &tree, &DumpOptions::default());
    drop(tree);
    let tool = Tool::new(&host, &record);
    assert_is_in(&tool.show()[1..], &overlay.upper);
    assert_eq!(tool.run(&[]).code(), 0);
    assert_eq!(overlay.tool().difference_to(&before), NOTHING);
}

fn removed_upper(criu: &Criu) {
    let host = TestHost::new();
    let (overlay, tree) = Overlay::left_by_tree(&host);
    overlay.dump(criu, &tree);
    fs::remove_dir_all(&overlay.upper).expect("an upper directory");
    let lines = overlay.tool().show();
    assert!(lines[0].starts_with("Link remap: /tmp/link_remap.") && lines[0].ends_with(" (gone)"), "{lines:#?}");
    overlay.tool().assert_finds_nothing();
}

/// Of two names in the lower directory one is deleted: the link is to what the overlay copied up for it.
fn copied_up(criu: &Criu) {
    assert_removes_after_copy_up(criu, "index=on");
}

/// Of the file the upper directory has the names and the owner, and the lower one the content.
fn copied_up_without_content(criu: &Criu) {
    assert_removes_after_copy_up(criu, "index=on,metacopy=on");
}

fn assert_removes_after_copy_up(criu: &Criu, options: &'static str) {
    let host = TestHost::new();
    let overlay = Overlay::mounted_on(&host, options, |lower| {
        fs::write(lower.join("tmp/one"), "of the image").expect("a new file");
        fs::hard_link(lower.join("tmp/one"), lower.join("tmp/one.keep")).expect("a new link");
    });
    let tree = overlay.start_tree(&["open", "/tmp/one", "remove", "/tmp/one"]);
    overlay.unmount();
    let before = overlay.dump(criu, &tree);
    assert_is_in(&overlay.tool().assert_removes_everything_since(&before), &overlay.upper);
    overlay.mount();
    let inside = host.path(overlay.root()).join("tmp");
    assert_eq!(names(&inside), ["one.keep"]);
    assert_eq!(fs::metadata(inside.join("one.keep")).expect("a file").nlink(), 1);
    assert_eq!(fs::read(inside.join("one.keep")).expect("a file"), b"of the image");
}

fn lower(criu: &Criu) {
    let host = TestHost::new();
    let overlay = Overlay::mounted_on(&host, "index=off", |lower| {
        fs::write(lower.join("tmp/one"), "of the image").expect("a new file")
    });
    let tree = overlay.start_tree(&["open", "/tmp/one", "remove", "/tmp/one"]);
    let before = overlay.dump(criu, &tree);
    assert_eq!(overlay.tool().difference_to(&before), NOTHING);
    overlay.tool().assert_finds_nothing();
    let detailed = overlay.tool().run(&["--show", "-v"]).stdout;
    let ghost = "Ghost file: /tmp/one (its content is in ghost-file-1.img; the dump left no file)";
    assert!(detailed.lines().any(|line| line == ghost), "{detailed}");
    assert!(is_whiteout(&overlay.upper.join("tmp/one")), "void: nothing was deleted");
}

/// Docker mounts the layer again for each start, and what the program does to its old files changes the link's times.
fn named_by_engine(criu: &Criu) {
    let host = TestHost::new();
    let overlay = Overlay::mounted(&host);
    let bundle = Bundle::with_fallback(criu, &overlay, Some(overlay.root()));
    let removed = bundle.tool().run(&[]);
    assert_eq!(removed.code(), 0, "{removed}");
    assert_eq!(links(&overlay), 0, "{removed}");
    assert!(bundle.fallback.state().is_some_and(|state| state != 'Z'), "{removed}");
    // The same where only the text of the images names the layer that is mounted nowhere.
    drop(bundle);
    overlay.unmount();
    let [object] = &Tool::new(&host, &host.dir().join("bundle/checkpoint")).show_objects()[..] else { panic!() };
    assert_eq!(object["verdict"], "nothing", "{object:#}");
}

fn named_by_nobody(criu: &Criu) {
    for other in [None, Some(Path::new("/run"))] {
        let host = TestHost::new();
        let overlay = Overlay::mounted(&host);
        let bundle = Bundle::with_fallback(criu, &overlay, other);
        bundle.tool().assert_keeps_everything("older-than-dump");
        assert_eq!(links(&overlay), 1, "{other:?}");
    }
}

/// `ctr tasks start` after `ctr tasks checkpoint --exit`. containerd mounts the layer for each start.
fn containerds(criu: &Criu) {
    let host = TestHost::new();
    let overlay = Overlay::mounted(&host);
    let bundle = Bundle::with_fallback(criu, &overlay, None);
    keep_task(&overlay, "{}");
    let removed = bundle.tool().run(&[]);
    assert_eq!((removed.code(), links(&overlay)), (0, 0), "{removed}");
    assert!(bundle.fallback.state().is_some_and(|state| state != 'Z'), "{removed}");
}

/// Docker with containerd's image store has no `mount-id`.
fn dockers(criu: &Criu) {
    for is_mounted in [false, true] {
        let host = TestHost::new();
        let overlay = Overlay::mounted(&host);
        let id = "9b051c27".repeat(8);
        let docker = host.dir().join("docker");
        let container = docker.join("containers").join(&id);
        let bundle = Bundle::with_fallback_at(criu, &overlay, container.join("checkpoints/cp"), None);
        let config = serde_json::json!({ "ID": id, "Driver": "overlayfs" });
        fs::write(container.join("config.v2.json"), config.to_string()).expect("a configuration");
        let root = docker.join("rootfs/overlayfs").join(id);
        fs::create_dir_all(&root).expect("a new directory");
        if is_mounted {
            host.run("mount", &[&"--bind", &overlay.root(), &root]);
            let removed = bundle.tool().run(&[]);
            assert_eq!((removed.code(), links(&overlay)), (0, 0), "{removed}");
        } else {
            bundle.tool().assert_keeps_everything("older-than-dump");
        }
    }
}

/// The images have no more of it than a key.
fn containerds_network(criu: &Criu) {
    for is_kept in [true, false] {
        let host = TestHost::new();
        let closed = Closed::new(&host, IptablesFlavour::Nft);
        let overlay = Overlay::mounted(&host);
        let launch = Launch::new(&[&"listen-connect", &"127.0.0.1:0"]).container(&overlay.container);
        let tree = launch.network(Network::Named(closed.namespace.clone())).start(&host);
        let inode = fs::metadata(host.path(closed.namespace.path())).expect("a namespace").ino();
        let extra = vec!["--external".into(), format!("net[{inode}]:extRootNetNS").into()];
        criu.dump(&host, &tree, &images_of(&host), &DumpOptions { extra, ..DumpOptions::default() });
        assert!(!closed.lets_packets_pass(), "void: the namespace is open");
        if is_kept {
            keep_task(&overlay, r#"{"namespaces":[{"type":"network","path":"/run/netns/blue"}]}"#);
        }
        let told = overlay.tool().run(&[]);
        assert_eq!((told.code() == 0, closed.lets_packets_pass()), (is_kept, is_kept), "{told}");
    }
}

fn of_others(criu: &Criu) {
    let host = TestHost::new();
    let overlay = Overlay::mounted(&host);
    let bundle = Bundle::with_fallback(criu, &overlay, None);
    let config = keep_task(&overlay, "{}");
    fs::set_permissions(config, fs::Permissions::from_mode(0o666)).expect("a mode");
    bundle.tool().assert_keeps_everything("older-than-dump");
    assert_eq!(links(&overlay), 1);
}

/// After containerd lost its database, its numbers of layers start again.
fn younger_layer(criu: &Criu) {
    let host = TestHost::new();
    let overlay = Overlay::mounted(&host);
    let bundle = Bundle::with_fallback(criu, &overlay, None);
    // The same files, in a new directory.
    let away = overlay.upper.with_file_name("away");
    fs::rename(&overlay.upper, &away).expect("the upper directory");
    host.run("cp", &[&"-a", &"--link", &away, &overlay.upper]);
    keep_task(&overlay, "{}");
    let told = bundle.tool().run(&[]);
    assert!(told.code() == 1 && !told.stdout.contains("removed)"), "{told}");
    assert_eq!(links(&overlay), 1);
}

/// What containerd keeps of a container that it has started; returns the configuration.
fn keep_task(overlay: &Overlay<'_>, linux: &str) -> PathBuf {
    let task = Path::new("/run/containerd/io.containerd.runtime.v2.task/default/job");
    overlay.host.run("mkdir", &[&"-p", &task.join("rootfs")]);
    overlay.host.run("mount", &[&"--bind", &overlay.root(), &task.join("rootfs")]);
    let config = overlay.host.path(task.join("config.json"));
    fs::write(&config, format!(r#"{{"root":{{"path":"rootfs"}},"linux":{linux}}}"#)).expect("a new file");
    config
}

fn links(overlay: &Overlay<'_>) -> usize {
    names(&overlay.upper.join("tmp")).iter().filter(|name| name.starts_with("link_remap.")).count()
}

/// A bundle with images of a container, in which the program was started afresh since.
struct Bundle<'a> {
    host: &'a TestHost,
    images: PathBuf,
    fallback: Workload,
}

impl<'a> Bundle<'a> {
    /// `root` is what the bundle's configuration says, if there is one.
    fn with_fallback(criu: &Criu, overlay: &Overlay<'a>, root: Option<&Path>) -> Self {
        Self::with_fallback_at(criu, overlay, overlay.host.dir().join("bundle/checkpoint"), root)
    }

    /// The same, with the images there.
    fn with_fallback_at(criu: &Criu, overlay: &Overlay<'a>, images: PathBuf, root: Option<&Path>) -> Self {
        let host = overlay.host;
        fs::create_dir_all(&images).expect("a new directory");
        if let Some(root) = root {
            let config = serde_json::json!({ "root": { "path": root } });
            fs::write(images.with_file_name("config.json"), config.to_string()).expect("a new file");
        }
        let tree = overlay.start_tree(&DELETED);
        // A file is never as old as the tick in which a link to it is made.
        sleep(Duration::from_millis(50));
        criu.dump(host, &tree, &images, &DumpOptions::default());
        overlay.unmount();
        overlay.mount();
        sleep(Duration::from_millis(100));
        let fallback = overlay.start_tree(&["remove", "/tmp/one.keep", "deleted", "/tmp/one"]);
        Bundle { host, images, fallback }
    }

    fn tool(&self) -> Tool<'a> {
        Tool::new(self.host, &self.images)
    }
}

/// A container's root with an overlay mounted on it, of which it is the lower directory.
pub(crate) struct Overlay<'a> {
    host: &'a TestHost,
    container: Container,
    pub(crate) upper: PathBuf,
    work: PathBuf,
    /// Its other options: whether it keeps the hard links of its lower directory together, and copies content late.
    options: &'static str,
}

impl<'a> Overlay<'a> {
    /// One that nobody but a tree has mounted any more, and that tree, which has a deleted file on it.
    fn left_by_tree(host: &'a TestHost) -> (Self, Workload) {
        let overlay = Overlay::mounted(host);
        let tree = overlay.start_tree(&DELETED);
        overlay.unmount();
        (overlay, tree)
    }

    pub(crate) fn mounted(host: &'a TestHost) -> Self {
        Self::mounted_on(host, "index=off", |_| ())
    }

    /// The same, with more in the lower directory.
    fn mounted_on(host: &'a TestHost, options: &'static str, prepare: impl FnOnce(&Path)) -> Self {
        let container = Container::new(host, "root");
        prepare(container.root());
        // The kernel empties the work directory with each mount.
        let work = host.dir().with_file_name("work");
        fs::create_dir(&work).expect("a new directory");
        let overlay = Self { host, container, upper: make_directory(host, "the upper"), work, options };
        overlay.mount();
        overlay
    }

    fn mount(&self) {
        let [lower, upper, work] = [self.root(), &self.upper, &self.work].map(Path::display);
        let options = format!("lowerdir={lower},upperdir={upper},workdir={work},{}", self.options);
        let mount =
            || self.host.command("mount").args(["-t", "overlay", "-o", &options, "overlay"]).arg(self.root()).finish();
        // With an index, not before the mount of a tree that has just ended is gone.
        wait_until(|| mount().status.success().then_some(())).expect("an overlay");
    }

    pub(crate) fn unmount(&self) {
        self.host.run("umount", &[&self.root()]);
    }

    pub(crate) fn root(&self) -> &Path {
        self.container.root()
    }

    fn device(&self) -> u64 {
        fs::metadata(self.host.path(self.root())).expect("a mount").dev()
    }

    pub(crate) fn start_tree(&self, words: &[&str]) -> Workload {
        let words: Vec<Word<'_>> = words.iter().map(|word| word as Word<'_>).collect();
        Launch::new(&words).container(&self.container).start(self.host)
    }

    /// What was there before.
    pub(crate) fn dump(&self, criu: &Criu, tree: &Workload) -> Snapshot {
        let before = self.tool().snapshot();
        criu.dump(self.host, tree, &images_of(self.host), &DumpOptions::default());
        before
    }

    fn tool(&self) -> Tool<'a> {
        Tool::on(self.host)
    }

    /// Through the overlay, the file's other name is there, as its only one; below it no whiteout was made.
    fn assert_clean(&self) {
        let inside = self.host.path(self.root()).join("tmp");
        assert_eq!(names(&inside), ["one.keep"]);
        assert_eq!(fs::metadata(inside.join("one.keep")).expect("a file").nlink(), 1);
        assert_eq!(names(&self.upper.join("tmp")), ["one.keep"]);
    }
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("a directory").flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

fn is_whiteout(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_char_device() && file.rdev() == 0)
}

fn assert_is_in(lines: &[String], root: &Path) {
    let place = format!("(at {}/tmp/link_remap.", root.display());
    assert!(lines[0].starts_with("Link remap: /tmp/link_remap.") && lines[0].contains(&place), "{lines:#?}");
}
