// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The index as a program, which runs on a throw-away host: no command of criu-gc shows it whole.
//!
//! `privileged --index-probe [--images=DIR] [--no-stores] OBJECT…` prints a line for each checkpoint, for what was not read, and for each
//! object: `name:PATH`, `table:NAME`, `chain:`, `rule:ADDRESS,ADDRESS`, `process:PID`, `directory:PATH`.
#![expect(clippy::disallowed_macros, reason = "a program of the tests prints its result")]

use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use criu_gc::internals::connection::Connection;
use criu_gc::internals::host::Host;
use criu_gc::internals::index::{Index, IndexOptions, Indexed, Object, Ownership, Stores};
use criu_gc::internals::mounts::Wanted;
use testkit::{CommandExt, Finished, TestHost};

/// What calls for this program.
pub(crate) const WORD: &str = "--index-probe";

/// Runs it on a host: the lines that it prints.
pub(crate) fn run(host: &TestHost, words: &[String]) -> Vec<String> {
    let program = std::env::current_exe().expect("this program");
    let mut command = host.command(program);
    let Finished { stdout, stderr, status, .. } = command.arg(WORD).args(words).finish();
    assert!(status.success(), "{stdout}{stderr}");
    stdout.lines().map(str::to_owned).collect()
}

pub(crate) fn main(words: impl Iterator<Item = String>) -> ExitCode {
    let (options, objects): (Vec<String>, Vec<String>) = words.partition(|word| word.starts_with("--"));
    let images = options.iter().filter_map(|option| option.strip_prefix("--images=")).map(PathBuf::from).collect();
    let stores = if options.iter().any(|option| option == "--no-stores") { Stores::Skip } else { Stores::Search };
    let index =
        Index::build(&IndexOptions { images, stores, ..IndexOptions::default() }, &Host::look(Wanted::default()));
    for Indexed { directory, state, source, holder, .. } in index.checkpoints() {
        let container = holder.container.as_deref().unwrap_or("-");
        println!("{} {state:?} {source:?} {:?} {container}", directory.display(), holder.engine);
    }
    for object in &objects {
        let paths = |all: &[&Indexed]| all.iter().map(|each| each.directory.display().to_string()).collect::<Vec<_>>();
        let (class, owners) = match index.ownership(&parsed(object)) {
            Ownership::Unclaimed => ("unclaimed", Vec::new()),
            Ownership::Certain(owner) => ("certain", paths(&[owner])),
            Ownership::Doubtful(owner) => ("doubtful", paths(&[owner])),
            Ownership::Ambiguous(owners) => ("ambiguous", paths(&owners)),
        };
        println!("{object} {class} {}", owners.join(" "));
    }
    for unseen in index.unseen() {
        println!("unseen: {unseen}");
    }
    ExitCode::SUCCESS
}

fn parsed(object: &str) -> Object {
    let netns_inode = std::fs::metadata("/proc/self/ns/net").expect("a network namespace").ino();
    let (kind, value) = object.split_once(':').expect("KIND:VALUE");
    match kind {
        "name" => {
            let file = Path::new(value).symlink_metadata().expect("a file");
            let device = (rustix::fs::major(file.dev()), rustix::fs::minor(file.dev()));
            Object::Name { device, inode: file.ino(), path: value.into() }
        }
        "table" => Object::Table { netns_inode, name: value.to_owned() },
        "chain" => {
            let netns_inode = std::fs::metadata(value).expect("a network namespace").ino();
            Object::Chain { netns_inode }
        }
        "rule" => {
            let ends: Vec<SocketAddr> = value.split(',').map(|end| end.parse().expect("an address")).collect();
            Object::Rule { netns_inode, connection: Connection { local: ends[0], peer: ends[1] } }
        }
        "process" => Object::Process { pid: value.parse().expect("a pid") },
        "directory" => Object::Directory { path: value.into() },
        _ => panic!("{object}"),
    }
}
