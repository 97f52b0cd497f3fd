// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What stands in the way of any removal: the dumped tree itself, or a criu at work on its images.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use testkit::{
    Container, Criu, DumpOptions, FinalState, Launch, LockMethod, Snapshot, StopPoint, TestHost, Word, Workload,
    wait_until,
};

use crate::case::{Case, Cases};
use crate::places::images_of;
use crate::tool::{NOTHING, Tool, make_tables};

inventory::submit!(Cases::with_each_criu(&[
    Case { name: "nothing is removed while the tree is stopped, and all when it is dead", test: stopped },
    Case {
        name: "nothing is removed while the tree runs that a killed criu left, and all when it is dead",
        test: killed,
    },
    Case { name: "nothing is removed while a container's tree is alive, and all when it is dead", test: contained },
    Case { name: "nothing is removed while only a child of the tree is alive", test: child_only },
    Case { name: "--allow tree-alive removes what a living tree left", test: allowed },
    Case { name: "nothing is removed while a dump is at work, whatever is allowed", test: dump_at_work },
    Case { name: "nothing is removed while a restore is at work, whatever is allowed", test: restore_at_work },
    Case { name: "a restored tree is told apart from a living one, and nothing is left", test: restored },
    Case {
        name: "a restored container is told apart from a living one, and nothing is left",
        test: restored_container,
    },
]));

fn stopped(criu: &Criu) {
    for lock in [LockMethod::Iptables, LockMethod::Nftables] {
        let host = TestHost::new();
        let (tree, before) = start_tree_of_all(&host);
        let options = DumpOptions { lock, final_state: FinalState::Stopped, ..DumpOptions::default() };
        criu.dump(&host, &tree, &images_of(&host), &options);
        assert_kept_until_dead(&host, tree, &before, 'T');
    }
}

fn killed(criu: &Criu) {
    let host = TestHost::new();
    let (tree, before) = start_tree_of_all(&host);
    criu.dump_until(&host, &tree, &images_of(&host), &DumpOptions::default(), StopPoint::PostDump);
    assert_kept_until_dead(&host, tree, &before, 'S');
}

fn contained(criu: &Criu) {
    let host = TestHost::new();
    let container = Container::new(&host, "root");
    let tree = Launch::new(&[&"deleted", &"/tmp/one"]).container(&container).start(&host);
    let before = Tool::on(&host).snapshot();
    let options = DumpOptions { final_state: FinalState::Stopped, ..DumpOptions::default() };
    criu.dump(&host, &tree, &images_of(&host), &options);
    assert_kept_until_dead(&host, tree, &before, 'T');
}

fn child_only(criu: &Criu) {
    let host = TestHost::new();
    let file = host.dir().join("data");
    let tree = host.start_workload(&[&"child", &"deleted", &file, &"end"]);
    let tool = Tool::on(&host);
    let before = tool.snapshot();
    let options = DumpOptions { final_state: FinalState::Stopped, ..DumpOptions::default() };
    criu.dump(&host, &tree, &images_of(&host), &options);
    let child = tree.real_pids()[1];
    let pid = inner_pid(child);
    // Kills the root process only.
    host.run("kill", &[&"-KILL", &tree.pid().to_string()]);
    let is_root_gone = || tree.state().is_none_or(|state| state == 'Z');
    wait_until(|| is_root_gone().then_some(())).expect("the end of the root process");
    tool.assert_keeps_everything("tree-alive");
    // The workload's children run /proc/self/exe, whence their name.
    let line = format!("Process {pid} (exe, state T) of the dumped tree is alive");
    assert!(tool.show().iter().any(|shown| shown.starts_with(&line)), "{line}: {:#?}", tool.show());
    host.run("kill", &[&"-KILL", &pid.to_string()]);
    wait_until(|| (!Path::new("/proc").join(child.to_string()).exists()).then_some(())).expect("the end of the child");
    tool.assert_removes_everything_since(&before);
}

fn allowed(criu: &Criu) {
    let host = TestHost::new();
    let (tree, before) = start_tree_of_all(&host);
    let options = DumpOptions { final_state: FinalState::Stopped, ..DumpOptions::default() };
    criu.dump(&host, &tree, &images_of(&host), &options);
    let tool = Tool::on(&host);
    tool.assert_keeps_everything("tree-alive");
    tool.option("--allow", "tree-alive").assert_removes_everything_since(&before);
    assert_eq!(tree.state(), Some('T'));
}

fn dump_at_work(criu: &Criu) {
    let host = TestHost::new();
    let (tree, before) = start_tree_of_all(&host);
    let command = criu.dump_command(&host, &tree, &images_of(&host), &DumpOptions::default());
    let at_work = AtWork::start(&host, command, "post-dump");
    assert_kept_from_criu(&host);
    at_work.finish();
    Tool::on(&host).assert_removes_everything_since(&before);
}

fn restore_at_work(criu: &Criu) {
    let host = TestHost::new();
    let (tree, before) = start_tree_of_all(&host);
    let dump = criu.dump(&host, &tree, &images_of(&host), &DumpOptions::default());
    let command = criu.restore_command(&host, &dump, &DumpOptions::default());
    let at_work = AtWork::start(&host, command, "post-restore");
    assert_kept_from_criu(&host);
    at_work.finish();
    let tool = Tool::on(&host);
    assert_eq!(tool.difference_to(&before), NOTHING, "void: the restore left something");
    tool.assert_finds_nothing();
}

