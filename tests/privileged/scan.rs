// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `criu-gc scan`: what dumps and restores left is found from the host alone, and classified right.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use testkit::{
    CommandExt, Criu, DumpOptions, Finished, IptablesFlavour, Kill, LockMethod, TestHost, Victim, Word, Workload,
};

use crate::case::{Case, Cases};
use crate::closed::Closed;
use crate::filters::{make_tables, tables};
use crate::places::{has_link, images_of, link_in, make_directory};
use crate::tool::binary;

inventory::submit!(Cases::with_each_criu(&[
    Case { name: "scan finds the links of a dump in /dev/shm and in a volume, and its rules", test: links_and_rules },
    Case { name: "scan finds the table and the chain of a closed namespace", test: closed },
    Case { name: "scan shows the damage of a killed dump first, and its command mends it", test: killed_dump },
    Case { name: "scan shows what a killed restore left, and clean with kill removes it", test: killed_restore },
    Case { name: "scan calls what a dump at work uses in use, and rm removes none of it", test: at_work },
]));
inventory::submit!(Cases::with_newest_criu(&[
    Case { name: "scan of a host with nothing of CRIU says so with status 0", test: nothing },
    Case {
        name: "scan tells look-alikes from what CRIU leaves, and neither clean nor rm touches them",
        test: look_alikes
    },
    Case { name: "scan names what rm removes, and a last name only with --save", test: named },
    Case { name: "scan has a summary, metrics, a tree, and a document", test: formats },
    Case { name: "a scan that is out of time or killed changes nothing and calls nothing clean", test: cut_short },
    Case { name: "scan with --walk finds links on a disk, and not those of others", test: walk },
]));

/// Runs `criu-gc WORD ARGUMENTS` in a host.
pub(crate) fn run(host: &TestHost, word: &str, arguments: &[Word<'_>]) -> Finished {
    host.command(binary()).arg(word).args(arguments).finish()
}

fn document(finished: &Finished) -> Value {
    serde_json::from_str(&finished.stdout).unwrap_or_else(|_| panic!("no document: {finished}"))
}

/// What a scan finds.
pub(crate) struct Scan(Value);

impl Scan {
    pub(crate) fn of(host: &TestHost, arguments: &[Word<'_>]) -> Self {
        let words: Vec<Word<'_>> = arguments.iter().copied().chain([&"--json" as Word<'_>]).collect();
        let finished = run(host, "scan", &words);
        assert_eq!((finished.code(), finished.stderr.as_str()), (0, ""), "{finished}");
        let scan = Scan(document(&finished));
        assert_eq!(scan.0["cannot_be_known"], Value::Array(Vec::new()), "{:#}", scan.0);
        scan
    }

    fn objects(&self) -> &Vec<Value> {
        self.0["objects"].as_array().expect("objects")
    }

    /// All of it.
    pub(crate) fn document(&self) -> &Value {
        &self.0
    }

    /// The objects of a kind.
    pub(crate) fn of_kind(&self, kind: &str) -> Vec<&Value> {
        self.objects().iter().filter(|object| object["kind"] == kind).collect()
    }

    /// The object with this id.
    #[track_caller]
    fn get(&self, id: &str) -> &Value {
        let found = self.objects().iter().find(|object| object["id"]["text"] == id);
        found.unwrap_or_else(|| panic!("no {id} in {:#}", self.0))
    }

    fn classes(&self) -> Vec<&str> {
        self.objects().iter().filter_map(|object| object["class"].as_str()).collect()
    }
}

/// A field that is text.
pub(crate) fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object[field]["text"].as_str().unwrap_or_else(|| panic!("no {field}: {object:#}"))
}

fn path_text(path: &Path) -> &str {
    path.to_str().expect("a path")
}

/// Runs the command that a scan gives for an object.
fn follow(host: &TestHost, object: &Value) -> Finished {
    let command = text(object, "command");
    let words = command.strip_prefix("criu-gc ").expect("a command of criu-gc");
    let script = format!("exec {} {words}", binary().display());
    host.command("sh").args(["-c", &script]).finish()
}

