// SPDX-License-Identifier: Apache-2.0 OR MIT
//! More attacks on `--show` (L7): every system call that it makes is read, and every time of what lies around the images
//! is compared.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use testkit::{Access, CommandExt, Container, Criu, DumpOptions, Launch, LockMethod, Network, TestHost};

use crate::attack::{assert_cleans, dump_process, has_link};
use crate::case::{Case, Cases};
use crate::container_links::directory;
use crate::links::images_of;
use crate::refusals::start_tree_of_all;
use crate::tool::{NOTHING, Tool};

inventory::submit!(Cases::with_newest_criu(&[
    Case { name: "attack: no system call of --show changes anything, for a tree of the host", test: calls_for_host },
    Case { name: "attack: no system call of --show changes anything, for a container", test: calls_for_container },
    Case { name: "attack: --show leaves all times around a bundle as they were", test: times },
]));

/// Calls that change something whatever their arguments are; those that move and mount detached copies of mounts are
/// read by others.
const CHANGES: [&str; 41] = [
    "creat",
    "mkdir",
    "mkdirat",
    "mknod",
    "mknodat",
    "link",
    "linkat",
    "symlink",
    "symlinkat",
    "unlink",
    "unlinkat",
    "rmdir",
    "rename",
    "renameat",
    "renameat2",
    "truncate",
    "ftruncate",
    "fallocate",
    "chmod",
    "fchmod",
    "fchmodat",
    "chown",
    "fchown",
    "lchown",
    "fchownat",
    "utime",
    "utimensat",
    "setxattr",
    "fsetxattr",
    "lsetxattr",
    "removexattr",
    "mount",
    "umount2",
    "move_mount",
    "kill",
    "tgkill",
    "pidfd_send_signal",
    "ptrace",
    "sethostname",
    "swapon",
    "bpf",
];

/// Runs `--show`, and gives the lines of its calls that change something.
fn trace_changes(host: &TestHost, images: &Path) -> (Vec<String>, String) {
    let trace = host.dir().with_file_name("calls");
    let calls = format!("trace={},open,openat,openat2,sendto,sendmsg,ioctl", CHANGES.join(","));
    let file = trace.display().to_string();
    let words = ["strace", "-f", "-qq", "-s", "4096", "-o", &file, "-e", &calls];
    let shown = Tool::new(host, images).under(&words).run(&["--show"]);
    assert!(shown.stdout.contains("to be removed)"), "void: {shown}");
    let trace = fs::read_to_string(&trace).expect("a trace");
    assert!(trace.contains("openat2(") && trace.contains("NFT_MSG_GETTABLE"), "void: {trace}");
    (trace.lines().filter(|line| is_change(line)).map(str::to_owned).collect(), shown.stdout)
}

fn is_change(line: &str) -> bool {
    const FLAGS: [&str; 7] = ["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC", "O_APPEND", "O_TMPFILE", "O_EXCL"];
    const REQUESTS: [&str; 6] = ["NFT_MSG_NEW", "NFT_MSG_DEL", "NFT_MSG_DESTROY", "NLM_F_CREATE", "RTM_NEW", "RTM_DEL"];
    let call = line.split_once(' ').map_or(line, |(_, call)| call.trim_start());
    let name = call.split('(').next().unwrap_or_default();
    let has = |words: &[&str]| words.iter().any(|word| call.contains(word));
    match name {
        // By its own descriptors it has pipes and files without a name.
        "open" | "openat" | "openat2" => has(&FLAGS) && !call.contains("\"/proc/self/fd/") && !has(&["\"/dev/null\""]),
        // `RTM_NEWADDR` is what is answered; it is received.
        "sendto" | "sendmsg" => has(&REQUESTS),
        "ioctl" => has(&["BLK", "LOOP_SET", "LOOP_CLR", "FS_IOC_SET", "TIOCSTI", "SIOCSIF", "SIOCADD"]),
        _ => CHANGES.contains(&name),
    }
}

/// What can be seen of the places where programs leave something behind, and of what the kernel makes on demand.
fn picture(host: &TestHost, namespaces: &[&str]) -> String {
    let mut script = format!(
        "find /run /tmp /var/tmp /dev/shm {} -xdev -printf '%p %i %m %U %G %s %T@ %C@\\n' | sort; \
         cat /proc/self/mountinfo",
        host.dir().display()
    );
    for namespace in namespaces {
        script.push_str(&format!(
            "; nsenter --net={namespace} sh -c 'nft list ruleset; cat /proc/net/ip_tables_names \
             /proc/net/ip6_tables_names; ip -o link; ip -o address'"
        ));
    }
    host.command("sh").args(["-c", &script]).finish().stdout
}

