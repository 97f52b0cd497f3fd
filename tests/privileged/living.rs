// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Trees that live although something says that they do not, and trees that are dead although something looks alive.

use std::fs;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use testkit::{
    CommandExt, Criu, DumpOptions, FinalState, IptablesFlavour, Launch, LockMethod, Network, TestHost, wait_until,
};

use crate::case::{Case, Cases};
use crate::filters::tables;
use crate::places::images_of;
use crate::tool::Tool;

inventory::submit!(Cases::with_each_criu(&[
    Case { name: "a stopped tree is alive although the clock says that it started after its images", test: stepped },
    Case { name: "a stopped tree is not restored because the clock was stepped a little", test: stepped_a_little },
    Case { name: "a stopped tree is not restored because a restore was tried", test: restore_failed },
    Case { name: "from a pid namespace younger than the images no tree is called dead", test: from_inside },
    Case { name: "without /proc no tree is called dead", test: without_proc },
    Case { name: "an older process with the pid of a dumped one is not taken for it", test: same_number },
    Case { name: "a criu under another name is at work", test: renamed_criu },
    Case { name: "a lock is removed from a namespace in which no process of the living tree is", test: lock_elsewhere },
]));

/// A stopped tree whose namespace a table closes.
fn stepped(criu: &Criu) {
    let host = TestHost::new();
    let blue = host.make_net_namespace("blue");
    let tree = Launch::new(&[&"listen", &"0.0.0.0:0"]).network(Network::Named(blue.clone())).start(&host);
    let stopped =
        DumpOptions { lock: LockMethod::Nftables, final_state: FinalState::Stopped, ..DumpOptions::default() };
    criu.dump(&host, &tree, &images_of(&host), &stopped);
    let touch = format!("touch -d '-1 hour' {}/*", images_of(&host).display());
    host.run("sh", &[&"-c", &touch]);
    let tool = Tool::on(&host);
    tool.assert_keeps_everything("tree-alive");
    host.run("kill", &[&"-9", &tree.pid().to_string()]);
    wait_until(|| tree.state().is_none_or(|state| state == 'Z').then_some(())).expect("the end of the tree");
    // Images of before the first process of this pid namespace need not have been made in it.
    tool.assert_keeps_everything("tree-unknown");
    let removed = tool.run(&["--allow", "tree-unknown"]);
    assert_eq!(tables(&host, Some(&blue.path())).len(), 0, "{removed}");
}

fn stepped_a_little(criu: &Criu) {
    assert_not_taken_for_restored(criu, |_| ());
}

/// The restore fails because the processes are there still.
fn restore_failed(criu: &Criu) {
    assert_not_taken_for_restored(criu, |host| {
        let mut command = criu.command(host, IptablesFlavour::Nft);
        command.args(["restore", "--restore-detached", "--log-file", "restore.log", "--images-dir"]);
        assert_ne!(command.arg(images_of(host)).finish().code(), 0, "void: the restore succeeded");
    });
}

/// The clock went forward by less than this host is old: the images seem older than the tree, but not older than the
/// first process here. So nothing hides the end of the tree, and its lock, gone with its namespace, is called gone.
fn assert_not_taken_for_restored(criu: &Criu, then: impl Fn(&TestHost)) {
    let host = TestHost::new();
    sleep(Duration::from_millis(1500));
    let before_the_tree = SystemTime::now();
    let tree = Launch::new(&[&"listen", &"0.0.0.0:0"]).network(Network::Own).start(&host);
    let stopped =
        DumpOptions { lock: LockMethod::Nftables, final_state: FinalState::Stopped, ..DumpOptions::default() };
    criu.dump(&host, &tree, &images_of(&host), &stopped);
    then(&host);
    for image in fs::read_dir(images_of(&host)).expect("images").flatten() {
        let image = fs::File::options().write(true).open(image.path());
        image.and_then(|image| image.set_modified(before_the_tree)).expect("an image");
    }
    let namespace = PathBuf::from(format!("/proc/{}/ns/net", tree.pid()));
    assert_eq!(tables(&host, Some(&namespace)).len(), 1, "void");
    let tool = Tool::on(&host);
    tool.assert_keeps_everything("tree-alive");
    assert_eq!((tables(&host, Some(&namespace)).len(), tree.state()), (1, Some('T')));
    drop(tree);
    wait_until(|| (tool.run(&[]).code() == 0).then_some(())).unwrap_or_else(|| panic!("NOT CLEAN: {}", tool.run(&[])));
}

/// A dead tree with a link remap.
fn dump(criu: &Criu, host: &TestHost) {
    let tree = host.start_workload(&[&"deleted", &host.dir().join("data")]);
    criu.dump(host, &tree, &images_of(host), &DumpOptions::default());
}

fn from_inside(criu: &Criu) {
    let host = TestHost::new();
    dump(criu, &host);
    let inside = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"];
    Tool::on(&host).under(&inside).assert_keeps_everything("tree-unknown");
    assert_eq!(Tool::on(&host).run(&[]).code(), 0);
}