fn nothing(_: &Criu) {
    let host = TestHost::new();
    let before = host.snapshot(&[host.dir(), Path::new("/dev/shm"), Path::new("/run")]);
    let scan = run(&host, "scan", &[&"--exit-code"]);
    assert_eq!((scan.code(), scan.stderr.as_str()), (0, ""), "{scan}");
    assert!(scan.stdout.ends_with("Nothing of CRIU is left on this host.\n"), "{scan}");
    assert_eq!(before.difference(&host.snapshot(&[host.dir(), Path::new("/dev/shm"), Path::new("/run")])), [""; 0]);
}

/// Puts a directory of the disk in the place of a podman volume.
fn make_volume(host: &TestHost) -> PathBuf {
    let data = make_directory(host, "volume");
    fs::create_dir(data.join("below")).expect("a new directory");
    let volume = "/var/lib/containers/storage/volumes/v/_data";
    let script = format!(
        "mkdir -p /var/lib/containers && mount -t tmpfs testkit /var/lib/containers && mkdir -p {volume} && mount --bind {} {volume} && \
         touch {volume}/../../metadata.db",
        data.display()
    );
    host.run("sh", &[&"-ec", &script]);
    PathBuf::from(volume)
}

fn links_and_rules(criu: &Criu) {
    let host = TestHost::new();
    make_tables(&host, None, IptablesFlavour::Nft);
    let volume = make_volume(&host);
    let tree = host.start_workload(&[
        &"deleted",
        &"/dev/shm/one",
        &"deleted",
        &volume.join("below/two"),
        &"listen-connect",
        &"127.0.0.1:0",
    ]);
    criu.dump(&host, &tree, &images_of(&host), &DumpOptions::default());
    let links = [link_in(&host.path("/dev/shm")), link_in(&host.path(volume.join("below")))];
    let scan = Scan::of(&host, &[]);
    let found: Vec<&str> = scan.of_kind("link-remap").into_iter().map(|object| text(object, "id")).collect();
    for (link, directory) in links.iter().zip([Path::new("/dev/shm"), &volume.join("below")]) {
        let link = directory.join(link.file_name().expect("a name"));
        assert!(found.contains(&path_text(&link)), "{link:?} not in {found:?}");
    }
    assert_eq!(found.len(), 2, "{found:?}");
    let rules = scan.of_kind("locked-tcp-connection");
    assert_eq!(rules.len(), 2, "{rules:#?}");
    for object in scan.objects() {
        assert!(["orphan", "restorable"].contains(&object["class"].as_str().expect("a class")), "{object:#}");
        assert!(object["since"].is_string() || object["kind"] != "link-remap", "{object:#}");
    }
    // A scan removes none of this, whatever it is asked to clean.
    let before = host.snapshot(&[Path::new("/dev/shm"), host.dir()]);
    let cleaned = run(&host, "scan", &[&"--clean", &"--kill", &"--yes"]);
    assert_eq!(cleaned.code(), 0, "{cleaned}");
    assert_eq!(before.difference(&host.snapshot(&[Path::new("/dev/shm"), host.dir()])), [""; 0], "{cleaned}");
}

fn closed(criu: &Criu) {
    for (lock, kind) in [(LockMethod::Nftables, "network-lock-table"), (LockMethod::Iptables, "network-lock-chain")] {
        let host = TestHost::new();
        let closed = Closed::new(&host, IptablesFlavour::Nft);
        let tree = closed.start_tree();
        let images = images_of(&host);
        criu.dump(&host, &tree, &images, &DumpOptions { lock, ..DumpOptions::default() });
        assert!(!closed.lets_packets_pass(), "void: the namespace is open");
        let scan = Scan::of(&host, &[]);
        let found = scan.of_kind(kind);
        assert!(!found.is_empty() && scan.objects().len() == found.len(), "{:#}", scan.0);
        for object in found {
            assert!(["orphan", "restorable"].contains(&object["class"].as_str().expect("a class")), "{object:#}");
        }
        // Somebody lives there: then its network is shut, which comes first.
        let mut sleeper = host.command_in(Some(&closed.namespace.path()), "sleep").arg("600").spawn().expect("sleep");
        let scan = Scan::of(&host, &[]);
        assert!(scan.of_kind(kind).iter().all(|object| object["class"] == "damage"), "{:#}", scan.0);
        let shown = run(&host, "scan", &[&"--exit-code"]);
        assert_eq!(shown.code(), 1, "{shown}");
        assert!(shown.stdout.starts_with("Damage to what is running:\n"), "{shown}");
        sleeper.kill().expect("a child");
        let _ = sleeper.wait();
    }
}

