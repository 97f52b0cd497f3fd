// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Dumps whose criu was killed, while the tree runs on: what the images and the log name is removed, and nothing else, unless
//! somebody works on the tree.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use testkit::{
    Access, Container, Criu, DumpOptions, IptablesFlavour, Kill, Launch, LockMethod, Network, StopPoint, TestHost,
    Word, Workload,
};

use crate::case::{Case, Cases};
use crate::closed::Closed;
use crate::incomplete::links;
use crate::places::{images_of, make_directory};
use crate::tool::{NOTHING, Tool, make_tables};
use crate::traffic::Net;

inventory::submit!(Cases::with_each_criu(&[
    Case { name: "interrupted: links that only files.img names are removed while the tree answers", test: shaped },
    Case { name: "interrupted: look-alikes under the names of the links survive", test: look_alikes },
    Case { name: "interrupted: nothing is removed while somebody traces the tree", test: traced },
    Case { name: "interrupted: nothing is removed while the tree stands stopped", test: stopped },
    Case { name: "interrupted: a criu that only stayed behind does not work on the images", test: stray },
    Case { name: "interrupted: where others can write, a missing inventory proves nothing", test: open_directory },
    Case { name: "interrupted: the chain that closed the living tree's namespace is removed", test: closed },
    Case { name: "interrupted: rules that only the log names are removed, half a pair too", test: rules },
    Case { name: "interrupted: the links of a living container are found by its mounts", test: container },
    Case { name: "interrupted: links of files that the tree has written to since are removed", test: written },
    Case { name: "interrupted: links that only the log leads to are removed with --from-log", test: logged },
    Case { name: "interrupted: images and log account for all links", test: accounted },
    Case {
        name: "interrupted: look-alikes in the directories of the log survive --from-log",
        test: logged_look_alikes
    },
    Case { name: "interrupted: the log of the dump may be named", test: named_log },
    Case { name: "interrupted: a table is found by the run id of the log", test: table },
    Case { name: "interrupted: complete images while the tree runs are told apart", test: complete },
    Case { name: "interrupted: a power loss is told apart", test: power_loss },
]));

/// So many links that criu has written most of their entries.
const MANY: u32 = 300;

const SERVER: &str = "127.0.0.1:4711";

