// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A container that runs one program of the machine's: what does it see from there?

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::Engines;
use crate::command::{CommandExt, copy_program};

/// A runc container, with network, mount, IPC and UTS namespaces of its own and a read-only root, in which there is
/// nothing but the program and its libraries.
#[derive(Debug)]
pub struct Enclosure<'a> {
    engines: &'a Engines<'a>,
    directory: PathBuf,
    pids: Pids,
    capabilities: Vec<String>,
    binds: Vec<(PathBuf, PathBuf)>,
}

/// Which pid namespace a container has.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Pids {
    /// The host's (`--pid=host`).
    Host,
    /// One of its own.
    Own,
    /// The one of this file.
    Of(PathBuf),
}

impl Engines<'_> {
    /// Prepares such a container; nothing is started.
    ///
    /// # Panics
    /// If it cannot be prepared.
    pub fn enclosure(&self, program: &Path) -> Enclosure<'_> {
        let directory = self.host.unused_path("enclosure");
        let root = directory.join("rootfs");
        for name in ["proc", "dev", "sys", "host"] {
            fs::create_dir_all(root.join(name)).expect("a new directory");
        }
        self.command("runc").args(["spec", "--bundle"]).arg(&directory).succeed();
        for file in libraries(program) {
            let place = root.join(file.strip_prefix("/").expect("an absolute path"));
            fs::create_dir_all(place.parent().expect("a directory")).expect("a new directory");
            fs::copy(&file, &place).expect("a library");
        }
        copy_program(program, &root.join("program"));
        Enclosure { engines: self, directory, pids: Pids::Host, capabilities: Vec::new(), binds: Vec::new() }
    }
}

impl Enclosure<'_> {
    /// The same with a pid namespace.
    pub fn pids(self, pids: Pids) -> Self {
        Self { pids, ..self }
    }

    /// The same with these capabilities and no others.
    pub fn capabilities(self, names: &[&str]) -> Self {
        Self { capabilities: names.iter().map(|name| (*name).to_owned()).collect(), ..self }
    }

    /// The same with a directory of the host.
    pub fn bind(mut self, source: &Path, destination: &Path) -> Self {
        self.binds.push((source.to_owned(), destination.to_owned()));
        self
    }

    /// A command that runs the program there, with these arguments.
    ///
    /// # Panics
    /// If the container cannot be configured.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let file = self.directory.join("config.json");
        let text = fs::read_to_string(&file).expect("an example of a configuration");
        let mut configuration: Value = serde_json::from_str(&text).expect("an example of a configuration");
        self.configure(&mut configuration, arguments);
        fs::write(&file, configuration.to_string()).expect("the configuration");
        let mut command = self.engines.command("runc");
        let name = self.directory.file_name().expect("a name");
        command.args(["run", "--bundle"]).arg(&self.directory).arg(name);
        command
    }

    fn configure(&self, configuration: &mut Value, arguments: &[&str]) {
        let words: Vec<_> = ["/program"].into_iter().chain(arguments.iter().copied()).collect();
        let process = &mut configuration["process"];
        process["terminal"] = json!(false);
        process["args"] = json!(words);
        process["noNewPrivileges"] = json!(true);
        let sets = ["bounding", "effective", "permitted"].map(|set| (set.to_owned(), json!(self.capabilities)));
        process["capabilities"] = Value::Object(sets.into_iter().collect());
        configuration["root"]["readonly"] = json!(true);
        let namespaces = configuration["linux"]["namespaces"].as_array_mut().expect("namespaces");
        namespaces.retain(|namespace| namespace["type"] != "pid");
        match &self.pids {
            Pids::Host => {}
            Pids::Own => namespaces.push(json!({ "type": "pid" })),
            Pids::Of(path) => namespaces.push(json!({ "type": "pid", "path": path })),
        }
        let mounts = configuration["mounts"].as_array_mut().expect("mounts");
        for (source, destination) in &self.binds {
            let options = ["rbind", "rw"];
            mounts.push(json!({ "destination": destination, "type": "bind", "source": source, "options": options }));
        }
    }
}

/// The shared libraries of a program, its dynamic linker among them; none if it is linked statically.
fn libraries(program: &Path) -> Vec<PathBuf> {
    let listed = Command::new("ldd").arg(program).finish().stdout;
    let paths = listed.split_whitespace().filter(|word| word.starts_with('/'));
    paths.map(PathBuf::from).collect()
}