fn killed_dump(criu: &Criu) {
    let host = TestHost::new();
    make_tables(&host, None, IptablesFlavour::Nft);
    let file = host.dir().join("file");
    let tree =
        host.start_workload(&[&"deleted", &"/dev/shm/one", &"deleted", &file, &"listen-connect", &"127.0.0.1:0"]);
    let kill = Kill::after("write", "Dumping core");
    criu.dump_killed(&host, &tree, &images_of(&host), &DumpOptions::default(), kill);
    assert!(has_link(&host.path("/dev/shm")), "void: no link");
    let scan = Scan::of(&host, &[]);
    let damage = scan.of_kind("damaged-processes");
    let [damage] = damage[..] else { panic!("{:#}", scan.0) };
    assert_eq!((scan.classes()[0], &damage["class"]), ("damage", &Value::from("damage")), "{:#}", scan.0);
    assert!(scan.of_kind("locked-tcp-connection").is_empty(), "told twice: {:#}", scan.0);
    let link = scan.of_kind("link-remap");
    assert!(link.iter().all(|object| ["orphan", "incomplete"].contains(&object["class"].as_str().expect("a class"))));
    let holders = link[0]["holders"].as_array().expect("holders");
    assert_eq!(holders.len(), 1, "the tree has it open: {:#}", link[0]);
    // Whoever types what the scan says has a healthy tree.
    let healed = follow(&host, damage);
    assert_eq!(healed.code(), 0, "{healed}");
    assert!(Scan::of(&host, &[]).of_kind("damaged-processes").is_empty(), "{healed}");
    drop::<Workload>(tree);
}

/// A dump with a link and ghost files, whose restore was killed.
pub(crate) fn restore_killed(criu: &Criu, kill: Kill) -> TestHost {
    let host = TestHost::new();
    let (one, two) = (host.dir().join("one"), host.dir().join("two"));
    let tree =
        host.start_workload(&[&"deleted", &"/dev/shm/linked", &"deleted", &one, &"child", &"deleted", &two, &"end"]);
    for ghost in [&one, &two] {
        fs::remove_file(ghost.with_extension("keep")).expect("the other name");
    }
    let dump = criu.dump(&host, &tree, &images_of(&host), &DumpOptions::default());
    let finished = criu.restore_killed(&host, &dump, &DumpOptions::default(), kill);
    assert!(!finished.status.success(), "void: the restore succeeded");
    host
}

fn killed_restore(criu: &Criu) {
    let host = restore_killed(criu, Kill::before("write", "Running post-restore"));
    let watched = [Path::new("/dev/shm"), host.dir()];
    let before = host.snapshot(&watched);
    let scan = Scan::of(&host, &[&"--walk", &host.dir()]);
    let left = scan.of_kind("half-restored-process");
    assert!(!left.is_empty() && left.iter().all(|object| object["class"] == "litter"), "{:#}", scan.0);
    assert!(!scan.of_kind("ghost-file").is_empty(), "{:#}", scan.0);
    let kept = run(&host, "scan", &[&"--clean", &"--yes"]);
    assert_eq!(kept.code(), 1, "{kept}");
    assert!(kept.stdout.contains("--kill ends it"), "{kept}");
    assert_eq!(Scan::of(&host, &[]).of_kind("half-restored-process").len(), left.len(), "{kept}");
    let cleaned = run(&host, "scan", &[&"--clean", &"--kill", &"--yes"]);
    assert_eq!(cleaned.code(), 0, "{cleaned}");
    let after = Scan::of(&host, &[&"--walk", &host.dir()]);
    assert!(!after.classes().contains(&"litter"), "{cleaned}{:#}", after.0);
    // The link and the ghost files are not worthless: they stay.
    assert_eq!(before.difference(&host.snapshot(&watched)), [""; 0], "{cleaned}");
    assert!(!after.of_kind("ghost-file").is_empty() && !after.of_kind("link-remap").is_empty(), "{:#}", after.0);
    let again = run(&host, "scan", &[&"--clean", &"--kill", &"--yes"]);
    assert_eq!(again.code(), 0, "{again}");
}

