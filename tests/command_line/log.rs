// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `-o`: where messages go.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use handmade::Checkpoint;

use crate::run::criu_gc;
use crate::{example, run};

/// With `-v` there is one message: that this option of CRIU has no effect.
const MESSAGE: &str = "criu-gc: without effect: -d\n";

/// `criu-gc gc -D IMAGES -d -v` with these arguments.
fn talk(checkpoint: &Checkpoint, arguments: &[&str]) -> crate::run::Run {
    run(checkpoint, &[&["gc", "-d", "-v", "--show"], arguments].concat())
}

#[test]
fn messages_go_to_a_log_in_the_work_directory_that_only_its_owner_reads() {
    let checkpoint = example();
    let log = |directory: &Path| fs::read_to_string(directory.join("gc.log")).unwrap();
    let shown = talk(&checkpoint, &["-o", "gc.log"]);
    assert_eq!((shown.status, shown.stderr.as_str(), log(&checkpoint.images()).as_str()), (0, "", MESSAGE));
    let mode = fs::metadata(checkpoint.images().join("gc.log")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // The work directory comes before the images directory, and an absolute path before both.
    let work = checkpoint.data();
    let work = work.to_str().unwrap();
    assert_eq!(talk(&checkpoint, &["-W", work, "-o", "gc.log"]).status, 0);
    assert_eq!(log(&checkpoint.data()), MESSAGE);
    let elsewhere = tempfile::tempdir().unwrap();
    let path = elsewhere.path().join("gc.log");
    assert_eq!(talk(&checkpoint, &["-W", work, "--log-file", path.to_str().unwrap()]).status, 0);
    assert_eq!(log(elsewhere.path()), MESSAGE);
    // A removal writes it too, and an earlier log of criu-gc is replaced.
    fs::write(&path, "criu-gc: waiting\n").unwrap();
    let removed = run(&checkpoint, &["clean", "-j", "-v", "-o", path.to_str().unwrap()]);
    assert_eq!((removed.status, removed.stderr.as_str()), (0, ""));
    assert_eq!(log(elsewhere.path()), "criu-gc: without effect: -j\n");
}

#[test]
fn a_dash_is_standard_output() {
    let checkpoint = example();
    let shown = talk(&checkpoint, &["-o", "-"]);
    assert!(shown.status == 0 && shown.stdout.starts_with(MESSAGE) && shown.stderr.is_empty(), "{shown:?}");
    let json = talk(&checkpoint, &["-o", "-", "--json"]);
    assert_eq!((json.stderr.as_str(), &json.document()["exit_status"]), (MESSAGE, &0.into()));
}

#[test]
fn a_command_that_fails_makes_no_log() {
    let (good, bad) = (example(), example());
    fs::write(bad.images().join("files.img"), "no image").unwrap();
    let place = tempfile::tempdir().unwrap();
    let log = place.path().join("gc.log");
    let log = log.to_str().unwrap();
    let (good, bad) = (good.images(), bad.images());
    let (good, bad) = (good.to_str().unwrap(), bad.to_str().unwrap());
    for line in [
        &["-D", "/nowhere"][..],
        &["-D", bad],
        &["-D", good, "-D", bad],
        &["-D", good, "--netns", "/nowhere"],
        &["-D", good, "--root", "/nowhere"],
        &["-D", good, "--external", "mnt[no]:/"],
        &["-D", good, "--shwo"],
        &["-D", good, "--config", "/nowhere"],
        &["-D", good, "--save", "/no/such/directory"],
    ] {
        for show in [&["--show"][..], &[]] {
            if line.contains(&"--save") && !show.is_empty() {
                continue;
            }
            let failed = criu_gc(&[line, show, &["-o", log]].concat());
            assert_eq!(failed.status, 2, "{line:?} {failed:?}");
            assert!(!failed.stderr.is_empty() && !Path::new(log).exists(), "{line:?} {failed:?}");
        }
    }
    // What was to be in it is said on standard error.
    let failed = criu_gc(&["gc", "-d", "-v", "-D", bad, "-o", log]);
    assert!(failed.stderr.contains(MESSAGE) && failed.stderr.contains("criu-gc: error: "), "{failed:?}");
    assert!(!Path::new(log).exists(), "{failed:?}");
    // Nor does it empty one that is there.
    fs::write(log, "criu-gc: earlier\n").unwrap();
    assert_eq!(criu_gc(&["-D", bad, "-o", log]).status, 2);
    assert_eq!(fs::read_to_string(log).unwrap(), "criu-gc: earlier\n");
}

/// `criu restore … -o restore.log` with another word: CRIU's log says whether it was restored.
#[test]
fn a_log_of_criu_stays_and_a_line_for_restore_works_all_the_same() {
    let checkpoint = example();
    let text = "(00.000000) Version: 4.3 (gitid 0)\n";
    for name in ["restore.log", "dump.log", "mine.log"] {
        let log = checkpoint.images().join(name);
        fs::write(&log, text).unwrap();
        let refused = run(&checkpoint, &["--show", "-o", name]);
        assert_eq!((refused.status, refused.stdout.as_str()), (2, ""), "{name} {refused:?}");
        let shown = talk(&checkpoint, &["-o", name]);
        assert!(shown.status == 0 && shown.stderr.starts_with(MESSAGE) && shown.stderr.contains(name), "{shown:?}");
        assert_eq!(fs::read_to_string(&log).unwrap(), text);
        fs::remove_file(log).unwrap();
    }
    fs::write(checkpoint.images().join("restore.log"), text).unwrap();
    assert_eq!(run(&checkpoint, &["clean", "-o", "restore.log"]).status, 0);
    assert!(!checkpoint.link().exists());
    assert_eq!(fs::read_to_string(checkpoint.images().join("restore.log")).unwrap(), text);
}

#[test]
fn a_log_never_takes_the_place_of_another_file() {
    let checkpoint = example();
    let at = |name: &str| checkpoint.images().join(name);
    let victim = checkpoint.data().join("victim");
    fs::write(&victim, "untouched").unwrap();
    symlink(&victim, at("link.log")).unwrap();
    fs::hard_link(&victim, at("hard.log")).unwrap();
    fs::create_dir(at("directory.log")).unwrap();
    fs::write(at("dump.log"), "untouched").unwrap();
    let image = fs::read(at("inventory.img")).unwrap();
    for name in
        ["link.log", "hard.log", "directory.log", ".", "no/such/gc.log", "dump.log", "inventory.img", "pages-1.img"]
    {
        let run = run(&checkpoint, &["-o", name]);
        assert_eq!((run.status, run.stdout.as_str()), (2, ""), "{name}: {run:?}");
        let start = "criu-gc: error: nothing was removed: cannot ";
        assert!(run.stderr.starts_with(start) && run.stderr.lines().count() == 1, "{run:?}");
    }
    assert_eq!(fs::read_to_string(&victim).unwrap(), "untouched");
    assert_eq!(fs::read_to_string(at("dump.log")).unwrap(), "untouched");
    assert_eq!(fs::read(at("inventory.img")).unwrap(), image);
    assert!(checkpoint.link().exists());
}
