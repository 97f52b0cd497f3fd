// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What `deploy` says is run as it says it: the pods in containers of real runc, with their own arguments and capabilities;
//! the image in real Docker; the plugin; the script that deletes archives.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use testkit::{
    Artifacts, CommandExt, Criu, DumpOptions, Enclosure, Engines, Finished, IptablesFlavour, LockMethod, TestHost,
};
use yaml_rust2::{Yaml, YamlLoader};

use crate::case::{Case, Cases};
use crate::engine_docker::{CHECKPOINT, NAME, Options, with_scene};
use crate::places::images_of;
use crate::scan::run;
use crate::tool::{NOTHING, Tool, binary, make_tables};
use crate::watch::children;

inventory::submit!(Cases::with_newest_criu(&[
    Case { name: "deploy: the pod that looks tells what the host does, and changes nothing", test: looks },
    Case { name: "deploy: the pod that removes removes litter, and nothing of a checkpoint", test: removes },
    Case { name: "deploy: the image in real Docker shows and removes what a checkpoint left on the host", test: image },
    Case { name: "deploy: the plugin for node-problem-detector keeps its contract", test: plugin },
    Case { name: "deploy: an archive is deleted only after what its checkpoint left", test: archives },
]));

const FLAVOUR: IptablesFlavour = IptablesFlavour::Nft;

/// A file of `deploy`.
fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name)
}

/// The container of a manifest.
struct Pod {
    image: String,
    arguments: Vec<String>,
    capabilities: Vec<String>,
}

impl Pod {
    /// Reads it. What a container of the tests has anyway, a manifest must have too.
    fn read(name: &str) -> Self {
        let text = fs::read_to_string(file("kubernetes").join(name)).expect(name);
        let manifest = YamlLoader::load_from_str(&text).expect("YAML").swap_remove(0);
        let pod = &manifest["spec"]["template"]["spec"];
        let container = &pod["containers"][0];
        let context = &container["securityContext"];
        let is = |value: &Yaml| value.as_bool().expect("a boolean");
        assert!(is(&pod["hostPID"]) && is(&context["readOnlyRootFilesystem"]), "{name}");
        assert!(!is(&context["allowPrivilegeEscalation"]), "{name}");
        let capabilities = &context["capabilities"];
        assert_eq!(words(&capabilities["drop"]), ["ALL"], "{name}");
        let added = words(&capabilities["add"]).into_iter().map(|name| format!("CAP_{name}"));
        let image = container["image"].as_str().expect("an image").to_owned();
        Pod { image, arguments: words(&container["args"]), capabilities: added.collect() }
    }

    /// The container, with the program of the image.
    fn container<'a>(&self, engines: &'a Engines<'_>) -> Enclosure<'a> {
        let program = Artifacts::of_workspace().image().join("criu-gc");
        assert!(program.exists(), "there is no image: run `cargo xtask image`");
        engines.enclosure(&program).capabilities(&self.capabilities.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Runs it up to the end of its first pass, and ends it. All events.
    fn watch(&self, engines: &Engines<'_>) -> Vec<Value> {
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        let mut command = self.container(engines).command(&arguments);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("nsenter");
        let mut events: Vec<Value> = Vec::new();
        for line in BufReader::new(child.stdout.take().expect("a pipe")).lines() {
            let event: Value = serde_json::from_str(&line.expect("a line")).expect("JSON");
            if event["event"] == "looked" {
                send_to_watch(child.id(), Signal::TERM);
            }
            events.push(event);
        }
        let status = child.wait().expect("a child");
        assert_eq!((status.code(), &events.last().expect("events")["event"]), (Some(0), &Value::from("ended")));
        events
    }
}

fn words(list: &Yaml) -> Vec<String> {
    list.as_vec().expect("a list").iter().map(|word| word.as_str().expect("a word").to_owned()).collect()
}

/// Sends a signal to the watch among the descendants of a process.
fn send_to_watch(pid: u32, signal: Signal) {
    for child in children(pid) {
        let line = fs::read_to_string(format!("/proc/{child}/cmdline")).unwrap_or_default();
        if line.starts_with("/program\0watch\0") {
            let pid = i32::try_from(child).ok().and_then(Pid::from_raw).expect("a pid");
            kill_process(pid, signal).expect("a watch");
        }
        send_to_watch(child, signal);
    }
}

/// What the events of this name are about.
fn ids<'a>(events: &'a [Value], name: &str) -> Vec<&'a str> {
    let events = events.iter().filter(|event| event["event"] == name);
    events.filter_map(|event| event["object"]["id"]["text"].as_str()).collect()
}

