// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cargo xtask demo`: what criu-gc is for, in a throw-away host. Each command is shown before what
//! it prints.

use std::path::{Path, PathBuf};

use testkit::{CommandExt, Criu, DumpOptions, TestHost, Word};

use crate::cargo;
use crate::error::Error;
use crate::setup;
use crate::versions::Freshness;

pub(crate) fn run() -> Result<(), Error> {
    setup::run(Freshness::AsFound)?;
    if let Some(reason) = testkit::cannot_run() {
        return Err(Error::NoDemo(reason));
    }
    let tool = cargo::build_tool()?;
    let host = TestHost::new();
    let images = dump(&host);
    show_residue(&host);
    for option in ["--show", "--yes", "--show"] {
        show(&host, &tool, &[&option, &images]);
    }
    show_residue(&host);
    Ok(())
}

/// Dumps a tree with a deleted file, a named semaphore and a connection.
fn dump(host: &TestHost) -> PathBuf {
    let (criu, images) = (Criu::newest(), host.dir().join("images"));
    let data = host.dir().join("data");
    let tree = host.start_workload(&[&"deleted", &data, &"semaphore", &"queue", &"listen-connect", &"127.0.0.1:0"]);
    println!("\nA process has a deleted file open, uses the POSIX semaphore /queue, and has a TCP connection.");
    println!("criu dumps it:\n");
    println!("# criu dump --tree {} --images-dir {} --link-remap --tcp-established", tree.pid(), images.display());
    let dump = criu.dump(host, &tree, &images, &DumpOptions::default());
    println!("criu {}, {:.2} s; the process has ended.", criu.version(), dump.duration.as_secs_f32());
    images
}

fn show_residue(host: &TestHost) {
    show(host, "ls".as_ref(), &[&"-il", &host.dir(), &"/dev/shm"]);
    show(host, "iptables".as_ref(), &[&"-S"]);
}

/// Runs a command in the host, after a line that says which.
fn show(host: &TestHost, program: &Path, arguments: &[Word<'_>]) {
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    let words = arguments.iter().map(|word| word.as_ref().to_string_lossy());
    println!("\n# {}", std::iter::once(name).chain(words).collect::<Vec<_>>().join(" "));
    let finished = host.command(program).args(arguments).finish();
    print!("{}{}", finished.stdout, finished.stderr);
    if finished.code() != 0 {
        println!("(exit status {})", finished.code());
    }
}
