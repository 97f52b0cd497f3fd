// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Starting a test of the project's own: the program that all privileged tests dump, with the directives of the
//! description.

use std::fs;
use std::path::Path;

use testkit::{Access, Container, Launch, Network, TestHost, Word};

use crate::description::{Description, Flavour};
use crate::fixture;
use crate::running::{Obstacle, Running};
use crate::session::Session;
use crate::verdict::reason_of_launch;

/// What stands for the test's directory in a directive.
const DIRECTORY: &str = "{dir}";

/// The user of the host that is root in a test's user namespace.
const FIRST_USER: u32 = 100_000;

/// Starts the tree.
pub(crate) fn start(
    description: &Description,
    flavour: Flavour,
    host: &TestHost,
    session: &mut Session<'_>,
) -> Result<Running, Obstacle> {
    fixture::attempt(|| launch(description, flavour, host)).map_err(|panic| {
        let why = reason_of_launch(&panic);
        session.transcript.record_text("start", "a panic", panic);
        Obstacle::NotStarted(why)
    })
}

fn launch(description: &Description, flavour: Flavour, host: &TestHost) -> Running {
    let container = match flavour {
        Flavour::Host => None,
        Flavour::Own => Some(container(description, Container::new(host, "root"), host)),
        Flavour::User => Some(container(description, Container::new(host, "root").users_from(FIRST_USER), host)),
    };
    let directory = container.as_ref().map_or_else(|| host.dir().to_owned(), |_| "/tmp".into());
    let directives = directives(description, &directory);
    let words: Vec<Word<'_>> = directives.iter().map(|word| word as Word<'_>).collect();
    let network = match &description.network {
        Some(name) => Network::Named(host.make_net_namespace(name)),
        None if flavour == Flavour::Host => Network::Host,
        None => Network::Own,
    };
    let mut launch = Launch::new(&words).network(network);
    if let Some(container) = &container {
        launch = launch.container(container);
    }
    let workload = launch.start(host);
    Running {
        pid: workload.pid(),
        dump_options: container.map(|container| container.dump_options()).unwrap_or_default(),
        watched: vec![host.dir().to_owned(), "/dev/shm".into()],
        logs: None,
        directory: None,
        workload: Some(workload),
    }
}

fn container(description: &Description, container: Container, host: &TestHost) -> Container {
    match &description.volume {
        Some(place) => {
            let source = host.dir().join("volume");
            fs::create_dir(&source).expect("a new directory");
            container.give(&source);
            container.bind(&source, place.as_ref(), Access::ReadWrite)
        }
        None => container,
    }
}

fn directives(description: &Description, directory: &Path) -> Vec<String> {
    let directory = directory.display().to_string();
    description.directives.iter().map(|word| word.replace(DIRECTORY, &directory)).collect()
}