/// A tree with deleted files that answers.
fn start(host: &TestHost, files: u32) -> Workload {
    let files: Vec<PathBuf> = (0..files).map(|number| host.dir().join(format!("data {number}"))).collect();
    let mut words: Vec<Word<'_>> = files.iter().flat_map(|file| [&"deleted" as Word<'_>, file]).collect();
    words.extend([&"serve" as Word<'_>, &SERVER]);
    host.start_workload(&words)
}

#[track_caller]
fn assert_answers(host: &TestHost, tree: &Workload) {
    assert!(matches!(tree.state(), Some('S' | 'R')), "the tree does not run: {:?}", tree.state());
    assert!(Net::of_host(host).reaches(SERVER.parse().expect("an address")), "the tree does not answer");
}

/// A tree that runs on, and a criu that was killed after the last link.
fn interrupt(criu: &Criu, host: &TestHost, files: u32) -> Workload {
    let tree = start(host, files);
    let kill = Kill::after("linkat", "link_remap.").number(files);
    criu.dump_killed(host, &tree, &images_of(host), &DumpOptions::default(), kill);
    assert!(links(host.dir()).len() >= files as usize, "void: criu had not made its links");
    assert_answers(host, &tree);
    tree
}

/// How many links a removal said that it removed; it had status 1, because the images may not name all.
fn remove(tool: &Tool<'_>) -> usize {
    let removed = tool.run(&[]);
    assert_eq!((removed.code(), removed.stderr.as_str()), (1, ""), "{removed}");
    removed.stdout.lines().filter(|line| line.starts_with("Link remap: ") && line.ends_with("; removed)")).count()
}

fn has_line(tool: &Tool<'_>, text: &str) -> bool {
    tool.show().iter().any(|line| line.contains(text))
}

fn shaped(criu: &Criu) {
    let host = TestHost::new();
    let tree = interrupt(criu, &host, MANY);
    let tool = Tool::on(&host);
    assert!(has_line(&tool, "Note: the dump was interrupted: no restore "));
    let removed = remove(&tool);
    assert!(removed > MANY as usize * 8 / 10, "{removed} of {MANY}");
    assert_eq!(links(host.dir()).len(), MANY as usize - removed);
    assert_answers(&host, &tree);
}

fn look_alikes(criu: &Criu) {
    let host = TestHost::new();
    let _tree = interrupt(criu, &host, MANY);
    let planted: Vec<PathBuf> = links(host.dir()).into_iter().take(5).collect();
    let size = fs::metadata(&planted[0]).expect("a link").len();
    let mode = fs::metadata(&planted[0]).expect("a link").permissions().mode() & 0o7777;
    planted.iter().for_each(|link| fs::remove_file(link).expect("a link"));
    let file = |path: &Path, mode: u32| {
        File::create(path).and_then(|file| file.set_len(size)).expect("a new file");
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a new file");
    };
    // All as it was but the time; then one difference more in each.
    file(&planted[0], mode);
    file(&planted[1], mode ^ 0o111);
    symlink("data 0.keep", &planted[2]).expect("a new link");
    fs::create_dir(&planted[3]).expect("a new directory");
    File::create(&planted[4]).and_then(|file| file.set_len(size + 1)).expect("a new file");
    let removed = remove(&Tool::on(&host));
    assert!(removed > MANY as usize * 8 / 10, "{removed} of {MANY}");
    for planted in planted {
        assert!(planted.symlink_metadata().is_ok(), "{} was removed", planted.display());
    }
}

/// A debugger, or another criu.
fn traced(criu: &Criu) {
    let host = TestHost::new();
    let tree = interrupt(criu, &host, MANY);
    let script = format!("strace -p {} -o /dev/null >/dev/null 2>&1 & echo $!", tree.pid());
    let tracer = host.command("sh").args(["-c", &script]).output().expect("nsenter").stdout;
    let tracer = String::from_utf8(tracer).expect("a pid").trim().to_owned();
    let is_traced = |pid: &str| {
        let status = fs::read_to_string(format!("/proc/{}/status", tree.real_pid())).expect("a process");
        status.lines().any(|line| line == format!("TracerPid:\t{pid}"))
    };
    await_that(|| !is_traced("0"));
    let tool = Tool::on(&host);
    let before = tool.snapshot();
    let kept = tool.run(&[]);
    assert!(kept.code() == 1 && kept.stdout.contains("kept: tree-traced"), "{kept}");
    assert_eq!(tool.difference_to(&before), NOTHING);
    host.run("kill", &[&"-TERM", &tracer]);
    await_that(|| is_traced("0"));
    assert!(remove(&tool) > 0);
}

fn stopped(criu: &Criu) {
    let host = TestHost::new();
    let tree = interrupt(criu, &host, MANY);
    host.run("kill", &[&"-STOP", &tree.pid().to_string()]);
    await_that(|| tree.state() == Some('T'));
    let tool = Tool::on(&host);
    tool.assert_keeps_everything("tree-alive");
    host.run("kill", &[&"-CONT", &tree.pid().to_string()]);
    await_that(|| tree.state() != Some('T'));
    assert!(remove(&tool) > 0);
    assert_answers(&host, &tree);
}

/// A criu that is killed in its first moments leaves a child that probed the kernel, with the images directory open.
fn stray(criu: &Criu) {
    let host = TestHost::new();
    let first = host.start_workload(&[&"serve", &"127.0.0.1:4712"]);
    criu.dump_killed(&host, &first, &images_of(&host), &DumpOptions::default(), Kill::after("ptrace", ""));
    drop(first);
    let strays = || {
        let script = "grep -la 'images-di[r]' /proc/[0-9]*/cmdline | wc -l";
        host.command("sh").args(["-c", script]).output().expect("nsenter").stdout
    };
    assert_eq!(strays(), b"1\n", "void: nothing stayed behind");
    let tree = interrupt(criu, &host, FEW);
    let tool = Tool::on(&host);
    let run = tool.run(&["--from-log"]);
    let is_kept = run.stdout.lines().any(|line| line.starts_with("Stray criu") && line.contains("half-restored"));
    assert!(is_kept && run.code() == 1, "{run}");
    assert_eq!((links(host.dir()).len(), strays().as_slice()), (0, &b"1\n"[..]), "{run}");
    assert_answers(&host, &tree);
    let ended = tool.run(&["--kill"]);
    assert_eq!((ended.code(), strays().as_slice()), (0, &b"0\n"[..]), "{ended}");
}

fn open_directory(criu: &Criu) {
    let host = TestHost::new();
    let _tree = interrupt(criu, &host, MANY);
    let tool = Tool::on(&host);
    let mode = |mode: u32| fs::set_permissions(images_of(&host), fs::Permissions::from_mode(mode)).expect("images");
    mode(0o777);
    tool.assert_keeps_everything("tree-unknown");
    mode(0o755);
    assert!(remove(&tool) > 0);
}

fn closed(criu: &Criu) {
    for flavour in [IptablesFlavour::Nft, IptablesFlavour::Legacy] {
        let host = TestHost::new();
        let closed = Closed::new(&host, flavour);
        let file = host.dir().join("data");
        let words: [Word<'_>; 4] = [&"deleted", &file, &"listen-connect", &"127.0.0.1:0"];
        let tree = Launch::new(&words).network(Network::Named(closed.namespace.clone())).start(&host);
        // Another namespace that is closed too, which is none of this dump's.
        let red = host.make_net_namespace("red");
        for words in ["-N CRIU", "-A CRIU -j DROP", "-I INPUT -j CRIU", "-I OUTPUT -j CRIU"] {
            let script = format!("ip netns exec red iptables -w {words}");
            assert!(host.command("sh").args(["-c", &script]).status().expect("nsenter").success(), "{words}");
        }
        assert!(closed.lets_packets_pass());
        let before = closed.tool("images").snapshot();
        let options = DumpOptions { flavour, ..DumpOptions::default() };
        let kill = Kill::after("linkat", "link_remap.");
        criu.dump_killed(&host, &tree, &images_of(&host), &options, kill);
        assert!(!closed.lets_packets_pass(), "void: the namespace is open");
        // Without the log nothing says which tree it was.
        let log = images_of(&host).join("dump.log");
        let content = fs::read(&log).expect("a log");
        fs::write(&log, "").expect("a log");
        let left = closed.tool("images").snapshot();
        closed.tool("images").run(&[]);
        assert_eq!(closed.tool("images").difference_to(&left), NOTHING);
        fs::write(&log, content).expect("a log");
        let removed = closed.tool("images").run(&[]);
        assert!(removed.stdout.contains("the tree of the interrupted dump is in it"), "{removed}");
        assert!(closed.lets_packets_pass(), "{removed}");
        assert!(matches!(tree.state(), Some('S' | 'R')));
        let left = closed.tool("images").difference_to(&before);
        let is_of_link = |line: &&String| line.contains("link_remap.") || line.contains("data.keep");
        assert_eq!(left.iter().filter(|line| !is_of_link(line)).collect::<Vec<_>>(), [""; 0]);
        let rules = host.command("ip").args(["netns", "exec", "red", "iptables-save"]).output().expect("nsenter");
        assert!(String::from_utf8_lossy(&rules.stdout).contains("-A INPUT -j CRIU"), "{}", red.path().display());
    }
}

/// The images lack the mounts: criu writes them after all processes.
fn container(criu: &Criu) {
    let host = TestHost::new();
    let volume = make_directory(&host, "volume");
    let container = Container::new(&host, "root").bind(&volume, "/data".as_ref(), Access::ReadWrite);
    let names: Vec<String> = (0..MANY).map(|number| format!("/data/{number}")).collect();
    let words: Vec<Word<'_>> = names.iter().flat_map(|name| [&"deleted" as Word<'_>, name]).collect();
    let tree = Launch::new(&words).container(&container).start(&host);
    let kill = Kill::after("linkat", "link_remap.").number(MANY);
    criu.dump_killed(&host, &tree, &images_of(&host), &DumpOptions::default(), kill);
    assert_eq!(links(&volume).len(), MANY as usize, "void: criu had not made its links");
    let removed = remove(&Tool::on(&host));
    assert!(removed > MANY as usize * 8 / 10, "{removed} of {MANY}");
    assert_eq!(links(&volume).len(), MANY as usize - removed);
    assert!(matches!(tree.state(), Some('S' | 'R')));
}

