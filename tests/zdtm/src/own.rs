// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Starting a test of the project's own: the program that all privileged tests dump, told by the description what to
//! do. It has the flavours h and ns.

use std::fs;
use std::path::Path;

use testkit::{Access, Container, Launch, Network, TestHost, Word};

use crate::description::{Description, Flavour};
use crate::running::{Obstacle, Running};

/// What stands for the test's directory in a directive.
const DIRECTORY: &str = "{dir}";

/// Starts the tree.
///
/// # Panics
/// If a directive fails.
pub(crate) fn start(description: &Description, flavour: Flavour, host: &TestHost) -> Result<Running, Obstacle> {
    let container = match flavour {
        Flavour::Host => None,
        Flavour::Own => Some(container(description, host)),
        Flavour::User => {
            return Err(Obstacle::NotStarted("the workload has no user namespace".to_owned()));
        }
    };
    let directory = container.as_ref().map_or_else(|| host.dir().to_owned(), |_| "/tmp".into());
    let directives = directives(description, &directory);
    let words: Vec<Word<'_>> = directives.iter().map(|word| word as Word<'_>).collect();
    let network = match &description.network {
        Some(name) => Network::Named(host.net_namespace(name)),
        None if flavour == Flavour::Host => Network::Host,
        None => Network::Own,
    };
    let mut launch = Launch::new(&words).network(network);
    if let Some(container) = &container {
        launch = launch.container(container);
    }
    let workload = launch.start(host);
    Ok(Running {
        pid: workload.pid(),
        dump_options: container.map(|container| container.dump_options()).unwrap_or_default(),
        watched: vec![host.dir().to_owned(), "/dev/shm".into()],
        logs: None,
        directory: None,
        workload: Some(workload),
    })
}

fn container(description: &Description, host: &TestHost) -> Container {
    let container = Container::new(host, "root");
    match &description.volume {
        Some(place) => {
            let source = host.dir().join("volume");
            fs::create_dir(&source).expect("a new directory");
            container.bind(&source, place.as_ref(), Access::ReadWrite)
        }
        None => container,
    }
}

fn directives(description: &Description, directory: &Path) -> Vec<String> {
    let directory = directory.display().to_string();
    description.directives.iter().map(|word| word.replace(DIRECTORY, &directory)).collect()
}
