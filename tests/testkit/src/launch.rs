// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Starting the program to dump, in the host's own namespaces or in others.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::Word;
use crate::artifacts::Artifacts;
use crate::command::{handle, text, unnamed_file, wait_until};
use crate::container::Container;
use crate::host::TestHost;
use crate::host::network::NetNamespace;
use crate::process;
use crate::user_namespace::UserNamespace;
use crate::workload::{Report, Workload};

/// The network namespace that a tree runs in.
#[derive(Clone, Debug, Default)]
pub enum Network {
    /// The host's, and thus that of CRIU.
    #[default]
    Host,
    /// One that outlives the tree.
    Named(NetNamespace),
    /// One that goes with the tree.
    Own,
}

/// A tree to start.
#[derive(Clone, Debug)]
pub struct Launch {
    directives: Vec<OsString>,
    network: Network,
    container: Option<Container>,
}

impl Launch {
    /// A tree in the host's own namespaces. The words are the workload's directives.
    pub fn new(directives: &[Word<'_>]) -> Self {
        let directives = directives.iter().map(|word| word.as_ref().to_owned()).collect();
        Self { directives, network: Network::Host, container: None }
    }

    /// The same in another network namespace.
    pub fn network(mut self, network: Network) -> Self {
        self.network = network;
        self
    }

    /// The same in pid and mount namespaces of its own, below another root. Paths in directives are
    /// then the container's.
    pub fn container(mut self, container: &Container) -> Self {
        self.container = Some(container.clone());
        self
    }

    /// Starts the tree and waits until all directives are done.
    ///
    /// # Panics
    /// If one of them fails.
    #[track_caller]
    pub fn start(&self, host: &TestHost) -> Workload {
        let mut errors = unnamed_file();
        let first_user = self.container.as_ref().and_then(Container::first_user);
        let users = first_user.map(|first| UserNamespace::new(host, first));
        let (mut command, report) = match &self.container {
            None => self.on_host(host),
            Some(container) => self.inside(container, users.as_ref(), host),
        };
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(handle(&errors));
        let mut launcher = command.spawn().expect("nsenter");
        let report = await_report(&mut launcher, &report)
            .unwrap_or_else(|| panic!("{command:?} is not ready\n{}", text(&mut errors)));
        Workload::new(launcher, report, self.container.as_ref())
    }

    fn on_host(&self, host: &TestHost) -> (Command, std::path::PathBuf) {
        let report = host.unused_path("ready");
        let workload = Artifacts::of_workspace().workload();
        let mut command = match &self.network {
            Network::Host => host.command(workload),
            Network::Named(namespace) => host.command_in(Some(&namespace.path()), workload),
            Network::Own => {
                let mut command = host.command("unshare");
                command.args(["--net", "--"]).arg(workload);
                command
            }
        };
        command.arg("session").args(&self.directives).arg("ready").arg(&report);
        (command, report)
    }

    fn inside(
        &self,
        container: &Container,
        users: Option<&UserNamespace>,
        host: &TestHost,
    ) -> (Command, std::path::PathBuf) {
        let name = host.unused_path("ready");
        let name = name.file_name().expect("a name");
        let network = match &self.network {
            Network::Named(namespace) => Some(namespace.path()),
            Network::Host | Network::Own => None,
        };
        let mut command = host.command_in(network.as_deref(), "nsenter");
        command.args(users.map(UserNamespace::entry).unwrap_or_default());
        command.args(["--", "unshare", "--pid", "--fork", "--mount", "--propagation", "private"]);
        if let Network::Own = self.network {
            command.arg("--net");
        }
        command.arg("--").arg(Artifacts::of_workspace().workload()).args(container.entry());
        command.arg("session").args(&self.directives).arg("ready").arg(Path::new("/").join(name));
        // What is mounted on its root shows in the host only.
        (command, host.path(container.root().join(name)))
    }
}

fn await_report(launcher: &mut Child, file: &Path) -> Option<Report> {
    let ended = |launcher: &mut Child| launcher.try_wait().expect("a child's status").is_some();
    let report = wait_until(|| match fs::read_to_string(file) {
        Ok(report) => Some(Some(report)),
        Err(_) if ended(launcher) => Some(None),
        Err(_) => None,
    })??;
    fs::remove_file(file).expect("the report of a tree");
    Some(Report::parse(&report, innermost(launcher.id())))
}

/// Programs that enter namespaces wait for their only child; the tree's root is the first that has
/// become the workload.
fn innermost(launcher: u32) -> u32 {
    let is_workload =
        |pid: u32| process::program(pid).is_some_and(|path| !path.ends_with("nsenter") && !path.ends_with("unshare"));
    let mut pid = launcher;
    while !is_workload(pid) {
        pid = *process::children(pid).first().expect("the tree's root process");
    }
    pid
}