/// Size and times of the file and its directory have changed. A file of somebody else's in its place is kept.
fn written(criu: &Criu) {
    let host = TestHost::new();
    let tree = interrupt(criu, &host, MANY);
    let [first, second, ..] = &links(host.dir())[..] else { panic!("void: no links") };
    for link in [first, second] {
        let mut file = fs::OpenOptions::new().append(true).open(link).expect("a link");
        std::io::Write::write_all(&mut file, b"written since").expect("a link");
    }
    fs::remove_file(second).expect("a link");
    fs::write(second, "of a user").expect("a new file");
    let removed = remove(&Tool::on(&host));
    assert!(removed > MANY as usize * 8 / 10, "{removed} of {MANY}");
    assert!(!first.exists() && fs::read_to_string(second).is_ok_and(|text| text == "of a user"));
    assert_answers(&host, &tree);
}

/// So few that criu has written no entry.
const FEW: u32 = 3;

/// The other names of the files are in another directory, so only the tree's open files show whose the links are.
fn logged(criu: &Criu) {
    let host = TestHost::new();
    let tree = start(&host, FEW);
    let elsewhere = host.dir().with_file_name("elsewhere");
    fs::create_dir(&elsewhere).expect("a new directory");
    for name in (0..FEW).map(|number| format!("data {number}.keep")) {
        fs::rename(host.dir().join(&name), elsewhere.join(&name)).expect("the other name");
    }
    let kill = Kill::after("linkat", "link_remap.").number(FEW);
    criu.dump_killed(&host, &tree, &images_of(&host), &DumpOptions::default(), kill);
    let tool = Tool::on(&host);
    assert!(has_line(&tool, "the log leads to 3, nothing to 0"), "{:#?}", tool.show());
    tool.assert_keeps_everything("log-only");
    // While the tree is there they are its files. Once it is dead, nothing shows whose they are.
    let names = links(host.dir());
    drop(tree);
    assert!(has_line(&tool, "the log leads to 0, nothing to 3 (such as "), "{:#?}", tool.show());
    let kept = tool.run(&["--from-log"]);
    assert_eq!((kept.code(), links(host.dir())), (1, names.clone()), "{kept}");
    // Their other names beside them do.
    let host = TestHost::new();
    let tree = interrupt(criu, &host, FEW);
    drop(tree);
    let removed = Tool::on(&host).run(&["--from-log"]);
    assert_eq!((removed.code(), links(host.dir()).len()), (0, 0), "{removed}");
}