/// A dump with a link in a directory into which nobody but a user may look, and the rules of a connection.
fn dump(criu: &Criu, host: &TestHost) {
    make_tables(host, &[]);
    let directory = host.path("/dev/shm/private");
    host.run("mkdir", &[&"-m", &"700", &"/dev/shm/private"]);
    let tree = host.start_workload(&[&"deleted", &"/dev/shm/private/one", &"listen-connect", &"127.0.0.1:0"]);
    chown(&directory, Some(1000), Some(1000)).expect("an owner");
    criu.dump(host, &tree, &images_of(host), &DumpOptions::default());
}

fn looks(criu: &Criu) {
    let host = TestHost::new();
    dump(criu, &host);
    let engines = Engines::new(&host, criu, LockMethod::Iptables, IptablesFlavour::Nft);
    let dumped = Tool::on(&host).snapshot();
    let outside = run(&host, "scan", &[]);
    assert!(outside.stdout.contains("/dev/shm/private/link_remap."), "void: {outside}");
    let job = Pod::read("job.yaml");
    let arguments: Vec<&str> = job.arguments.iter().map(String::as_str).collect();
    let inside: Finished = job.container(&engines).command(&arguments).finish();
    assert_eq!((inside.code(), inside.stdout, inside.stderr), (0, outside.stdout, String::new()));
    let events = Pod::read("watch.yaml").watch(&engines);
    let found = ids(&events, "appeared");
    assert_eq!(found.len(), 3, "{events:#?}");
    assert!(found.iter().any(|id| id.starts_with("/dev/shm/private/link_remap.")), "{found:?}");
    assert!(ids(&events, "unknown").is_empty() && ids(&events, "failed").is_empty(), "{events:#?}");
    assert_eq!(Tool::on(&host).difference_to(&dumped), NOTHING);
}

fn removes(criu: &Criu) {
    let host = TestHost::new();
    dump(criu, &host);
    let engines = Engines::new(&host, criu, LockMethod::Iptables, IptablesFlavour::Nft);
    let dumped = Tool::on(&host).snapshot();
    host.run("sh", &[&"-ec", &"mkdir -m 777 /tmp/.criu.mntns.ZyXwVu; mkdir -m 700 /tmp/cr-tmpfs.ZyXwVu"]);
    // The pod that looks leaves it there.
    let looked = Pod::read("watch.yaml").watch(&engines);
    assert!(ids(&looked, "appeared").contains(&"/tmp/cr-tmpfs.ZyXwVu"), "void: {looked:#?}");
    assert!(host.path("/tmp/cr-tmpfs.ZyXwVu").exists());
    let events = Pod::read("clean.yaml").watch(&engines);
    let mut cleaned = ids(&events, "cleaned");
    cleaned.sort_unstable();
    assert_eq!(cleaned, ["/tmp/.criu.mntns.ZyXwVu", "/tmp/cr-tmpfs.ZyXwVu"], "{events:#?}");
    assert!(!host.path("/tmp/cr-tmpfs.ZyXwVu").exists() && !host.path("/tmp/.criu.mntns.ZyXwVu").exists());
    assert_eq!(Tool::on(&host).difference_to(&dumped), NOTHING);
}

/// With the security context of the manifest and Docker's own seccomp profile.
fn image(criu: &Criu) {
    with_scene(criu, LockMethod::Iptables, &Options::default(), |mut scene| {
        scene.docker.checkpoint(NAME, CHECKPOINT, &[]);
        scene.assert_has_residue();
        scene.docker.load(&Artifacts::of_workspace().image_archive());
        let job = Pod::read("job.yaml");
        let added: Vec<String> = job.capabilities.iter().map(|name| format!("--cap-add={name}")).collect();
        let context =
            ["--pid=host", "--network=none", "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges"];
        let options: Vec<&str> = context.into_iter().chain(added.iter().map(String::as_str)).collect();
        let inside = |arguments: &[&str]| scene.docker.run_command(&options, &job.image).args(arguments).finish();
        let (outside, seen) = (run(scene.host, "scan", &[]), inside(&["scan", "--host"]));
        assert!(outside.stdout.contains("Network lock chain: CRIU"), "void: {outside}");
        assert_eq!((seen.code(), seen.stdout.as_str()), (outside.code(), outside.stdout.as_str()), "{seen}");
        let removed = inside(&["--host", "--yes", &format!("docker:{NAME}")]);
        assert_eq!(removed.code(), 0, "{removed}");
        scene.pod.assert_has_network_again(FLAVOUR, &mut scene.peers);
        scene.tool(&scene.docker.directory(NAME)).assert_finds_nothing();
    });
}

