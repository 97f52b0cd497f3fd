// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Starting a test of CRIU's suite: a copy of what it needs is made in a throw-away host and started there by the
//! suite's own makefile. Nothing is written to the source tree, or to the machine's /tmp and /mnt.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use testkit::{Artifacts, CommandExt, Criu, TestHost};

use crate::action::{Action, Stopped};
use crate::description::{Description, Flavour};
use crate::running::{Obstacle, Running};
use crate::session::Session;
use crate::suite::{Test, is_executable, with_extension};
use crate::verdict::reason_of_start;
use crate::{privacy, root};

/// The user and groups of tests that need no root, as the host numbers them.
const USER: [(&str, &str); 3] = [("ZDTM_UID", "18943"), ("ZDTM_GID", "58467"), ("ZDTM_GROUPS", "27495 48244")];

/// What may belong to a program, by the extension of its name.
const COMPANIONS: [&str; 3] = ["hook", "checkskip", "profile"];

/// A test of the suite, in its host.
pub(crate) struct Guest<'a> {
    test: &'a Test,
    tree: &'a Path,
    description: &'a Description,
    flavour: Flavour,
    host: &'a TestHost,
}

impl<'a> Guest<'a> {
    pub(crate) fn new(
        test: &'a Test,
        tree: &'a Path,
        description: &'a Description,
        flavour: Flavour,
        host: &'a TestHost,
    ) -> Self {
        Self { test, tree, description, flavour, host }
    }

    /// Starts the test and waits until it is ready. The programs given have to be found in the host afterwards.
    pub(crate) fn start(&self, programs: &[&Path], session: &mut Session<'_>) -> Result<Running, Obstacle> {
        let artifacts = Artifacts::of_workspace();
        let needed: Vec<_> = programs.iter().copied().chain([artifacts.target()]).collect();
        let is_private = privacy::establish(self.host, &needed).map_err(Obstacle::NotStarted)?;
        self.copy().map_err(|error| Obstacle::NotStarted(format!("cannot copy it: {error}")))?;
        self.check_skip(session)?;
        if self.flavour != Flavour::Host {
            root::construct(self.host, &self.directory(), &self.program(), &self.description.dependencies)
                .map_err(Obstacle::NotStarted)?;
        }
        let started = self.make(session)?;
        let pid = fs::read_to_string(with_extension(&self.program(), "pid")).unwrap_or_default();
        let (true, Ok(pid)) = (started.is_success(), pid.trim().parse()) else {
            let (_, said) = output(self.host, self.test).unwrap_or_default();
            return Err(Obstacle::NotStarted(reason_of_start(&said, &started.stderr)));
        };
        let mut watched = vec![self.host.dir().to_owned(), "/dev/shm".into(), "/run".into()];
        watched.extend(is_private.then(|| PathBuf::from("/tmp")));
        Ok(Running {
            pid,
            dump_options: self.dump_options(),
            watched,
            logs: Some(with_extension(&self.program(), "out")),
            directory: Some(self.directory()),
            workload: None,
        })
    }

    fn directory(&self) -> PathBuf {
        directory(self.host)
    }

    fn program(&self) -> PathBuf {
        program(self.host, self.test)
    }