/// With what images and log name together nothing is unknown.
fn accounted(criu: &Criu) {
    for files in [FEW, MANY] {
        let host = TestHost::new();
        make_tables(&host, &[]);
        let tree = start(&host, files);
        let before = Tool::on(&host).snapshot();
        let kill = Kill::after("linkat", "link_remap.").number(files);
        criu.dump_killed(&host, &tree, &images_of(&host), &DumpOptions::default(), kill);
        let tool = Tool::on(&host);
        let counts = format!("Note: {files} link remaps in the directories of dump.log: the images name ");
        assert!(has_line(&tool, &counts) && has_line(&tool, ", nothing to 0"), "{:#?}", tool.show());
        assert!(has_line(&tool, "kept: log-only"));
        let kept = tool.run(&[]);
        assert!(kept.code() == 1 && !links(host.dir()).is_empty(), "{kept}");
        let removed = tool.run(&["--from-log"]);
        assert_eq!(removed.code(), 0, "{removed}");
        assert_eq!(tool.difference_to(&before), NOTHING);
        tool.assert_finds_nothing();
        assert_answers(&host, &tree);
    }
}

/// None was made while the log was written, and none is a second name of a file that the tree has open.
fn logged_look_alikes(criu: &Criu) {
    let host = TestHost::new();
    let older = host.dir().join("link_remap.7");
    fs::write(host.dir().join("users"), "of a user").expect("a new file");
    fs::hard_link(host.dir().join("users"), &older).expect("a new link");
    std::thread::sleep(Duration::from_millis(50));
    let tree = interrupt(criu, &host, FEW);
    await_end_of_log(&host);
    let planted = |number: u32| host.dir().join(format!("link_remap.{number}"));
    fs::write(planted(900), "of a user").expect("a new file");
    fs::hard_link(host.dir().join("users"), planted(901)).expect("a new link");
    symlink("users", planted(902)).expect("a new link");
    fs::create_dir(planted(903)).expect("a new directory");
    fs::write(host.dir().join("link_remap.09"), "of a user").expect("a new file");
    let tool = Tool::on(&host);
    assert!(has_line(&tool, "nothing to "), "{:#?}", tool.show());
    let removed = tool.run(&["--from-log"]);
    assert_eq!(removed.code(), 1, "{removed}");
    let left: Vec<String> =
        links(host.dir()).iter().map(|path| path.file_name().expect("a name").to_string_lossy().into_owned()).collect();
    let mut expected: Vec<String> = [900, 901, 902, 903].iter().map(|n| format!("link_remap.{n}")).collect();
    expected.splice(0..0, ["link_remap.7".to_owned(), "link_remap.09".to_owned()]);
    assert_eq!(left, expected, "{removed}");
    assert_answers(&host, &tree);
}