fn at_work(criu: &Criu) {
    let host = TestHost::new();
    make_tables(&host, None, IptablesFlavour::Nft);
    let tree = host.start_workload(&[&"deleted", &"/dev/shm/one", &"listen-connect", &"127.0.0.1:0"]);
    let command = criu.dump_command(&host, &tree, &images_of(&host), &DumpOptions::default());
    let work = crate::refusals::AtWork::start(&host, command, "post-dump");
    assert!(has_link(&host.path("/dev/shm")), "void: no link");
    let scan = Scan::of(&host, &[]);
    assert!(!scan.objects().is_empty(), "void: nothing found");
    assert!(scan.classes().iter().all(|class| *class == "in-use"), "{:#}", scan.0);
    let before = host.snapshot(&[Path::new("/dev/shm")]);
    for object in scan.objects() {
        let refused = run(&host, "rm", &[&text(object, "id"), &"--yes"]);
        assert_eq!(refused.code(), 2, "{refused}");
    }
    let cleaned = run(&host, "scan", &[&"--clean", &"--kill", &"--yes"]);
    assert_eq!(cleaned.code(), 0, "{cleaned}");
    assert_eq!(before.difference(&host.snapshot(&[Path::new("/dev/shm")])), [""; 0], "{cleaned}");
    drop(work);
    drop::<Workload>(tree);
}

fn look_alikes(criu: &Criu) {
    let host = TestHost::new();
    make_tables(&host, None, IptablesFlavour::Nft);
    let script = r#"
cd /dev/shm
echo x > link_remap.old; echo x > link_remap.07; mkdir link_remap.3; ln -s /etc/passwd x.cr.5.ghost
echo x > my_link_remap.8; echo x > ghost
mkdir /tmp/.criu.mntns.AbCdEf; echo x > /tmp/.criu.mntns.AbCdEf/mine
mkdir /tmp/.criu.mntns.short; mkdir -m 700 /tmp/cr-tmpfs.AbCdEf; chown 1000 /tmp/cr-tmpfs.AbCdEf
nft add table inet CRIU-mine; nft add chain inet CRIU-mine input
iptables-nft -N CRIU; iptables-nft -A CRIU -p icmp -j ACCEPT
iptables-nft -A INPUT -p tcp -s 10.0.0.1 --sport 5 -d 10.0.0.2 --dport 6 -j DROP
"#;
    host.run("sh", &[&"-ec", &script]);
    let watched = [Path::new("/dev/shm"), Path::new("/tmp")];
    let before = host.snapshot(&watched);
    let scan = Scan::of(&host, &[]);
    let of_look_alikes = ["look-alike"];
    assert!(scan.classes().iter().all(|class| of_look_alikes.contains(class)), "{:#}", scan.0);
    for id in ["/dev/shm/link_remap.old", "/dev/shm/link_remap.07", "/dev/shm/link_remap.3", "/dev/shm/x.cr.5.ghost"] {
        let refused = run(&host, "rm", &[&id, &"--yes", &"--save", &host.dir().join("saved")]);
        assert_eq!(refused.code(), 2, "{id}: {refused}");
        assert!(scan.get(id)["command"].is_null());
    }
    for object in scan.objects() {
        let refused = run(&host, "rm", &[&text(object, "id"), &"--yes", &"--kill"]);
        assert_eq!(refused.code(), 2, "{refused}");
    }
    let plain = run(&host, "scan", &[&"--exit-code"]);
    assert_eq!(plain.code(), 0, "{plain}");
    assert!(!plain.stdout.contains("link_remap.old"), "{plain}");
    let verbose = run(&host, "scan", &[&"-v"]);
    assert!(verbose.stdout.contains("link_remap.old") && verbose.stdout.contains("a symbolic link"), "{verbose}");
    let cleaned = run(&host, "scan", &[&"--clean", &"--kill", &"--yes"]);
    assert_eq!(cleaned.code(), 0, "{cleaned}");
    assert_eq!(before.difference(&host.snapshot(&watched)), [""; 0], "{cleaned}");
    // The honest variants go without an option, and those of somebody else's dump stay.
    let tree = host.start_workload(&[&"deleted", &"/dev/shm/theirs"]);
    criu.dump(&host, &tree, &images_of(&host), &DumpOptions::default());
    let theirs = host.snapshot(&watched);
    host.run(
        "sh",
        &[&"-ec", &"mkdir -m 777 /tmp/.criu.mntns.ZyXwVu; mkdir -m 700 /tmp/cr-tmpfs.ZyXwVu; touch /run/criu.kdat.tmp"],
    );
    let cleaned = run(&host, "scan", &[&"--clean"]);
    assert_eq!(cleaned.code(), 0, "{cleaned}");
    assert!(cleaned.stdout.contains("/tmp/cr-tmpfs.ZyXwVu") && cleaned.stdout.contains("3 removed"), "{cleaned}");
    assert_eq!(theirs.difference(&host.snapshot(&watched)), [""; 0], "{cleaned}");
    assert!(!host.path("/run/criu.kdat.tmp").exists(), "{cleaned}");
}

