// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Seeds for the fuzz targets: the images, logs, rules, mounts and netlink answers of real dumps.

mod archives;
mod corpus;

use std::fs;
use std::path::{Path, PathBuf};

use testkit::{
    Access, CommandExt, Container, Criu, DumpOptions, Engines, IptablesFlavour, Launch, LockMethod, Runtime,
    Specification, TestHost, Word,
};

use corpus::Corpus;

use crate::error::Error;
use crate::tree::{create, file};

/// What beside the images is metadata: in the order of `fuzz/src/container.rs`.
const METADATA: [&str; 7] =
    ["config.json", "spec.dump", "config.dump", "bind.mounts", "network.status", "config.v2.json", "pod.options"];

/// How a directory holds them: the number of the layout there.
#[derive(Clone, Copy)]
enum Layout {
    Bundle = 0,
    Podman = 1,
    Export = 3,
}

/// Writes them, each target's into its own directory. Where the machine cannot dump, the targets begin with nothing.
pub(crate) fn write(corpus: &Path, targets: &[&str]) -> Result<(), Error> {
    for target in targets {
        create(&corpus.join(target))?;
        create(&crate::cargo::workspace().join("fuzz/artifacts"))?;
    }
    if let Some(reason) = testkit::cannot_run() {
        println!("fuzz: no seeds, since {reason}");
        return Ok(());
    }
    for criu in Criu::all() {
        let seeds = Seeds { corpus: Corpus::new(corpus, &criu) };
        for lock in [LockMethod::Iptables, LockMethod::Nftables] {
            seeds.of_host_tree(&criu, lock)?;
        }
        seeds.of_container(&criu)?;
        seeds.of_engines(&criu)?;
    }
    Ok(())
}

struct Seeds<'a> {
    corpus: Corpus<'a>,
}

