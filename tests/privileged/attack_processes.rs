// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Whether the tree is dead (L4): its pids are numbers in one pid namespace.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;

use testkit::{Artifacts, CommandExt, Container, Criu, DumpOptions, FinalState, Launch, TestHost, Workload};

use crate::attack::{Holder, assert_cleans, assert_left_alone, dump_process, has_link, newest};
use crate::case::{Case, Cases};
use crate::links::images_of;
use crate::refusals::wait_until;
use crate::tool::{Tool, binary};

inventory::submit!(Cases::with_newest_criu(&[
    Case { name: "attack: a tree that was dumped in a container lives on the node", test: dumped_in_container },
    Case { name: "attack: a tree three pid namespaces deep lives on the node", test: three_levels },
    Case { name: "attack: a tree of the node lives for a container with a /proc of its own", test: own_proc },
    Case { name: "attack: a tree of the node lives for a container with the node's /proc", test: nodes_proc },
    Case { name: "attack: a tree lives where /proc is empty", test: no_proc },
    Case { name: "attack: a tree of another user's lives where /proc hides it", test: hidden_proc },
    Case { name: "attack: a tree lives whose program was replaced since", test: replaced_program },
    Case { name: "attack: a process of the node with the number of a dead one is not of the tree", test: same_number },
    Case { name: "attack: a kernel thread with the number of a dead one is not of the tree", test: kernel_thread },
]));

fn stopped() -> DumpOptions {
    DumpOptions { final_state: FinalState::Stopped, ..DumpOptions::default() }
}

/// A tree of the host's that is stopped after its dump, with a link in the host's directory.
fn dump_and_leave_stopped(criu: &Criu, host: &TestHost) -> Workload {
    let tree = host.start_workload(&[&"deleted", &host.dir().join("data")]);
    criu.dump(host, &tree, &images_of(host), &stopped());
    tree
}

/// Nothing is touched while the tree lives, and all goes without an option when it is dead.
fn assert_kept_until_dead(host: &TestHost, tree: Workload, wrapped: &Tool<'_>) {
    assert_left_alone(wrapped);
    drop(tree);
    assert_cleans(&Tool::new(host, &images_of(host)), || has_link(host.dir()));
}

/// A criu in a pod, this many pid namespaces below the host, dumps a tree that runs beside it, and the pod stays. The
/// words come before the tree starts, and are more options of criu's.
fn dump_in_pod<'a>(criu: &Criu, host: &'a TestHost, levels: usize, first: &str, options: &str) -> Holder<'a> {
    let own = |name: &str| host.dir().with_file_name(name).display().to_string();
    let (ready, done, pod) = (own("ready"), own("done"), own("pod.sh"));
    let images = images_of(host);
    fs::create_dir_all(&images).expect("an images directory");
    let script = format!(
        "{first}\n{} session deleted {} ready {ready} &\nuntil [ -e {ready} ]; do sleep 0.02; done\n\
         {} dump --tree $! --images-dir {} --link-remap --network-lock skip -v4 --log-file dump.log {options} && touch {done}\n\
         exec sleep 1000\n",
        Artifacts::of_workspace().workload().display(),
        host.dir().join("data").display(),
        criu.program().display(),
        images.display()
    );
    fs::write(&pod, script).expect("a new file");
    let level = "unshare --pid --fork --kill-child --mount-proc ";
    Holder::start_until(host, &format!("exec {}sh {pod}", level.repeat(levels)), done.as_ref())
}

fn dumped_in_container(criu: &Criu) {
    assert_kept_below(criu, 1);
}

fn three_levels(criu: &Criu) {
    assert_kept_below(criu, 3);
}

/// Seen from the host, and from each pid namespace between.
fn assert_kept_below(criu: &Criu, levels: usize) {
    let host = TestHost::new();
    let pod = dump_in_pod(criu, &host, levels, "", "--leave-stopped");
    assert_left_alone(&Tool::new(&host, &images_of(&host)));
    let between = host.run("pgrep", &[&"-x", &"unshare"]).stdout;
    for pid in between.lines().skip(1) {
        assert_left_alone(
            &Tool::new(&host, &images_of(&host)).under(&["nsenter", "--target", pid, "--pid", "--mount", "--"]),
        );
    }
    pod.end();
    wait_until(|| host.command("pgrep").args(["-x", "workload"]).finish().stdout.is_empty().then_some(()))
        .expect("its end");
    assert_cleans(&Tool::new(&host, &images_of(&host)), || has_link(host.dir()));
}

