// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cargo xtask demo`: what criu-gc is for, in a throw-away host. Each command is shown before what
//! it prints.

mod picture;

use std::path::{Path, PathBuf};

use testkit::{CommandExt, Criu, DumpOptions, TestHost, Word};

use self::picture::Picture;
use crate::cargo;
use crate::error::Error;
use crate::setup;
use crate::versions::Freshness;

/// Runs it, and draws it if a file is named.
pub(crate) fn run(file: Option<&Path>) -> Result<(), Error> {
    setup::run(Freshness::AsFound)?;
    if let Some(reason) = testkit::cannot_run() {
        return Err(Error::NoDemo(reason));
    }
    let tool = cargo::build_tool()?;
    let host = TestHost::new();
    let mut screen = Screen { host: &host, picture: Picture::default() };
    let images = screen.dump();
    screen.show_residue();
    for option in ["--show", "--yes", "--show"] {
        screen.show(&tool, &[&option, &images]);
    }
    screen.show_residue();
    file.map_or(Ok(()), |file| screen.picture.write(file))
}

/// What the host's commands print goes to the terminal and into the picture.
struct Screen<'a> {
    host: &'a TestHost,
    picture: Picture,
}

impl Screen<'_> {
    /// Dumps a tree with a deleted file, a named semaphore and a connection.
    fn dump(&mut self) -> PathBuf {
        let (criu, images) = (Criu::newest(), self.host.dir().join("images"));
        let data = self.host.dir().join("data");
        let words: [Word<'_>; 6] = [&"deleted", &data, &"semaphore", &"queue", &"listen-connect", &"127.0.0.1:0"];
        let tree = self.host.start_workload(&words);
        self.print("\nA process has a deleted file open, uses the POSIX semaphore /queue, and has a TCP connection.\n");
        self.print("criu dumps it:\n\n");
        let (pid, place) = (tree.pid(), images.display());
        self.print(&format!("# criu dump --tree {pid} --images-dir {place} --link-remap --tcp-established\n"));
        let dump = criu.dump(self.host, &tree, &images, &DumpOptions::default());
        let seconds = dump.duration.as_secs_f32();
        self.print(&format!("criu {}, {seconds:.2} s; the process has ended.\n", criu.version()));
        images
    }

    fn show_residue(&mut self) {
        let directory = self.host.dir().to_owned();
        self.show("ls".as_ref(), &[&"-il", &directory, &"/dev/shm"]);
        self.show("iptables".as_ref(), &[&"-S"]);
    }

    /// Runs a command in the host, after a line that says which.
    fn show(&mut self, program: &Path, arguments: &[Word<'_>]) {
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        let words = arguments.iter().map(|word| word.as_ref().to_string_lossy());
        self.print(&format!("\n# {}\n", std::iter::once(name).chain(words).collect::<Vec<_>>().join(" ")));
        let finished = self.host.command(program).args(arguments).finish();
        self.print(&format!("{}{}", finished.stdout, finished.stderr));
        if finished.code() != 0 {
            self.print(&format!("(exit status {})\n", finished.code()));
        }
    }

    fn print(&mut self, text: &str) {
        print!("{text}");
        // The directory of the host is a long path of the machine.
        self.picture.add(&text.replace(&*self.host.dir().to_string_lossy(), "/srv"));
    }
}