fn calls_for_host(criu: &Criu) {
    let host = TestHost::new();
    let (tree, before) = start_tree_of_all(&host);
    let empty = host.make_net_namespace("empty").path().display().to_string();
    criu.dump(&host, &tree, &images_of(&host), &DumpOptions::default());
    drop(tree);
    assert_only_looks(&host, &["/proc/1/ns/net", &empty]);
    let tool = Tool::new(&host, &images_of(&host));
    let removed = tool.run(&[]);
    assert_eq!((removed.code(), tool.difference_to(&before)), (0, NOTHING.map(String::from).to_vec()), "{removed}");
}

fn calls_for_container(criu: &Criu) {
    let host = TestHost::new();
    let volume = directory(&host, "volume");
    let namespace = host.make_net_namespace("blue");
    let path = namespace.path().display().to_string();
    let container = Container::new(&host, "root").bind(&volume, "/data".as_ref(), Access::ReadWrite);
    let container = container.tmpfs("/dev/shm".as_ref());
    let words: [testkit::Word<'_>; 6] = [&"deleted", &"/data/one", &"semaphore", &"name", &"listen", &"0.0.0.0:0"];
    let tree = Launch::new(&words).container(&container).network(Network::Named(namespace)).start(&host);
    let options = DumpOptions { lock: LockMethod::Nftables, ..DumpOptions::default() };
    criu.dump(&host, &tree, &images_of(&host), &options);
    drop(tree);
    assert_only_looks(&host, &["/proc/1/ns/net", &path]);
    assert_cleans(&Tool::new(&host, &images_of(&host)), || has_link(&volume));
}

fn assert_only_looks(host: &TestHost, namespaces: &[&str]) {
    let before = picture(host, namespaces);
    let (changes, shown) = trace_changes(host, &images_of(host));
    assert!(changes.is_empty(), "GOT: --show makes these calls: {changes:#?}\n{shown}");
    assert!(picture(host, namespaces) == before, "GOT: --show changed something: {shown}");
}

/// Every file and directory below the directory.
fn all_below(place: &Path) -> Vec<PathBuf> {
    let entries: Vec<PathBuf> = fs::read_dir(place).expect("a directory").flatten().map(|entry| entry.path()).collect();
    let inner: Vec<PathBuf> = entries.iter().filter(|path| path.is_dir()).flat_map(|path| all_below(path)).collect();
    entries.into_iter().chain(inner).collect()
}

/// When each was read last; a look at the names in a directory would be a read.
fn read_times(files: &[PathBuf]) -> Vec<(&PathBuf, i64, i64)> {
    let time = |path| {
        let found = fs::symlink_metadata(path).expect("a file");
        (path, found.atime(), found.atime_nsec())
    };
    files.iter().map(time).collect()
}

/// On a filesystem that notes every read: a bundle with its metadata, a record, a work directory and a link.
fn times(criu: &Criu) {
    let host = TestHost::new();
    let volume = directory(&host, "volume");
    host.run("mount", &[&"-t", &"tmpfs", &"-o", &"strictatime", &"noted", &volume]);
    let inside = host.path(&volume);
    for name in ["bundle", "bundle/checkpoint", "work", "data"] {
        fs::create_dir(inside.join(name)).expect("a new directory");
    }
    let tree = host.start_workload(&[&"deleted", &volume.join("data/file")]);
    let (images, work) = (volume.join("bundle/checkpoint"), volume.join("work"));
    let extra = ["-W".into(), work.clone().into(), "--network-lock".into(), "skip".into()];
    let made = images_of(&host);
    dump_process(criu, &host, tree.pid(), &made, &extra);
    host.run("cp", &[&"-a", &made.join("."), &images]);
    let config = r#"{"ociVersion":"1.0.0","root":{"path":"/"},"linux":{"namespaces":[{"type":"mount"}]}}"#;
    fs::write(inside.join("bundle/config.json"), config).expect("a new file");
    fs::write(inside.join("bundle/checkpoint/criu-gc-record.json"), "{}").expect("a new file");
    let tool = Tool::new(&host, &images).option("-W", &work);
    let files: Vec<PathBuf> = all_below(&inside).into_iter().chain([inside.clone()]).collect();
    let before = read_times(&files);
    let shown = tool.run(&["--show", "-v"]);
    assert!(shown.stdout.contains("to be removed)"), "void: {shown}");
    assert_eq!(before, read_times(&files), "GOT: --show changed times: {shown}");
    assert_cleans(&tool, || has_link(&inside.join("data")));
}
