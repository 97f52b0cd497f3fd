// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `--show` leaves the access times of what it reads as they were, where the kernel lets it.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};

use testkit::{Criu, Finished, TestHost};

use crate::attack::{assert_cleans, dump_process, has_link};
use crate::case::{Case, Cases};
use crate::container_links::directory;
use crate::links::images_of;
use crate::tool::Tool;

inventory::submit!(Cases::with_newest_criu(&[
    Case { name: "--show leaves the access times of images and directories as they were", test: images },
    Case { name: "--show leaves the access time of an archive as it was", test: archive },
    Case { name: "--show reads the images of a user although it may not spare their access times", test: of_a_user },
]));

/// A dump on a filesystem that notes every read: the images, their directory and that of the link.
struct Scene {
    /// The filesystem, as it is reached from outside of the host.
    volume: PathBuf,
}

impl Scene {
    fn new(criu: &Criu, host: &TestHost) -> Self {
        let volume = directory(host, "volume");
        host.run("mount", &[&"-t", &"tmpfs", &"-o", &"strictatime", &"noted", &volume]);
        let scene = Scene { volume: host.path(&volume) };
        fs::create_dir(scene.volume.join("images")).expect("a new directory");
        let tree = host.start_workload(&[&"deleted", &volume.join("data")]);
        let images = images_of(host);
        fs::create_dir(&images).expect("a new directory");
        host.run("mount", &[&"--bind", &volume.join("images"), &images]);
        dump_process(criu, host, tree.pid(), &images, &[]);
        scene
    }

    fn images(&self) -> Vec<PathBuf> {
        fs::read_dir(self.volume.join("images")).expect("images").flatten().map(|image| image.path()).collect()
    }

    fn has_link(&self) -> bool {
        has_link(&self.volume)
    }
}

/// What was read last when.
fn times(files: &[PathBuf]) -> Vec<(i64, i64)> {
    let time = |file: &PathBuf| fs::symlink_metadata(file).map(|file| (file.atime(), file.atime_nsec()));
    files.iter().map(|file| time(file).expect("a file")).collect()
}

/// Shows what is left, and checks that no time has changed.
#[track_caller]
fn assert_show_keeps_times(tool: &Tool<'_>, files: &[PathBuf]) -> Finished {
    let before = times(files);
    let shown = tool.run(&["--show"]);
    assert!(shown.stdout.contains("to be removed)"), "void: {shown}");
    let after = times(files);
    let changed: Vec<_> =
        files.iter().zip(before.iter().zip(&after)).filter(|(_, (before, after))| before != after).collect();
    assert!(changed.is_empty(), "--show changed {changed:?}: {shown}");
    shown
}

fn images(criu: &Criu) {
    let host = TestHost::new();
    let scene = Scene::new(criu, &host);
    let files: Vec<PathBuf> =
        scene.images().into_iter().chain([scene.volume.join("images"), scene.volume.clone()]).collect();
    let reading = files[0].clone();
    let before = times(std::slice::from_ref(&reading));
    fs::read(&reading).expect("an image");
    assert_ne!(times(&[reading]), before, "void: this filesystem notes no read");
    let tool = Tool::new(&host, &images_of(&host));
    assert_show_keeps_times(&tool, &files);
    assert_cleans(&tool, || scene.has_link());
}

fn archive(criu: &Criu) {
    let host = TestHost::new();
    let scene = Scene::new(criu, &host);
    let inside = images_of(&host).with_file_name("volume.tar");
    host.run("tar", &[&"-C", &images_of(&host), &"-cf", &inside, &"."]);
    let archive = host.dir().join("volume/dump.tar");
    host.run("cp", &[&inside, &archive]);
    let tool = Tool::new(&host, &archive);
    assert_show_keeps_times(&tool, &[scene.volume.join("dump.tar")]);
    assert_cleans(&tool, || scene.has_link());
}

/// Who looks has no `CAP_FOWNER`, and so the kernel notes what it reads of others.
fn of_a_user(criu: &Criu) {
    const USER: u32 = 12345;
    let host = TestHost::new();
    let scene = Scene::new(criu, &host);
    let own = |file: &Path| chown(file, Some(USER), Some(USER)).expect("a file to give away");
    scene.images().iter().for_each(|image| own(image));
    let tool = Tool::new(&host, &images_of(&host));
    let shown = tool.run(&["--show", "--exit-code"]);
    assert!(shown.code() == 1 && shown.stdout.contains("foreign-images"), "{shown}");
    scene.images().iter().for_each(|image| chown(image, Some(0), Some(0)).expect("a file to take back"));
    assert_cleans(&tool, || scene.has_link());
}