/// A dump whose images somebody has deleted.
fn discarded(criu: &Criu, host: &TestHost) -> PathBuf {
    make_tables(host, None, IptablesFlavour::Nft);
    let tree = host.start_workload(&[&"deleted", &"/dev/shm/one", &"listen-connect", &"127.0.0.1:0"]);
    criu.dump(host, &tree, &images_of(host), &DumpOptions::default());
    fs::remove_dir_all(images_of(host)).expect("the images");
    Path::new("/dev/shm").join(link_in(&host.path("/dev/shm")).file_name().expect("a name"))
}

fn named(criu: &Criu) {
    let host = TestHost::new();
    make_tables(&host, None, IptablesFlavour::Nft);
    let clean = host.snapshot(&[Path::new("/dev/shm")]);
    let link = discarded(criu, &host);
    // One of several cannot be removed: then none is.
    let before = host.snapshot(&[Path::new("/dev/shm")]);
    let refused = run(&host, "rm", &[&link, &"/etc/passwd"]);
    assert_eq!(refused.code(), 2, "{refused}");
    let shown = run(&host, "rm", &[&link, &"--show"]);
    assert!(shown.code() == 0 && shown.stdout.contains("to be removed"), "{shown}");
    // Without its other name it is the last one.
    let keep = host.path("/dev/shm/one.keep");
    let kept = keep.with_extension("moved");
    fs::rename(&keep, &kept).expect("the other name");
    assert_eq!(before.difference(&host.snapshot(&[Path::new("/dev/shm")])).len(), 2, "{refused}{shown}");
    fs::remove_file(&kept).expect("the other name");
    let last = run(&host, "rm", &[&link]);
    assert!(last.code() == 2 && last.stderr.contains("--save DIR"), "{last}");
    let saved = host.dir().join("saved");
    for object in Scan::of(&host, &[]).objects() {
        assert_eq!(object["class"], "orphan", "{object:#}");
        let id = text(object, "id");
        let removed = run(&host, "rm", &[&id, &"--save", &saved]);
        assert!(removed.code() == 0 && removed.stdout.contains("removed"), "{removed}");
        let again = run(&host, "rm", &[&id]);
        assert!(again.code() == 0 && again.stdout.contains("gone"), "{again}");
    }
    assert!(Scan::of(&host, &[]).objects().is_empty());
    assert_eq!(fs::read_dir(&saved).expect("saved files").count(), 2, "a file and the manifest");
    assert_eq!(clean.difference(&host.snapshot(&[Path::new("/dev/shm")])), [""; 0]);
}