fn without_proc(criu: &Criu) {
    let host = TestHost::new();
    dump(criu, &host);
    let covered = ["unshare", "--mount", "sh", "-c", "mount -t tmpfs t /proc; exec \"$0\" \"$@\""];
    let blind = Tool::on(&host).under(&covered).run(&[]);
    assert!(matches!(blind.code(), 1 | 2) && !blind.stdout.contains("removed)"), "{blind}");
    assert_eq!(Tool::on(&host).run(&[]).code(), 0);
}

/// The tree was in a pid namespace of its own, where its pids were small; here an older process has such a pid.
fn same_number(criu: &Criu) {
    let host = TestHost::new();
    let older = host.command("sh").args(["-c", "sleep 1000 >/dev/null 2>&1 & echo $!"]).succeed().stdout;
    let older: u32 = older.trim().parse().expect("a pid");
    let images = images_of(&host);
    let script = format!(
        "echo {} > /proc/sys/kernel/ns_last_pid; setsid sleep 1000 </dev/null >/dev/null 2>&1 & pid=$!; \
         until [ \"$(cat /proc/$pid/comm)\" = sleep ]; do :; done; \
         [ $pid = {older} ] && mkdir -p {images} && exec {criu} dump --tree $pid --images-dir {images} --network-lock nftables",
        older - 1,
        images = images.display(),
        criu = criu.program().display(),
    );
    let dumped = host.command("unshare").args(["--pid", "--fork", "--mount-proc", "sh", "-c", &script]).finish();
    assert!(dumped.status.success(), "void: {dumped}");
    let shown = Tool::new(&host, &images).run(&["--show"]);
    assert!(shown.code() == 0 && !shown.stdout.contains("is alive"), "{shown}");
}

/// Whoever has the images directory open and traces a process is at work on it; whoever only reads it is not.
fn renamed_criu(criu: &Criu) {
    let host = TestHost::new();
    dump(criu, &host);
    let images = images_of(&host);
    let tool = Tool::new(&host, &images);
    let open = |words: &str| {
        let script = format!("(exec 5<'{}'; exec {words}) >/dev/null 2>&1 & echo $!", images.display());
        host.command("sh").args(["-c", &script]).succeed().stdout.trim().to_owned()
    };
    open("sleep 1000");
    let tracer = open("strace -o /dev/null sleep 1000");
    let is_tracing = || {
        let traced = format!("grep -l '^TracerPid:\t{tracer}$' /proc/[0-9]*/status");
        host.command("bash").args(["-c", &traced]).finish().status.success().then_some(())
    };
    wait_until(is_tracing).expect("void: nothing is traced");
    tool.assert_keeps_everything("criu-at-work");
    host.run("kill", &[&"-9", &tracer]);
    wait_until(|| (!fs::exists(host.path(format!("/proc/{tracer}/fd/5"))).expect("proc")).then_some(()))
        .expect("its end");
    let removed = tool.run(&[]);
    assert_eq!(removed.code(), 0, "{removed}");
}

/// A dump that leaves the tree running, as the kubelet's, takes its lock away. A restore from it that fails leaves one of
/// the same name in the namespace that it went into, and no process of the tree is there.
fn lock_elsewhere(criu: &Criu) {
    let host = TestHost::new();
    let [blue, red] = ["blue", "red"].map(|name| host.make_net_namespace(name));
    let tree = Launch::new(&[&"listen", &"0.0.0.0:0"]).network(Network::Named(blue.clone())).start(&host);
    let stopped =
        DumpOptions { lock: LockMethod::Nftables, final_state: FinalState::Stopped, ..DumpOptions::default() };
    criu.dump(&host, &tree, &images_of(&host), &stopped);
    let copy = "nsenter --net=/run/netns/blue nft list ruleset | nsenter --net=/run/netns/red nft -f -";
    host.run("sh", &[&"-c", &copy]);
    let held = || [&blue, &red].map(|namespace| tables(&host, Some(&namespace.path())).len());
    assert_eq!(held(), [1, 1], "void");
    let tool = Tool::on(&host);
    let shown = tool.show();
    let fate = |namespace: &str| shown.iter().find(|line| line.contains(namespace)).cloned().unwrap_or_default();
    assert!(fate("/run/netns/blue").ends_with("kept: tree-alive)"), "{shown:#?}");
    assert!(fate("/run/netns/red").ends_with("to be removed)"), "{shown:#?}");
    let removed = tool.run(&[]);
    assert_eq!((removed.code(), held()), (1, [1, 0]), "{removed}");
    drop(tree);
    wait_until(|| (tool.run(&[]).code() == 0).then_some(())).unwrap_or_else(|| panic!("NOT CLEAN: {}", tool.run(&[])));
    assert_eq!(held(), [0, 0]);
}
