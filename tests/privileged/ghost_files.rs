// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Ghost files, which a restore makes and a killed one leaves.

use std::fs::{self, FileTimes};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use testkit::{CommandExt, Criu, DumpOptions, DumpResult, TestHost, Workload};

use crate::case::{Case, Cases};
use crate::places::images_of;
use crate::recording::{record_of, recording};
use crate::refusals::AtWork;
use crate::tool::{NOTHING, Tool};

inventory::submit!(Cases::with_each_criu(&[
    Case { name: "a ghost file that a killed restore left is removed", test: killed_restore },
    Case { name: "a file with the name of a ghost file and another content is kept", test: look_alike },
    Case { name: "a ghost file is kept while a restore from other images runs", test: other_restore },
    Case { name: "a ghost file of an earlier restore is not recorded as a link of the dump", test: not_recorded },
]));

fn killed_restore(criu: &Criu) {
    let dumped = Dumped::new(criu);
    let before = dumped.tool().snapshot();
    let ghost = dumped.leave_ghost(criu);
    let tool = dumped.tool();
    let lines = tool.assert_removes_everything_since(&before);
    let original = dumped.host.dir().join("data");
    let line = format!("Ghost file: {} -> {} (", ghost.display(), original.display());
    assert!(lines[0].starts_with(&line) && lines[0].contains("left by a restore that was killed"), "{lines:#?}");
}

fn look_alike(criu: &Criu) {
    let dumped = Dumped::new(criu);
    let ghost = dumped.leave_ghost(criu);
    let dumped_at = fs::metadata(&ghost).expect("a file").modified().expect("a time");
    let set_modified = |time: SystemTime| {
        let file = fs::File::options().write(true).open(&ghost).expect("a file");
        file.set_times(FileTimes::new().set_modified(time)).expect("a file");
    };
    set_modified(dumped_at + Duration::from_micros(1));
    dumped.tool().assert_keeps_everything("changed-since");
    set_modified(dumped_at);
    let mode = fs::metadata(&ghost).expect("a file").permissions().mode();
    fs::set_permissions(&ghost, fs::Permissions::from_mode(mode ^ 0o100)).expect("a file");
    dumped.tool().assert_keeps_everything("other-mode");
    fs::set_permissions(&ghost, fs::Permissions::from_mode(mode)).expect("a file");
    assert_eq!(dumped.tool().run(&[]).code(), 0);
    assert!(!ghost.exists(), "the ghost file itself is kept");
}

fn other_restore(criu: &Criu) {
    let mut dumped = Dumped::new(criu);
    let other = dumped.host.dir().with_file_name("other images");
    dumped.host.run("cp", &[&"--archive", &images_of(&dumped.host), &other]);
    dumped.dump.images = other;
    let command = criu.restore_command(&dumped.host, &dumped.dump, &DumpOptions::default());
    let at_work = AtWork::start(&dumped.host, command, "post-restore");
    dumped.ghost();
    dumped.tool().assert_keeps_everything("criu-elsewhere");
    at_work.finish();
    dumped.kill_all();
    dumped.tool().assert_finds_nothing();
}

fn not_recorded(criu: &Criu) {
    let dumped = Dumped::new(criu);
    let ghost = dumped.leave_ghost(criu);
    let (host, images) = (&dumped.host, dumped.host.dir().with_file_name("later images"));
    let tree = start_with_ghost(host);
    criu.dump(host, &tree, &images, &recording(host, &DumpOptions::default()));
    let objects = Tool::new(host, &images).show_objects();
    assert_eq!(objects.len(), 1, "void: the later dump does not name the ghost file: {objects:#?}");
    assert_eq!(record_of(&images)["links"], serde_json::json!([]), "{}", ghost.display());
}

/// Starts a tree with an open file that has no name left.
fn start_with_ghost(host: &TestHost) -> Workload {
    let tree = host.start_workload(&[&"deleted", &host.dir().join("data")]);
    // Without its other name the file has none, and the dump takes its content.
    fs::remove_file(host.dir().join("data.keep")).expect("the other name");
    tree
}

/// A dump with a ghost file, of which nothing is left outside the images.
struct Dumped {
    host: TestHost,
    dump: DumpResult,
}

impl Dumped {
    fn new(criu: &Criu) -> Self {
        let host = TestHost::new();
        let tree = start_with_ghost(&host);
        let dump = criu.dump(&host, &tree, &images_of(&host), &DumpOptions::default());
        drop(tree);
        let dumped = Self { host, dump };
        dumped.tool().assert_finds_nothing();
        dumped
    }

    fn tool(&self) -> Tool<'_> {
        Tool::new(&self.host, &images_of(&self.host))
    }

    /// Restores until CRIU is killed when all tasks are there; nothing is removed before they are dead too.
    fn leave_ghost(&self, criu: &Criu) -> PathBuf {
        let script = self.host.dir().with_file_name("kill");
        let kill = "#!/bin/sh\n[ \"$CRTOOLS_SCRIPT_ACTION\" != post-restore ] || kill -9 $PPID\n";
        fs::write(&script, kill).expect("a new file");
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("a new file");
        let mut command = criu.restore_command(&self.host, &self.dump, &DumpOptions::default());
        let restored = command.arg("--action-script").arg(script).finish();
        assert!(!restored.status.success(), "void: the restore was not killed");
        let ghost = self.ghost();
        let before = self.tool().snapshot();
        let kept = self.tool().run(&[]);
        assert_eq!((kept.code(), self.tool().difference_to(&before)), (1, NOTHING.map(str::to_owned).to_vec()));
        self.kill_all();
        ghost
    }

    /// The ghost file, which is there.
    fn ghost(&self) -> PathBuf {
        let is_ghost = |path: &PathBuf| Path::new(path).extension().is_some_and(|last| last == "ghost");
        let entries = fs::read_dir(self.host.dir()).expect("the host's directory").flatten();
        entries.map(|entry| entry.path()).find(is_ghost).expect("void: there is no ghost file")
    }

    /// Kills all processes of the host but its first.
    fn kill_all(&self) {
        self.host
            .run("sh", &[&"-c", &"kill -9 -1; until [ \"$(ls -d /proc/[0-9]* | wc -l)\" -le 4 ]; do sleep 0.01; done"]);
    }
}
