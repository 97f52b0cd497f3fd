// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The program that the privileged tests dump.
//!
//! It puts itself into a state, told by directives on its command line, says that it is ready, and
//! sleeps for ever. It must stay static (a container's root holds nothing else), must hold no
//! descriptor but those its directives ask for, and must work as process 1 of a pid namespace.

mod children;
mod container;
mod directive;
mod files;
mod report;
mod shared_memory;
mod sockets;
mod waits;

use std::convert::Infallible;
use std::error::Error;
use std::ffi::OsString;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::process::ExitCode;

use directive::Directive;
use report::Report;

/// What the program holds on to until it is dumped or killed.
#[derive(Default)]
struct Held {
    descriptors: Vec<OwnedFd>,
    server: Option<TcpListener>,
    echo: Option<TcpStream>,
}

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    match run(&arguments) {
        Ok(never) => match never {},
        Err(error) => {
            eprintln!("workload: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[OsString]) -> Outcome<Infallible> {
    let directives = directive::parse(arguments)?;
    let mut held = Held::default();
    let mut report = Report::new();
    for directive in &directives {
        apply(directive, &mut held, &mut report).map_err(|error| format!("{directive:?}: {error}"))?;
    }
    report.finish()?;
    rest(&held)
}

fn apply(directive: &Directive, held: &mut Held, report: &mut Report) -> Outcome {
    let mut keep = |descriptors: Vec<OwnedFd>| held.descriptors.extend(descriptors);
    match directive {
        Directive::NewSession => rustix::process::setsid().map(drop)?,
        Directive::Enter(entry) => container::enter(entry)?,
        Directive::Remove(path) if path.is_dir() => std::fs::remove_dir(path)?,
        Directive::Remove(path) => std::fs::remove_file(path)?,
        Directive::RemoveOld(path) => files::remove_old(path)?,
        Directive::Open(path) => keep(vec![std::fs::File::open(path)?.into()]),
        Directive::Link(path, name) => std::fs::hard_link(path, name)?,
        Directive::Deleted(path) => keep(files::deleted(path)?),
        Directive::DeletedTwice(path) => keep(files::deleted_twice(path)?),
        Directive::DeletedSocket(path) => keep(files::deleted_socket(path)?),
        Directive::DeletedFifo(path) => keep(files::deleted_fifo(path)?),
        Directive::DeletedSymlink(path) => keep(files::deleted_symlink(path)?),
        Directive::DeletedDirectory(path) => keep(files::deleted_with_directory(path)?),
        Directive::DeletedProgram(path, rest) => files::become_deleted_program(path, rest)?,
        Directive::Semaphore(name) => shared_memory::semaphore(name)?,
        Directive::ListenConnect(address) => keep(sockets::listen_connect(*address, report)?),
        Directive::HalfClosed(address) => keep(sockets::half_closed(*address, report)?),
        Directive::Connect(address) => keep(sockets::connect(*address, report)?),
        Directive::Echo(address) => held.echo = Some(sockets::client(*address, report)?),
        Directive::Listen(address) => keep(sockets::listen(*address, report)?),
        Directive::Serve(address) => held.server = Some(sockets::server(*address, report)?),
        Directive::OwnMounts(source, target) => container::mount_alone(source, target)?,
        Directive::Waits(path) => waits::begin(path)?,
        Directive::Child(arguments) => children::start(arguments, report)?,
        Directive::Ready(path) => report.write_to(path),
    }
    Ok(())
}

/// Sleeps for ever; a server accepts meanwhile and keeps what it accepted, and an echo answers.
fn rest(held: &Held) -> Outcome<Infallible> {
    let mut accepted = Vec::new();
    loop {
        match (&held.server, &held.echo) {
            (Some(server), _) => accepted.push(server.accept()?),
            (None, Some(peer)) => sockets::echo(peer),
            (None, None) => rustix::event::pause(),
        }
    }
}