impl Seeds<'_> {
    fn of_host_tree(&self, criu: &Criu, lock: LockMethod) -> Result<(), Error> {
        let host = TestHost::new();
        let [one, two, fifo] = ["one", "two", "fifo"].map(|name| host.dir().join(name));
        let words: [Word<'_>; 12] = [
            &"deleted",
            &one,
            &"deleted-twice",
            &two,
            &"fifo-deleted",
            &fifo,
            &"semaphore",
            &"name",
            &"listen-connect",
            &"127.0.0.1:0",
            &"listen-connect",
            &"[::1]:0",
        ];
        let tree = host.start_workload(&words);
        let images = host.dir().join("images");
        let script = host.dir().join("criu-gc-record");
        std::os::unix::fs::symlink(crate::cargo::build_tool()?, &script).map_err(file("create", &script))?;
        let extra = vec!["--action-script".into(), script.into_os_string()];
        criu.dump(&host, &tree, &images, &DumpOptions { lock, extra, ..DumpOptions::default() });
        self.add(&format!("host-{lock:?}"), &images)?;
        archives::add(&self.corpus, &format!("host-{lock:?}"), &images, &host.dir().join("archives"))?;
        let listing = host.command("iptables-legacy-save").finish().stdout;
        self.corpus.add_bytes("xtables", &format!("{lock:?}"), listing.as_bytes())?;
        self.add_answers(&host, &format!("{lock:?}"))
    }

    fn of_container(&self, criu: &Criu) -> Result<(), Error> {
        let host = TestHost::new();
        let outside = host.dir().join("outside");
        create(&outside)?;
        let container = Container::new(&host, "root");
        create(&container.root().join("data"))?;
        let container = container.bind(&outside, Path::new("/data"), Access::ReadWrite).tmpfs(Path::new("/tmp"));
        let words: [Word<'_>; 4] = [&"deleted", &"/data/one", &"deleted", &"/tmp/two"];
        let tree = Launch::new(&words).container(&container).start(&host);
        let images = host.dir().join("images");
        criu.dump(&host, &tree, &images, &DumpOptions::default());
        let mounts = fs::read(host.path("/proc/1/mountinfo")).unwrap_or_default();
        self.corpus.add_bytes("mountinfo", "host", &mounts)?;
        self.add("container", &images)
    }

    /// What runc, crun and podman write beside the images, and podman into an export.
    fn of_engines(&self, criu: &Criu) -> Result<(), Error> {
        let host = TestHost::new();
        let network = host.make_net_namespace("pod");
        // A volume each: the second dump would find the link remap of the first in its way.
        let specification = |name: &str| {
            let volume = host.dir().join(format!("volume of {name}"));
            create(&volume)?;
            Ok::<_, Error>(Specification::new(&network, &volume, &[&"deleted", &"/data/one"]))
        };
        let engines = Engines::new(&host, criu, LockMethod::Iptables, IptablesFlavour::Nft);
        for (runtime, name) in [(Runtime::Runc, "runc"), (Runtime::Crun, "crun")] {
            let bundle = engines.make_bundle(runtime, name, &specification(name)?);
            bundle.start();
            bundle.checkpoint();
            self.add_metadata(Layout::Bundle, name, bundle.directory())?;
        }
        let podman = engines.set_up_podman();
        podman.start("kept", &specification("kept")?);
        podman.checkpoint("kept", &["--keep"]);
        self.add_metadata(Layout::Podman, "podman", &host.path(podman.directory("kept")))?;
        podman.start("exported", &specification("exported")?);
        let (archive, export) = (host.dir().join("export.tar"), host.dir().join("export"));
        podman.checkpoint("exported", &["--compress", "none", "--export", &archive.to_string_lossy()]);
        create(&export)?;
        host.run("tar", &[&"-xpf", &archive, &"-C", &export]);
        self.add_metadata(Layout::Export, "export", &export)?;
        archives::add(&self.corpus, "export", &export, &host.dir().join("archives"))
    }

    /// The metadata in a directory, and each file of it.
    fn add_metadata(&self, layout: Layout, name: &str, directory: &Path) -> Result<(), Error> {
        // Directories that only root can write.
        let head = [layout as u8, 0];
        let mut whole = head.to_vec();
        for (which, part) in (0_u8..).zip(METADATA) {
            let Ok(content) = fs::read(directory.join(part)) else { continue };
            let Ok(length) = u16::try_from(content.len()) else { continue };
            // 1: a file that only root can write, and everybody can read.
            let entry = [&[which, 1], length.to_le_bytes().as_slice(), &content].concat();
            self.corpus.add_bytes("metadata", &format!("{name}-{part}"), &[head.as_slice(), &entry].concat())?;
            whole.extend(entry);
        }
        self.corpus.add_bytes("metadata", name, &whole)
    }

    /// A directory of images, and each file in it.
    fn add(&self, name: &str, images: &Path) -> Result<(), Error> {
        // Even: files follow (`fuzz/src/directory.rs`).
        let mut whole = vec![0];
        for path in paths_in(images)? {
            let image = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let content = fs::read(&path).map_err(file("read", &path))?;
            let target = match image.as_str() {
                "dump.log" | "restore.log" => "log",
                "criu-gc-record.json" => "record",
                other if other.starts_with("ifaddr-") => "addresses",
                _ => "image",
            };
            self.corpus.add_bytes(target, &format!("{name}-{image}"), &content)?;
            // Memory pages and the like are not read by the tool.
            if let (Ok(name_length), Ok(length)) = (u8::try_from(image.len()), u16::try_from(content.len())) {
                whole.push(name_length);
                whole.extend(image.as_bytes());
                whole.extend(length.to_le_bytes());
                whole.extend(content);
            }
        }
        self.corpus.add_bytes("directory", name, &whole)
    }

    /// What the kernel answers when it is asked for rules and interfaces, taken down by `strace`.
    fn add_answers(&self, host: &TestHost, name: &str) -> Result<(), Error> {
        for command in [&["nft", "list", "ruleset"][..], &["ip", "address"]] {
            let trace = host.dir().join("trace");
            let mut strace = host.command("strace");
            strace.args(["-f", "-e", "trace=recvmsg,recvfrom", "-e", "read=all", "-o"]).arg(&trace).args(command);
            strace.succeed();
            let text = fs::read_to_string(&trace).map_err(file("read", &trace))?;
            self.corpus.add_bytes("netlink", &format!("{name}-{}", command[0]), &hexadecimal(&text))?;
        }
        Ok(())
    }
}

/// The bytes of a dump such as ` | 00010  68 6f 73 74 …  host… |`.
fn hexadecimal(text: &str) -> Vec<u8> {
    let lines = text.lines().filter_map(|line| line.trim_start().strip_prefix("| ")?.get(5..));
    let columns = lines.filter_map(|line| line.get(..51.min(line.len())));
    columns.flat_map(str::split_whitespace).filter_map(|byte| u8::from_str_radix(byte, 16).ok()).collect()
}

fn paths_in(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = fs::read_dir(directory).map_err(file("read", directory))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    paths.sort();
    Ok(paths)
}