/// What CRIU runs in the tree has the log open too: it writes its last lines when it finds out that CRIU is gone.
fn await_end_of_log(host: &TestHost) {
    const QUIET: Duration = Duration::from_millis(200);
    let log = images_of(host).join("dump.log");
    let written = || fs::metadata(&log).and_then(|log| log.modified()).expect("a log");
    await_that(|| written().elapsed().is_ok_and(|passed| passed > QUIET));
}

/// A service may keep the logs of all its dumps in one place.
fn named_log(criu: &Criu) {
    let host = TestHost::new();
    let tree = interrupt(criu, &host, FEW);
    let log = host.dir().with_file_name("service.log");
    fs::rename(images_of(&host).join("dump.log"), &log).expect("a log");
    let tool = Tool::on(&host);
    assert!(!has_line(&tool, "link remaps in the directories of"));
    assert_eq!(tool.run(&["--from-log", "--dump-log", "/nowhere"]).code(), 2);
    assert_eq!(tool.run(&["--from-log", "--dump-log", "/etc/hostname"]).code(), 2);
    assert_eq!(links(host.dir()).len(), FEW as usize);
    let removed = tool.option("--dump-log", log).run(&["--from-log"]);
    assert_eq!((removed.code(), links(host.dir()).len()), (0, 0), "{removed}");
    assert_answers(&host, &tree);
}

/// A tree with two connections to itself.
fn start_connected(host: &TestHost, flavour: IptablesFlavour) -> Workload {
    crate::filters::make_tables(host, None, flavour);
    let listener = "127.0.0.1:0";
    host.start_workload(&[&"listen-connect", &listener, &"listen-connect", &"[::1]:0", &"serve", &SERVER])
}

fn rules(criu: &Criu) {
    for flavour in [IptablesFlavour::Nft, IptablesFlavour::Legacy] {
        for number in [1, 3, 6] {
            assert_removes_logged_rules(criu, flavour, number);
        }
    }
}

