// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A line for `criu restore` with another word.

use std::fs;

use handmade::Checkpoint;

use crate::run::{CRIU_GC, Run};
use crate::{example, run};

#[test]
fn the_line_of_2016_works() {
    let checkpoint = example();
    let shown = run(&checkpoint, &["gc", "-o", "gc.log", "-v4", "--show"]);
    assert_eq!((shown.status, shown.last_line()), (0, "1 object: 1 to be removed."), "{shown:?}");
    let removed = run(&checkpoint, &["gc", "-o", "gc.log", "-v4"]);
    assert_eq!((removed.status, removed.last_line()), (0, "1 object: 1 removed."), "{removed:?}");
}

#[test]
fn what_has_no_effect_is_named_on_request() {
    let checkpoint = example();
    let options =
        ["gc", "--show", "-d", "--tcp-established", "--shell-job", "--network-lock", "skip", "--external", "tty[1:2]"];
    assert_eq!(run(&checkpoint, &options).stderr, "");
    let told = run(&checkpoint, &[options.as_slice(), &["-v"]].concat());
    assert_eq!(
        told.stderr,
        "criu-gc: without effect: -d, --tcp-established, --shell-job, --external, --network-lock\n"
    );
}

/// A checkpoint whose file is on an external mount.
fn external(key: &str) -> Checkpoint {
    let mut checkpoint = example();
    let data = checkpoint.data();
    checkpoint.mount_at(data.to_str().unwrap());
    checkpoint.mounts[0].ext_key = Some(key.into());
    checkpoint.write();
    checkpoint
}

#[test]
fn an_external_mount_has_its_place_under_every_name_of_the_option() {
    for option in ["--external", "-M", "--ext-mount-map"] {
        let checkpoint = external("vol");
        let data = checkpoint.data();
        let data = data.display();
        let value = if option == "--external" { format!("mnt[vol]:{data}") } else { format!("vol:{data}") };
        assert_ne!(run(&checkpoint, &["--exit-code", "--show"]).last_line(), "1 object: 1 to be removed.");
        let shown = run(&checkpoint, &[option, &value, "--show"]);
        assert_eq!(shown.last_line(), "1 object: 1 to be removed.", "{shown:?}");
        let config = checkpoint.images().with_file_name("criu.conf");
        fs::write(
            &config,
            format!(
                "# a comment\ntcp-close\n{} \"{value}\"\n",
                option.replace("-M", "ext-mount-map").trim_start_matches('-')
            ),
        )
        .unwrap();
        let removed = run(&checkpoint, &["gc", "--config", config.to_str().unwrap()]);
        assert_eq!(removed.last_line(), "1 object: 1 removed.", "{option} {removed:?}");
    }
}

#[test]
fn a_key_that_no_image_has_is_an_error_and_after_a_word_a_note() {
    let checkpoint = external("vol");
    let place = format!("mnt[vol]:{}", checkpoint.data().display());
    for wrong in ["mnt[vlo]:/", "net[pod]:/proc/self/ns/net"] {
        let line = ["--external", &place, "--external", wrong];
        for show in [&["--show"][..], &[]] {
            let refused = run(&checkpoint, &[show, &line].concat());
            assert_eq!((refused.status, refused.stdout.as_str()), (2, ""), "{refused:?}");
            assert!(refused.stderr.contains("no image has an external ") && checkpoint.link().exists(), "{refused:?}");
        }
        let shown = run(&checkpoint, &[&["gc", "--show"][..], &line].concat());
        assert!(shown.status == 0 && shown.stdout.contains("Note: no image has an external "), "{shown:?}");
    }
    // What is inherited may be for any file of the tree.
    assert_eq!(run(&checkpoint, &["--show", "--inherit-fd", "fd[0]:pipe:[1]"]).status, 0);
    let removed = run(&checkpoint, &["clean", "--external", &place, "-M", "vlo:/nowhere"]);
    assert_eq!(removed.last_line(), "1 object: 1 removed.", "{removed:?}");
}

#[test]
fn a_configuration_file_names_the_checkpoint_and_its_mistakes_have_a_place() {
    let checkpoint = example();
    let config = checkpoint.images().with_file_name("criu.conf");
    let write = |text: &str| fs::write(&config, text).unwrap();
    let with = |words: &[&str]| {
        let mut command = std::process::Command::new(CRIU_GC);
        Run::new(command.args(words).arg("--config").arg(&config).output().unwrap())
    };
    write(&format!("images-dir {}\nverbosity 4\nshell-job\n", checkpoint.images().display()));
    let shown = with(&["show"]);
    assert!(shown.status == 0 && shown.stdout.contains("named by") && shown.stderr.contains("shell-job"), "{shown:?}");
    for (text, part) in
        [("\nshow\n", "line 2"), ("root /a b", "line 1"), ("root", "line 1"), ("manage-cgroups all", "manage-cgroups")]
    {
        write(text);
        let refused = with(&["gc", "-D", checkpoint.images().to_str().unwrap()]);
        assert!(refused.status == 2 && refused.stderr.contains(part), "{text} {refused:?}");
        assert!(refused.stderr.contains("criu.conf") && checkpoint.link().exists(), "{refused:?}");
    }
    write(&format!("images-dir {}\n", checkpoint.images().display()));
    assert_eq!(with(&["clean"]).last_line(), "1 object: 1 removed.");
}