fn restored(criu: &Criu) {
    let host = TestHost::new();
    let (tree, before) = start_tree_of_all(&host);
    assert_told_as_restored(criu, &host, &tree, &before);
}

fn restored_container(criu: &Criu) {
    let host = TestHost::new();
    let container = Container::new(&host, "root");
    let tree = Launch::new(&[&"deleted", &"/tmp/one"]).container(&container).start(&host);
    let before = Tool::on(&host).snapshot();
    assert_told_as_restored(criu, &host, &tree, &before);
}

fn assert_told_as_restored(criu: &Criu, host: &TestHost, tree: &Workload, before: &Snapshot) {
    let images = images_of(host);
    let dump = criu.dump(host, tree, &images, &DumpOptions::default());
    let restored = criu.restore(host, &dump, &DumpOptions::default());
    let tool = Tool::new(host, &images);
    assert_eq!(tool.difference_to(before), NOTHING, "void: the restore left something");
    wait_until(|| (restored.state() == Some('S')).then_some(())).expect("void: the restored tree is dead");
    let line = format!("Process {} (workload, state S) was restored from these images", restored.pid());
    let lines = tool.show();
    assert!(lines.iter().any(|shown| shown.starts_with(&line)), "{line}: {lines:#?}");
    assert!(!lines.iter().any(|shown| shown.contains("is alive")), "{lines:#?}");
    tool.assert_finds_nothing();
    assert_eq!(restored.state(), Some('S'));
}

/// A tree that leaves all kinds of residue, and the host as it is before its dump.
pub(crate) fn start_tree_of_all(host: &TestHost) -> (Workload, Snapshot) {
    make_tables(host, &[]);
    let file = host.dir().join("data");
    let words: [Word<'_>; 6] = [&"deleted", &file, &"listen-connect", &"127.0.0.1:0", &"semaphore", &"name"];
    let tree = host.start_workload(&words);
    let before = Tool::on(host).snapshot();
    (tree, before)
}

/// The whole way of a tree that the dump left alive.
fn assert_kept_until_dead(host: &TestHost, tree: Workload, before: &Snapshot, state: char) {
    let tool = Tool::on(host);
    assert_ne!(tool.difference_to(before), NOTHING, "void: the dump left nothing");
    // A tree that a killed criu let go runs a moment before it sleeps again.
    wait_until(|| (tree.state() == Some(state)).then_some(())).expect("void: the tree is dead");
    let line = format!(
        "Process {} (workload, state {state}) of the dumped tree is alive: nothing is removed while it lives",
        tree.pid()
    );
    assert!(tool.show().contains(&line), "{line}: {:#?}", tool.show());
    let kept = tool.run(&[]);
    assert!(kept.stdout.lines().any(|said| said == line), "{line}: {}", kept.stdout);
    assert!(kept.stdout.contains(" To remove: --allow tree-alive\n"), "{}", kept.stdout);
    assert!(!kept.stdout.contains("removed)"), "{}", kept.stdout);
    tool.assert_keeps_everything("tree-alive");
    assert_eq!(tree.state(), Some(state));
    drop(tree);
    tool.assert_removes_everything_since(before);
}

/// Nothing is removed, and no option changes that.
fn assert_kept_from_criu(host: &TestHost) {
    let tool = Tool::on(host);
    let is_told = |line: &String| line.contains("is a criu working on these images: nothing is removed while it runs");
    assert!(tool.show().iter().any(is_told), "{:#?}", tool.show());
    tool.assert_keeps_everything("criu-at-work");
    Tool::on(host).option("--allow", "tree-alive").assert_keeps_everything("criu-at-work");
    let before = tool.snapshot();
    assert_eq!(tool.run(&["--allow", "criu-at-work"]).code(), 2);
    assert_eq!(tool.difference_to(&before), NOTHING);
}

/// A criu that waits in an action script.
pub(crate) struct AtWork {
    child: Child,
    go: PathBuf,
}

impl AtWork {
    /// Starts it, and waits until it has come to the action.
    pub(crate) fn start(host: &TestHost, mut command: Command, action: &str) -> Self {
        let [script, reached, go] = ["action", "reached", "go"].map(|name| host.dir().with_file_name(name));
        let (is_there, may_go) = (reached.display(), go.display());
        let wait = format!("touch {is_there}; until [ -e {may_go} ]; do sleep 0.01; done");
        let text = format!("#!/bin/sh\n[ \"$CRTOOLS_SCRIPT_ACTION\" != {action} ] || {{ {wait}; }}\n");
        fs::write(&script, text).expect("a new file");
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("a new file");
        command.arg("--action-script").arg(script);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("nsenter");
        wait_until(|| reached.exists().then_some(())).expect("a criu that comes to its script");
        AtWork { child, go }
    }

    /// Lets it come to its end, which must be a success.
    pub(crate) fn finish(mut self) {
        fs::write(&self.go, "").expect("a new file");
        assert!(self.child.wait().expect("a child's status").success());
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        // A test that failed must not leave its host waiting for the script.
        let _ = fs::write(&self.go, "");
    }
}

/// The number of a process in its host.
fn inner_pid(real_pid: u32) -> u32 {
    let status = fs::read_to_string(format!("/proc/{real_pid}/status")).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:")).expect("namespaces");
    line.split_whitespace().nth(1).and_then(|pid| pid.parse().ok()).expect("a process of a host")
}