/// After so many rules criu is killed.
fn assert_removes_logged_rules(criu: &Criu, flavour: IptablesFlavour, number: u32) {
    let host = TestHost::new();
    let tree = start_connected(&host, flavour);
    // Of somebody else, about the same connection: without CRIU's mark, and with another.
    let [connection, _] = tree.connections()[..] else { panic!("void: not two connections") };
    let (from, to) = (connection.local.port().to_string(), connection.peer.port().to_string());
    for mark in [&[][..], &["-m", "mark", "!", "--mark", "0xC115"]] {
        let ends = ["-s", "127.0.0.1", "-d", "127.0.0.1", "-p", "tcp", "--sport", &from, "--dport", &to];
        let words = [&["-w", "-A", "INPUT"][..], &ends, mark, &["-j", "DROP"]].concat();
        let iptables = match flavour {
            IptablesFlavour::Nft => "iptables-nft",
            IptablesFlavour::Legacy => "iptables-legacy",
        };
        assert!(host.command(iptables).args(words).status().expect("nsenter").success());
    }
    let tool = Tool::on(&host);
    let before = tool.snapshot();
    let options = DumpOptions { flavour, ..DumpOptions::default() };
    criu.dump_killed(&host, &tree, &images_of(&host), &options, Kill::after("write", "Locked ").number(number));
    let log = images_of(&host).join("dump.log");
    let logged = fs::read_to_string(&log).expect("a log").matches("Locked ").count();
    assert_eq!(logged, number as usize, "void: other rules");
    let left = tool.snapshot();
    assert_ne!(before.difference(&left), NOTHING, "void: no rule");
    // A log that somebody else may have written is no evidence.
    chown(&log, Some(1000), None).expect("root");
    tool.run(&[]);
    assert_eq!(tool.difference_to(&left), NOTHING);
    chown(&log, Some(0), None).expect("root");
    // So detailed a log leaves nothing unknown.
    let removed = tool.run(&[]);
    assert_eq!(removed.code(), 0, "{removed}");
    tool.assert_finds_nothing();
    assert_eq!(tool.difference_to(&before), NOTHING);
    assert_answers(&host, &tree);
}

fn table(criu: &Criu) {
    let host = TestHost::new();
    let closed = Closed::new(&host, IptablesFlavour::Nft);
    let file = host.dir().join("data");
    let words: [Word<'_>; 4] = [&"deleted", &file, &"listen-connect", &"127.0.0.1:0"];
    let tree = Launch::new(&words).network(Network::Named(closed.namespace.clone())).start(&host);
    let options = DumpOptions { lock: LockMethod::Nftables, ..DumpOptions::default() };
    criu.dump_killed(&host, &tree, &images_of(&host), &options, Kill::after("linkat", "link_remap."));
    assert!(!closed.lets_packets_pass(), "void: the namespace is open");
    let removed = closed.tool("images").run(&[]);
    assert!(removed.stdout.contains("Network lock table: inet CRIU-"), "{removed}");
    assert!(closed.lets_packets_pass(), "{removed}");
}

/// The images of a dump that was killed after it had written them all can be restored once the tree is dead.
fn complete(criu: &Criu) {
    let host = TestHost::new();
    let tree = start(&host, 2);
    criu.dump_until(&host, &tree, &images_of(&host), &DumpOptions::default(), StopPoint::PostDump);
    let tool = Tool::on(&host);
    assert!(has_line(&tool, "Note: the images are complete, but process "));
    tool.assert_keeps_everything("tree-alive");
    drop(tree);
    assert!(!has_line(&tool, "Note: the images are complete"));
    assert_eq!(tool.run(&[]).code(), 0);
    assert_eq!(links(host.dir()).len(), 0);
}

fn power_loss(criu: &Criu) {
    let host = TestHost::new();
    make_tables(&host, &[]);
    let tree = start(&host, 2);
    criu.dump(&host, &tree, &images_of(&host), &DumpOptions::default());
    drop(tree);
    for entry in fs::read_dir(images_of(&host)).expect("images").flatten() {
        File::create(entry.path()).expect("an image");
    }
    let tool = Tool::on(&host);
    assert!(has_line(&tool, "Note: every image and log is empty, as after a power loss"), "{:#?}", tool.show());
    let before = tool.snapshot();
    assert_eq!(remove(&tool), 0);
    assert_eq!(tool.difference_to(&before), NOTHING);
    assert_eq!(links(host.dir()).len(), 2);
}

#[track_caller]
fn await_that(mut is_so: impl FnMut() -> bool) {
    testkit::wait_until(|| is_so().then_some(())).expect("void: it does not come");
}
