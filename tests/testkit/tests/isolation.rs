// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Hosts disturb neither each other nor the machine, and go with whoever made them.

use std::io::BufRead;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use testkit::suite::{self, Case};
use testkit::{CommandExt, TestHost};

fn main() -> std::process::ExitCode {
    suite::run(&[
        Case { name: "hosts are private", test: hosts_are_private },
        Case { name: "a host has only the mounts that it needs", test: mounts_are_few },
        Case { name: "a dropped host leaves nothing", test: a_dropped_host_leaves_nothing },
        Case { name: "a killed test takes its host along", test: a_killed_test_takes_its_host_along },
    ])
}

/// Tells a test to be the process that is killed.
const VICTIM: &str = "TESTKIT_VICTIM";

fn rules_of_machine() -> String {
    Command::new("nft").args(["-a", "list", "ruleset"]).env("PATH", "/usr/sbin").succeed().stdout
}

fn hosts_are_private() {
    let before = rules_of_machine();
    let (one, other) = (TestHost::new(), TestHost::new());
    let picture = || other.snapshot(&["/dev/shm".as_ref(), "/run".as_ref(), other.dir()]);
    let untouched = picture();
    one.run("iptables-nft", &[&"-A", &"INPUT", &"-j", &"DROP"]);
    one.run("iptables-legacy", &[&"-A", &"INPUT", &"-j", &"DROP"]);
    one.run("nft", &[&"add table inet mine"]);
    one.run("touch", &[&"/dev/shm/mine", &"/run/mine", &one.dir().join("mine")]);
    one.run("hostname", &[&"mine"]);
    one.make_net_namespace("mine");
    assert_eq!(untouched, picture());
    assert_eq!(one.snapshot(&[]).lines_with("-j DROP").len(), 2);
    assert_eq!(rules_of_machine(), before);
    assert!(!Path::new("/run/netns/mine").exists() && !Path::new("/dev/shm/mine").exists());
    assert_ne!(other.run("hostname", &[]).stdout, "mine\n");
}

/// The machine's disks on the way to the tests, kernel filesystems of its own, and a store of records of its own.
fn mounts_are_few() {
    const STORE: &str = "/var/lib/criu-gc";
    const OWN: [&str; 9] = ["/proc", "/sys", "/sys/fs/cgroup", "/dev", "/dev/pts", "/dev/shm", "/run", "/tmp", STORE];
    let host = TestHost::new();
    let table = host.run("cat", &[&"/proc/self/mounts"]).stdout;
    let places: Vec<&str> = table.lines().filter_map(|line| line.split(' ').nth(1)).collect();
    let is_disk = |place: &str| host.dir().starts_with(place) || ["/usr", "/etc", "/var"].contains(&place);
    let others: Vec<_> = places.iter().filter(|place| !OWN.contains(place) && !is_disk(place)).collect();
    assert!(others.is_empty() && places.starts_with(&["/"]), "{table}");
    for place in ["/proc", "/dev/shm", "/run"] {
        assert_eq!(places.iter().filter(|mounted| **mounted == place).count(), 1, "{table}");
    }
}

fn a_dropped_host_leaves_nothing() {
    let host = TestHost::new();
    let (directory, init) = (host.dir().to_owned(), host.init());
    let tree = host.start_workload(&[&"listen", &"127.0.0.1:0"]);
    let mut stray = host.spawn("sleep", &[&"infinity"]);
    let pid = tree.real_pid();
    drop(tree);
    drop(host);
    let is_gone = |pid: u32| !Path::new("/proc").join(pid.to_string()).exists();
    assert!(is_gone(init) && is_gone(pid) && !directory.exists());
    assert!(!stray.wait().unwrap().success());
}

fn a_killed_test_takes_its_host_along() {
    if std::env::var_os(VICTIM).is_some() {
        let host = TestHost::new();
        let tree = host.start_workload(&[&"listen", &"127.0.0.1:0"]);
        println!("\nvictim {} {}", host.init(), tree.real_pid());
        std::thread::sleep(Duration::from_secs(60));
    }
    let mut victim = Command::new(std::env::current_exe().unwrap());
    victim.args(["--exact", "a killed test takes its host along", "--nocapture"]).env(VICTIM, "1");
    let mut victim = victim.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let lines = std::io::BufReader::new(victim.stdout.take().unwrap()).lines();
    let line = lines.map(Result::unwrap).find(|line| line.starts_with("victim ")).unwrap();
    let pids: Vec<_> = line.split(' ').skip(1).map(|pid| Path::new("/proc").join(pid)).collect();
    assert!(pids.iter().all(|pid| pid.exists()) && pids.len() == 2);
    victim.kill().unwrap();
    victim.wait().unwrap();
    let end = Instant::now() + Duration::from_secs(20);
    while pids.iter().any(|pid| pid.exists()) {
        assert!(Instant::now() < end, "{line} is still there");
        std::thread::sleep(Duration::from_millis(5));
    }
}
