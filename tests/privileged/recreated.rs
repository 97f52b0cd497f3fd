// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a restore creates under names that were there before: deleted directories, sources of bind mounts, control groups.
//! It is empty, so it is shown and goes on request.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use testkit::{Container, Criu, DumpOptions, Kill, Launch, TestHost, Victim, Word, Workload};

use crate::case::{Case, Cases};
use crate::control_group::ControlGroup;
use crate::places::images_of;
use crate::restorable::{Killed, post_restore};

inventory::submit!(Cases::with_each_criu(&[
    Case { name: "a deleted directory that a killed restore created again goes on request", test: ghost_directory },
    Case { name: "a directory above one that a killed restore created again goes on request", test: directory_above },
    Case { name: "the source of a bind mount that a killed restore created again goes on request", test: bind_source },
    Case {
        name: "the source of a bind mount that the older mount engine created again is shown and stays",
        test: bind_source_of_older_engine
    },
    Case { name: "a control group that a killed restore created goes on request", test: control_group },
]));

/// The object is shown, kept, and removed on request, and then nothing is left.
#[track_caller]
fn assert_goes_on_request(killed: &Killed, label: &str, path: &Path) {
    let shown = killed.restorable(&["--kill", "--show"]);
    let is_it = |line: &str| line.starts_with(&format!("{label}: ")) && line.ends_with("kept: unmarked)");
    let line = shown.stdout.lines().find(|line| is_it(line)).unwrap_or_else(|| panic!("{shown}"));
    assert!(line.contains(&format!("{} ", path.display())) || line.contains(&format!("{};", path.display())), "{line}");
    let kept = killed.restorable(&["--kill"]);
    assert!(kept.code() == 1 && kept.stdout.contains("To remove: --allow unmarked"), "{kept}");
    assert!(killed.host.path(path).exists(), "{kept}");
    let removed = killed.restorable(&["--kill", "--allow", "unmarked"]);
    assert_eq!(removed.code(), 0, "{removed}");
    assert!(!killed.host.path(path).exists(), "{removed}");
    let again = killed.tool().run(&["restorable"]);
    assert_eq!((again.code(), again.stdout.lines().last()), (0, Some("Nothing is left.")), "{again}");
}

/// Nothing is said of something that looks alike but for one thing.
#[track_caller]
fn assert_is_not_recognised(killed: &Killed, path: &Path) {
    let shown = killed.restorable(&["--show", "--kill"]);
    assert!(!shown.stdout.contains("unmarked"), "{shown}");
    let removed = killed.restorable(&["--kill", "--allow", "unmarked"]);
    assert!(killed.host.path(path).exists(), "{removed}");
}

fn ghost_directory(criu: &Criu) {
    let host = TestHost::new();
    let directory = host.dir().join("gone");
    let file = host.dir().join("file");
    let create = || fs::create_dir(&directory).expect("a new directory");
    create();
    let tree = host.start_workload(&[&"open", &directory, &"remove", &directory, &"deleted", &file]);
    fs::remove_file(file.with_extension("keep")).expect("the other name");
    let killed = dumped(criu, host, tree, DumpOptions::default());
    killed.restore_killed(criu, post_restore());
    assert!(directory.exists(), "void: the restore did not create it");
    fs::write(directory.join("mine"), "").expect("a file");
    assert_is_not_recognised(&killed, &directory);
    fs::remove_dir_all(&directory).expect("the directory");
    // One of the user's, after the restore.
    std::thread::sleep(std::time::Duration::from_millis(50));
    create();
    assert_is_not_recognised(&killed, &directory);
    fs::remove_dir(&directory).expect("the directory");
    killed.restore_killed(criu, post_restore());
    assert_goes_on_request(&killed, "Ghost directory", &directory);
    killed.assert_restores(criu);
}

