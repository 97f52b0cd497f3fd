// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The program under its other names. Needs no root.

use std::os::unix::fs::symlink;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// The program behind a link of this name.
fn run_linked(name: &str, arguments: &[&str]) -> Output {
    let place = tempfile::tempdir().unwrap();
    let link = place.path().join(name);
    symlink(env!("CARGO_BIN_EXE_criu-gc"), &link).unwrap();
    Command::new(link).args(arguments).env_clear().output().unwrap()
}

fn status(output: &Output) -> i32 {
    output.status.code().unwrap()
}

/// What checkpointctl's `getPluginDescription` wants to see.
#[test]
fn a_plugin_of_checkpointctl_describes_itself() {
    let start = Instant::now();
    let output = run_linked("checkpointctl-gc", &["--plugin-description"]);
    assert!(start.elapsed() < Duration::from_millis(500));
    assert_eq!((status(&output), output.stderr.as_slice()), (42, b"".as_slice()));
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text, "Show and remove exactly what a CRIU checkpoint left on this host\n");
    for (name, arguments) in [
        ("criu-gc", &["--plugin-description"][..]),
        ("checkpointctl-gc", &["--show", "--plugin-description"]),
        ("checkpointctl-gc", &["--plugin-description", "/nowhere"]),
    ] {
        let output = run_linked(name, arguments);
        assert_eq!((status(&output), output.stdout.as_slice()), (2, b"".as_slice()), "{name} {arguments:?}");
    }
}

#[test]
fn a_plugin_of_checkpointctl_takes_the_same_words() {
    let [own, plugin] = ["criu-gc", "checkpointctl-gc"].map(|name| run_linked(name, &["--help"]));
    let [own, plugin] = [own, plugin].map(|output| String::from_utf8(output.stdout).unwrap());
    assert!(plugin.contains("Usage: checkpointctl gc [OPTIONS] [DIR]..."), "{plugin}");
    assert_eq!(plugin.replace("Usage: checkpointctl gc", "Usage: criu-gc"), own);
    let [own, plugin] = ["criu-gc", "checkpointctl-gc"].map(|name| run_linked(name, &["-D", "/nowhere", "--show"]));
    assert_eq!((status(&plugin), &plugin.stderr), (2, &own.stderr));
}