/// Status 0 is no problem, 1 one, and any other unknown; the message is cut after 80 bytes.
fn plugin(criu: &Criu) {
    let host = TestHost::new();
    let text = fs::read_to_string(file("node-problem-detector/criu-gc.json")).expect("the configuration");
    let configuration: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(configuration["rules"][0]["path"], "/usr/bin/criu-gc");
    assert_eq!(configuration["rules"][0]["condition"], configuration["conditions"][0]["type"]);
    let limit = configuration["pluginConfig"]["max_output_length"].as_u64().expect("a number");
    let arguments = configuration["rules"][0]["args"].as_array().expect("arguments");
    let arguments: Vec<&str> = arguments.iter().map(|argument| argument.as_str().expect("a word")).collect();
    let ask = |more: &[&str]| {
        let answer = host.command(binary()).args(&arguments).args(more).finish();
        assert!(answer.stdout.trim().len() as u64 <= limit && answer.stdout.lines().count() <= 1, "{answer}");
        answer
    };
    let healthy = ask(&[]);
    assert_eq!((healthy.code(), healthy.stdout.as_str()), (0, "Nothing of CRIU is left on this host.\n"), "{healthy}");
    assert_eq!(ask(&["--timeout", "0"]).code(), 1);
    assert_eq!(ask(&["--metrics", "/no/such/file"]).code(), 2);
    dump(criu, &host);
    // What a restore needs is no problem of the node.
    fs::remove_dir_all(images_of(&host)).expect("images");
    let ill = ask(&[]);
    assert_eq!((ill.code(), ill.stdout.as_str()), (1, "CRIU: 3 orphan.\n"), "{ill}");
}

fn archives(criu: &Criu) {
    let host = TestHost::new();
    let before = Tool::on(&host).snapshot();
    dump(criu, &host);
    let store = host.dir().with_file_name("checkpoints");
    let programs = host.dir().with_file_name("programs");
    [&store, &programs].into_iter().for_each(|directory| fs::create_dir(directory).expect("a new directory"));
    symlink(binary(), programs.join("criu-gc")).expect("a link");
    let name = |container: &str, day: u32| {
        store.join(format!("checkpoint-p_default-{container}-2026-11-0{day}T10:00:00Z.tar"))
    };
    let (old, new, broken) = (name("job", 1), name("job", 2), name("broken", 1));
    for archive in [&old, &new] {
        host.run("tar", &[&"--force-local", &"-C", &images_of(&host), &"-cf", archive, &"."]);
    }
    [&broken, &name("broken", 2)].into_iter().for_each(|archive| fs::write(archive, "no archive").expect("a file"));
    fs::remove_dir_all(images_of(&host)).expect("images");
    let script = file("checkpoint-restore-operator/criu-gc-delete");
    let delete = |arguments: &[&str]| {
        let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", programs.display());
        host.command("sh").arg(&script).args(arguments).env("PATH", path).finish()
    };
    let kept = delete(&["--keep", "2", store.to_str().expect("text")]);
    assert_eq!((kept.code(), kept.stdout.as_str()), (0, ""), "{kept}");
    let deleted = delete(&["--keep", "1", store.to_str().expect("text")]);
    assert_eq!(deleted.code(), 1, "one is no archive: {deleted}");
    assert!(deleted.stdout.contains(&format!("deleted {}", old.display())), "{deleted}");
    assert!(deleted.stderr.contains(&format!("kept {}", broken.display())), "{deleted}");
    assert!(!old.exists() && new.exists() && broken.exists());
    fs::remove_dir(host.path("/dev/shm/private")).unwrap_or(());
    let left = Tool::on(&host).difference_to(&before);
    assert!(left.iter().all(|line| !line.contains("link_remap") && !line.contains("DROP")), "{left:?} {deleted}");
}