/// It shows when what is in it has gone.
fn directory_above(criu: &Criu) {
    let host = TestHost::new();
    let (above, file) = (host.dir().join("above"), host.dir().join("file"));
    let directory = above.join("gone");
    fs::create_dir_all(&directory).expect("new directories");
    let words: [Word<'_>; 8] = [&"open", &directory, &"remove", &directory, &"remove", &above, &"deleted", &file];
    let tree = host.start_workload(&words);
    fs::remove_file(file.with_extension("keep")).expect("the other name");
    let killed = dumped(criu, host, tree, DumpOptions::default());
    killed.restore_killed(criu, post_restore());
    assert!(directory.exists(), "void: the restore did not create it");
    let removed = killed.restorable(&["--kill", "--allow", "unmarked"]);
    assert!(removed.code() == 0 && !directory.exists() && above.exists(), "{removed}");
    fs::write(above.join("mine"), "").expect("a file");
    assert_is_not_recognised(&killed, &above);
    fs::remove_file(above.join("mine")).expect("a file");
    assert_goes_on_request(&killed, "Ghost directory", &above);
    killed.assert_restores(criu);
}

fn bind_source(criu: &Criu) {
    let (killed, source) = with_deleted_source(criu);
    killed.restore_killed_at_source(criu);
    let inside = killed.host.path(&source);
    let mode = || inside.metadata().expect("a directory").permissions().mode();
    assert_eq!(mode(), 0o040_600, "void: the restore did not create it");
    fs::set_permissions(&inside, fs::Permissions::from_mode(0o700)).expect("permissions");
    assert_is_not_recognised(&killed, &source);
    fs::set_permissions(&inside, fs::Permissions::from_mode(0o600)).expect("permissions");
    assert!(!criu.try_restore(&killed.host, &killed.dump, &killed.options).status.success(), "void: it is in no way");
    assert_goes_on_request(&killed, "Source of a bind mount", &source);
    killed.assert_restores(criu);
}

/// The older mount engine creates a directory like any other.
fn bind_source_of_older_engine(criu: &Criu) {
    let (mut killed, source) = with_deleted_source(criu);
    killed.options.extra.push("--mntns-compat-mode".into());
    let inside = killed.host.path(&source);
    killed.restore_killed_at_source(criu);
    let mode = inside.metadata().expect("a directory").permissions().mode();
    assert_eq!(mode, 0o040_755, "void: the restore did not create it");
    let shown = killed.restorable(&["--show", "--kill"]);
    let is_it = |line: &str| line.starts_with("Source of a bind mount: /source ") && line.contains("like-any-other");
    assert!(shown.stdout.lines().any(is_it), "{shown}");
    let kept = killed.restorable(&["--kill", "--allow", "unmarked"]);
    assert!(kept.code() == 1 && inside.exists() && kept.stdout.contains("Kept, like-any-other (1 object)"), "{kept}");
    let refused = killed.restorable(&["--allow", "like-any-other"]);
    assert!(refused.code() == 2 && inside.exists(), "{refused}");
    fs::write(inside.join("mine"), "").expect("a file");
    assert_is_no_source(&killed, &inside);
    fs::remove_file(inside.join("mine")).expect("a file");
    fs::set_permissions(&inside, fs::Permissions::from_mode(0o750)).expect("permissions");
    assert_is_no_source(&killed, &inside);
    // One of the user's, after the restore.
    fs::remove_dir(&inside).expect("a directory");
    std::thread::sleep(std::time::Duration::from_millis(50));
    fs::create_dir(&inside).expect("a directory");
    fs::set_permissions(&inside, fs::Permissions::from_mode(0o755)).expect("permissions");
    assert_is_no_source(&killed, &inside);
    fs::remove_dir(&inside).expect("a directory");
    // Whoever the directory is, a restore of the newer engine did not create it.
    killed.options.extra.clear();
    killed.restore_killed_at_source(criu);
    fs::set_permissions(&inside, fs::Permissions::from_mode(0o755)).expect("permissions");
    assert_is_no_source(&killed, &inside);
    fs::remove_dir(&inside).expect("a directory");
    killed.assert_restores(criu);
}

#[track_caller]
fn assert_is_no_source(killed: &Killed, path: &Path) {
    let shown = killed.restorable(&["--kill", "--allow", "unmarked"]);
    assert!(!shown.stdout.contains("Source of a bind mount") && path.exists(), "{shown}");
}

/// A dump of a tree that has a deleted directory mounted.
fn with_deleted_source(criu: &Criu) -> (Killed, PathBuf) {
    let host = TestHost::new();
    let container = Container::new(&host, "root").bind_inside("/source".as_ref(), "/target".as_ref());
    let source = container.root().join("source");
    for directory in [&source, &container.root().join("target")] {
        fs::create_dir_all(directory).expect("a directory");
    }
    let words: [Word<'_>; 2] = [&"remove", &"/source"];
    let tree = Launch::new(&words).container(&container).start(&host);
    assert!(!host.path(&source).exists(), "void: it was not deleted");
    (dumped(criu, host, tree, DumpOptions::default()), source)
}

impl Killed {
    fn restore_killed_at_source(&self, criu: &Criu) {
        self.restore_killed(criu, Kill::after("mkdir", "source").of(Victim::Both));
        // The first process of the container's pid namespace could not kill itself.
        self.host.run("sh", &[&"-c", &"kill -9 $(grep -l ^ld-linux /proc/[0-9]*/comm | cut -d/ -f3)"]);
    }
}

fn control_group(criu: &Criu) {
    let mut group = None;
    let killed = Killed::dumped_after(criu, &["--manage-cgroups"], |_, tree| {
        let new = ControlGroup::unified(&format!("recreated.{}", tree.real_pid()));
        new.add(tree);
        group = Some(new);
    });
    let group = group.expect("a control group");
    let path: PathBuf = group.in_host();
    let is_there = || killed.host.path(&path).exists();
    group.remove();
    assert!(!is_there(), "void: it was not removed");
    killed.restore_killed(criu, post_restore());
    assert!(is_there(), "void: the restore did not create it");
    // The half-restored processes are in it.
    let ended = killed.restorable(&["--kill"]);
    assert!(is_there(), "{ended}");
    let below = killed.host.path(&path).join("below");
    fs::create_dir(&below).expect("a control group");
    assert_is_not_recognised(&killed, &path);
    fs::remove_dir(&below).expect("a control group");
    assert_goes_on_request(&killed, "Control group", &path);
    killed.assert_restores(criu);
}

fn dumped(criu: &Criu, host: TestHost, tree: Workload, options: DumpOptions) -> Killed {
    let dump = criu.dump(&host, &tree, &images_of(&host), &options);
    drop(tree);
    Killed { host, dump, options }
}