fn formats(criu: &Criu) {
    let host = TestHost::new();
    let link = discarded(criu, &host);
    let summary = run(&host, "scan", &[&"--summary", &"--exit-code"]);
    assert_eq!((summary.code(), summary.stdout.as_str()), (1, "CRIU: 3 orphan.\n"), "{summary}");
    let file = host.dir().join("criu.prom");
    let metrics = run(&host, "scan", &[&"--metrics", &file, &"--summary"]);
    assert_eq!(metrics.code(), 0, "{metrics}");
    let text = fs::read_to_string(&file).expect("metrics");
    for line in [
        "criu_gc_objects{class=\"orphan\",kind=\"link-remap\"} 1",
        "criu_gc_objects{class=\"orphan\",kind=\"locked-tcp-connection\"} 2",
        "criu_gc_unknown 0",
        "criu_gc_needs_attention 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} not in {text}");
    }
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&file).expect("metrics").permissions());
    assert_eq!(mode & 0o777, 0o644, "the collector is another user");
    let tree = run(&host, "scan", &[&"--tree"]);
    assert!(tree.stdout.starts_with("this host\n") && tree.stdout.contains(path_text(&link)), "{tree}");
    let scan = run(&host, "scan", &[]);
    let command = format!("    # criu-gc rm {}\n", link.display());
    assert!(scan.stdout.contains(&command), "{scan}");
    let nowhere = run(&host, "scan", &[&"--metrics", &"/no/such/file.prom"]);
    assert_eq!(nowhere.code(), 2, "{nowhere}");
}

fn cut_short(criu: &Criu) {
    let host = restore_killed(criu, Kill::before("write", "Running post-restore").of(Victim::Criu));
    let watched = [Path::new("/dev/shm"), Path::new("/tmp"), host.dir()];
    let before = host.snapshot(&watched);
    let late = run(&host, "scan", &[&"--timeout", &"0", &"--exit-code"]);
    assert_eq!(late.code(), 1, "{late}");
    assert!(late.stdout.contains("Not known: ") && !late.stdout.contains("Nothing of CRIU"), "{late}");
    // Out of time nothing is known to be nobody's.
    let link = PathBuf::from("/dev/shm").join(link_in(&host.path("/dev/shm")).file_name().expect("a name"));
    let refused = run(&host, "rm", &[&link, &"--timeout", &"0"]);
    assert_eq!(refused.code(), 2, "{refused}");
    for milliseconds in [0, 3, 10, 30, 60] {
        let mut scan = host
            .command(binary())
            .args(["scan", "--json"])
            .stdout(std::process::Stdio::null())
            .spawn()
            .expect("nsenter");
        std::thread::sleep(std::time::Duration::from_millis(milliseconds));
        scan.kill().expect("a child");
        let _ = scan.wait();
    }
    assert_eq!(before.difference(&host.snapshot(&watched)), [""; 0]);
    assert!(!Scan::of(&host, &[]).of_kind("half-restored-process").is_empty(), "void: nothing is left");
}

fn walk(criu: &Criu) {
    let host = TestHost::new();
    let directory = make_directory(&host, "deep");
    let (file, other) = (directory.join("file"), make_directory(&host, "other"));
    let tree = host.start_workload(&[&"deleted", &file, &"deleted", &other.join("file")]);
    criu.dump(&host, &tree, &images_of(&host), &DumpOptions::default());
    let link = link_in(&directory);
    assert!(Scan::of(&host, &[]).of_kind("link-remap").len() <= 2);
    let scan = Scan::of(&host, &[&"--walk", &directory]);
    assert!(["orphan", "restorable"].contains(&scan.get(path_text(&link))["class"].as_str().expect("a class")));
    let missing = run(&host, "scan", &[&"--walk", &"/no/such/directory", &"--exit-code"]);
    assert!(missing.code() == 1 && missing.stdout.contains("Not known: /no/such/directory"), "{missing}");
    let _ = tables(&host, None);
}