fn own_proc(criu: &Criu) {
    assert_kept_as_seen_from(criu, &["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]);
}

fn nodes_proc(criu: &Criu) {
    assert_kept_as_seen_from(criu, &["unshare", "--pid", "--fork", "--kill-child"]);
}

fn no_proc(criu: &Criu) {
    assert_kept_as_seen_from(
        criu,
        &["unshare", "--mount", "sh", "-c", "mount -t tmpfs none /proc && exec \"$@\"", "sh"],
    );
}

fn hidden_proc(criu: &Criu) {
    let script = "mount -t proc -o hidepid=2 proc /proc && \
                  exec setpriv --bounding-set=-sys_ptrace --inh-caps=-sys_ptrace \"$@\"";
    assert_kept_as_seen_from(criu, &["unshare", "--mount", "sh", "-c", script, "sh"]);
}

fn assert_kept_as_seen_from(criu: &Criu, wrapper: &[&str]) {
    let host = TestHost::new();
    let tree = dump_and_leave_stopped(criu, &host);
    assert_kept_until_dead(&host, tree, &Tool::new(&host, &images_of(&host)).under(wrapper));
}

/// An update gave the program's name to a new file, while the tree is stopped.
fn replaced_program(criu: &Criu) {
    let host = TestHost::new();
    let container = Container::new(&host, "root");
    let tree = Launch::new(&[&"deleted", &"/tmp/one"]).container(&container).start(&host);
    criu.dump(&host, &tree, &images_of(&host), &stopped());
    let program = container.root().join("workload");
    fs::copy("/bin/true", program.with_extension("new")).expect("a new file");
    fs::rename(program.with_extension("new"), &program).expect("a new program");
    let tool = Tool::new(&host, &images_of(&host));
    assert_left_alone(&tool);
    drop(tree);
    assert_cleans(&tool, || has_link(&container.root().join("tmp")));
}

/// An old process of the node, with nothing of the tree but a number.
fn same_number(criu: &Criu) {
    let host = TestHost::new();
    host.run("sh", &[&"-c", &"echo 700 > /proc/sys/kernel/ns_last_pid"]);
    let old = Holder::start(&host, "exec sleep 1000");
    let first = format!("echo {} > /proc/sys/kernel/ns_last_pid", old.pid - 1);
    let pod = dump_in_pod(criu, &host, 1, &first, "");
    let pid = fs::read_dir(images_of(&host))
        .expect("images")
        .flatten()
        .any(|image| image.file_name().as_bytes() == format!("core-{}.img", old.pid).as_bytes());
    assert!(pid, "void: the tree has another number than {}", old.pid);
    assert_cleans(&Tool::new(&host, &images_of(&host)), || has_link(host.dir()));
    pod.end();
    old.end();
}

/// The tool runs on the machine, where a kernel thread has the number.
///
/// # Panics
/// Where no kernel thread shows: then nothing would be tried.
fn kernel_thread(criu: &Criu) {
    let thread = kernel_thread_here()
        .expect("void: no kernel thread shows here; the test has to run in the machine's first pid namespace");
    let host = TestHost::new();
    let ready = host.dir().with_file_name("ready");
    let script = format!(
        "echo {} > /proc/sys/kernel/ns_last_pid; {} session deleted {} ready {} & wait",
        thread - 1,
        Artifacts::of_workspace().workload().display(),
        host.dir().join("data").display(),
        ready.display()
    );
    Holder::start_until(&host, &script, &ready);
    let workload = newest(&host, "workload");
    assert_eq!(workload, thread, "void: another number");
    dump_process(criu, &host, workload, &images_of(&host), &[]);
    let mut command = Command::new("nsenter");
    command.args(["--target", &host.init().to_string(), "--mount", "--net", "--"]);
    command.args(["unshare", "--mount", "sh", "-c", "mount -t proc proc /proc && exec \"$@\"", "sh"]);
    command.arg(binary()).arg("-D").arg(images_of(&host));
    let removed = command.finish();
    assert!(removed.code() == 0 && !has_link(host.dir()), "NOT CLEANED: kept for a kernel thread: {removed}");
}

/// The highest number of a kernel thread of this machine that a fresh pid namespace does not use.
fn kernel_thread_here() -> Option<u32> {
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let numbers = processes.filter_map(|process| process.file_name().to_str()?.parse::<u32>().ok());
    let is_kernels = |pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.split(' ').nth(1) == Some("2"))
    };
    numbers.filter(|pid| *pid > 30).filter(is_kernels).min_by_key(|pid| pid.abs_diff(60))
}
