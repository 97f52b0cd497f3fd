// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A runc that was killed after its container had been checkpointed: it keeps a state of a container that has ended, and an
//! empty file `checkpoint` beside it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use testkit::{CommandExt, Criu, Engines, IptablesFlavour, LockMethod, Runtime, TestHost, wait_until};

use crate::case::{Case, Cases};
use crate::pod::Pod;
use crate::tool::binary;

inventory::submit!(Cases::with_newest_criu(&[Case {
    name: "the state that a killed runc kept of a checkpointed container is shown, and runc removes it",
    test: state,
}]));

const STATE: &str = "/run/runc/container";
const SHOWN: &str = "State of a checkpointed container, kept by runc: /run/runc/container";
const CURE: &str = "runc delete container";

fn state(criu: &Criu) {
    let host = TestHost::new();
    let flavour = IptablesFlavour::Nft;
    let pod = Pod::new(&host, flavour);
    let engines = Engines::new(&host, criu, LockMethod::Iptables, flavour);
    // CRIU's own script runs after runc has answered, and kills it, once.
    let (script, flag) = (host.dir().with_file_name("kill"), host.dir().with_file_name("flag"));
    let is_now = format!("[ \"$CRTOOLS_SCRIPT_ACTION\" = post-dump ] && rm {}", flag.display());
    let kill = "kill -9 $(sed -n 's/PPid://p' /proc/$PPID/status)";
    fs::write(&script, format!("#!/bin/sh\n! {{ {is_now}; }} || {kill}\n")).expect("a new file");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("a mode");
    engines.configure(&format!("action-script {}", script.display()));
    let bundle = engines.make_bundle(Runtime::Runc, "container", &pod.container());
    bundle.start();
    let mark = host.path(STATE).join("checkpoint");
    let scan = |words: &[&str]| host.command(binary()).arg("scan").args(words).finish();

    // One that goes on running has the file too.
    leave_running(&bundle.checkpoint_command()).succeed();
    assert!(mark.exists() && bundle.pid().is_some(), "void: it has no mark, or does not run");
    let running = scan(&[]);
    assert!(!running.stdout.contains("kept by runc"), "{running}");
    fs::remove_file(&mark).expect("the mark");

    fs::write(&flag, "").expect("a new file");
    let checkpointed = bundle.checkpoint_command().finish();
    assert!(!checkpointed.status.success(), "void: runc was not killed: {checkpointed}");
    let has_ended = || {
        let state = host.command("runc").args(["state", "container"]).finish();
        state.stdout.contains("\"stopped\"").then_some(())
    };
    assert!(wait_until(has_ended).is_some() && mark.exists(), "void: {checkpointed}");
    assert!(!bundle.try_restore(), "void: the name is free");

    // Somebody's own file of that name.
    fs::write(&mark, "mine").expect("a file");
    let own = scan(&[]);
    assert!(!own.stdout.contains("kept by runc"), "{own}");
    fs::write(&mark, "").expect("a file");

    let shown = scan(&["--clean", "--yes"]);
    let mut lines = shown.stdout.lines().skip_while(|line| !line.trim().starts_with(SHOWN));
    assert!(lines.next().is_some(), "{shown}");
    assert!(shown.stdout.contains(&format!("# {CURE}\n")) && mark.exists(), "{shown}");
    let named = host.command(binary()).args(["rm", STATE, "--yes"]).finish();
    assert!(named.code() != 0 && mark.exists(), "{named}");
    for name in ["runc:container", bundle.directory().to_str().expect("a path")] {
        let about = host.command(binary()).args(["--show", "-D", name]).finish();
        assert!(about.stdout.contains(&format!("to restore it, first: {CURE}\n")), "{about}");
    }
    host.run("sh", &[&"-c", &CURE]);
    assert!(!host.path(STATE).exists() && !scan(&[]).stdout.contains("kept by runc"));
    assert!(bundle.try_restore(), "{}", fs::read_to_string(bundle.directory().join("log")).unwrap_or_default());
}

/// The same command with this option.
fn leave_running(command: &Command) -> Command {
    let mut words: Vec<_> = command.get_args().collect();
    words.insert(words.len() - 1, "--leave-running".as_ref());
    let mut same = Command::new(command.get_program());
    same.args(words).env_clear();
    same.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    same
}