    /// Copies the program with its companions, the makefiles and the library: not the others' programs, and nothing
    /// that an earlier run left there.
    fn copy(&self) -> std::io::Result<()> {
        let (from, to) = (self.tree.join("zdtm"), self.directory().join("zdtm"));
        let program = from.join(&self.test.name);
        let (group, own_group) = (program.parent().unwrap_or(&from), self.program());
        let own_group = own_group.parent().unwrap_or(&to);
        fs::create_dir_all(own_group)?;
        // Times matter: make would build the library anew.
        Command::new("cp").arg("--archive").arg(from.join("lib")).arg(to.join("lib")).succeed();
        let companions = COMPANIONS.map(|extension| with_extension(&program, extension));
        let libraries = fs::read_dir(group)?.flatten().map(|entry| entry.path());
        let libraries = libraries.filter(|path| path.extension().is_some_and(|extension| extension == "so"));
        for path in companions.into_iter().filter(|path| path.exists()).chain(libraries) {
            fs::copy(&path, own_group.join(path.file_name().unwrap_or_default()))?;
        }
        fs::copy(group.join("Makefile"), own_group.join("Makefile"))?;
        fs::copy(from.join("Makefile.inc"), to.join("Makefile.inc"))?;
        fs::copy(&program, self.program())?;
        // Root of a user namespace, and tests without root, are somebody else.
        let open = |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(0o777));
        open(&self.directory()).and_then(|()| open(own_group))
    }

    fn check_skip(&self, session: &mut Session<'_>) -> Result<(), Obstacle> {
        let script = with_extension(&self.program(), "checkskip");
        if !is_executable(&script) {
            return Ok(());
        }
        match session.run("checkskip", &mut at(self.host, &self.directory(), script.as_os_str()))?.is_success() {
            true => Ok(()),
            false => Err(Obstacle::Skipped("its checkskip script says that it is not for this machine".to_owned())),
        }
    }

    /// The start by the suite's makefile. The hook for it runs at the same time: the test may wait for what it makes.
    fn make(&self, session: &mut Session<'_>) -> Result<Action, Stopped> {
        let place = if self.flavour == Flavour::Host { self.directory() } else { PathBuf::from(root::PLACE) };
        let (group, name) = self.test.name.split_once('/').unwrap_or(("static", &self.test.name));
        let mut make = at(self.host, &place, "make".as_ref());
        make.args(["--no-print-directory", "-C", &format!("zdtm/{group}"), &format!("{name}.pid")]);
        make.envs(self.environment());
        let watch = session.start_watch();
        let (started, hook) = thread::scope(|scope| {
            let started = scope.spawn(move || watch.run("start", &mut make));
            let hook = hook(self.host, &self.directory(), &self.program(), "--post-start", None);
            let hook = hook.map(|mut hook| watch.run("hook --post-start", &mut hook));
            (started.join().expect("a start of make"), hook)
        });
        let started = session.note(started);
        hook.map(|hook| session.note(hook)).transpose()?;
        started
    }

    fn environment(&self) -> Vec<(&'static str, &'a str)> {
        let mut variables = vec![("TMPDIR", "/tmp"), ("ZDTM_THREAD_BOMB", "5")];
        if !self.description.is_for_root() && may_dump_other_users() {
            variables.extend(USER);
        }
        if self.flavour != Flavour::Host {
            variables.extend([("ZDTM_NEWNS", "1"), ("ZDTM_ROOT", root::PLACE), ("ZDTM_DEV", root::DEVICES)]);
            variables.extend(self.description.bind.as_deref().map(|place| ("ZDTM_BIND", place)));
        }
        if self.flavour == Flavour::User {
            variables.push(("ZDTM_USERNS", "1"));
        }
        variables
    }

    fn dump_options(&self) -> Vec<std::ffi::OsString> {
        match self.flavour {
            Flavour::Host => Vec::new(),
            _ => ["--root", root::PLACE, "--external", "mnt[/dev]:ZDTM_DEV"].map(Into::into).to_vec(),
        }
    }
}

/// What the test itself has written so far, dumped or not, and the name of that file.
pub(crate) fn output(host: &TestHost, test: &Test) -> Option<(String, String)> {
    let program = program(host, test);
    ["out", "out.inprogress"].into_iter().find_map(|extension| {
        let path = with_extension(&program, extension);
        let text = fs::read(&path).ok()?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Some((name, String::from_utf8_lossy(&text).into_owned()))
    })
}

/// The copy of the suite's `test` directory.
fn directory(host: &TestHost) -> PathBuf {
    host.dir().join("test")
}

fn program(host: &TestHost, test: &Test) -> PathBuf {
    directory(host).join("zdtm").join(&test.name)
}

/// A call of the hook that the suite has for its test, if there is one.
pub(crate) fn hook(
    host: &TestHost,
    directory: &Path,
    program: &Path,
    action: &str,
    pid: Option<u32>,
) -> Option<Command> {
    let hook = with_extension(program, "hook");
    if !is_executable(&hook) {
        return None;
    }
    let mut command = at(host, directory, hook.as_os_str());
    command.arg(action).envs(pid.map(|pid| ("ZDTM_TEST_PID", pid.to_string())));
    // Hooks import CRIU's modules for Python, which the user's tree may have not built.
    command.env("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", "python").env("PYTHONDONTWRITEBYTECODE", "1");
    command.envs(Criu::all().last().map(|criu| ("PYTHONPATH", criu.python_path())));
    Some(command)
}

/// A command that runs in a directory of the host.
fn at(host: &TestHost, directory: &Path, program: &std::ffi::OsStr) -> Command {
    let mut command = host.command("env");
    command.arg(format!("--chdir={}", directory.display())).arg(program);
    command
}

/// Whether criu can read the limits of another user's processes here. Where it cannot, all tests run as root.
fn may_dump_other_users() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let capabilities = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    capabilities.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()).is_some_and(has_sys_resource)
}

fn has_sys_resource(capabilities: u64) -> bool {
    capabilities & (1 << 24) != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_capability_that_other_users_take() {
        assert!(has_sys_resource(0x1ff_ffff_ffff));
        assert!(!has_sys_resource(0x1ff_feff_ffff));
    }
}
