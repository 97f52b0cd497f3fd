// SPDX-License-Identifier: Apache-2.0 OR MIT
//! QEMU's command line and process.

use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::Error;
use crate::hardware::{Clock, Hardware, Init};
use crate::protocol::PORT;

const PROGRAM: &str = "qemu-system-x86_64";

/// QEMU connects to us as soon as it starts.
const CONNECTS_WITHIN: Duration = Duration::from_secs(30);

/// A running QEMU, killed when this goes out of scope. If this process is killed, the kernel kills QEMU.
#[derive(Debug)]
pub(crate) struct Qemu {
    child: Child,
}

impl Qemu {
    /// Starts it, and gives the port of the agent.
    pub(crate) fn start(hardware: &Hardware, name: &str) -> Result<(Self, UnixStream), Error> {
        let socket = hardware.file(&format!("{name}.socket"));
        let file = |source| Error::File { action: "listen at", path: socket.clone(), source };
        let listener = UnixListener::bind(&socket).map_err(file)?;
        listener.set_nonblocking(true).map_err(file)?;
        let mut command = command(hardware, name, &socket);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let log = hardware.file(&format!("{name}.qemu"));
        command.stderr(std::fs::File::create(&log).map_err(file)?);
        let child = command.spawn().map_err(|source| Error::Start { program: PROGRAM, source })?;
        let mut qemu = Self { child };
        let end = Instant::now() + CONNECTS_WITHIN;
        loop {
            match listener.accept() {
                Ok((port, _)) => {
                    port.set_nonblocking(false).map_err(file)?;
                    return Ok((qemu, port));
                }
                Err(error) if error.kind() != std::io::ErrorKind::WouldBlock => return Err(file(error)),
                Err(_) if Instant::now() > end || qemu.status().is_some() => {
                    let doing = "was to start".to_owned();
                    return Err(Error::Ended { doing, console: std::fs::read_to_string(log).unwrap_or_default() });
                }
                Err(_) => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    /// How it ended, if it has.
    pub(crate) fn status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits until it ends by itself; nothing if it does not in time.
    pub(crate) fn await_end(&mut self, limit: Duration) -> Option<ExitStatus> {
        let end = Instant::now() + limit;
        loop {
            match self.status() {
                Some(status) => return Some(status),
                None if Instant::now() > end => return None,
                None => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }

    /// Ends it at once, as a power cut would: what the machine did not give to its disks is lost.
    pub(crate) fn kill(&mut self) {
        // One that has ended already needs neither.
        self.child.kill().and_then(|()| self.child.wait().map(drop)).unwrap_or(());
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The first disks are the root, the kernel's modules and the project; they are found by their serial numbers.
fn command(hardware: &Hardware, name: &str, socket: &Path) -> Command {
    // It has no option to die with the process that started it.
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--", PROGRAM]);
    command.args(["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "1", "-m", "2048", "-display", "none"]);
    command.args(["-no-user-config", "-nodefaults", "-no-reboot", "-nic", "none"]);
    let kernel = hardware.installation.kernel(hardware.kernel);
    command.arg("-kernel").arg(kernel.join("vmlinuz")).arg("-initrd").arg(kernel.join("initramfs"));
    command.args(["-append", &arguments(hardware)]);
    drive(&mut command, "root", &hardware.root(), "qcow2", "off");
    drive(&mut command, "modules", &kernel.join("modules.img"), "raw", "on");
    drive(&mut command, "project", &hardware.installation.project(), "raw", "on");
    for disk in &hardware.disks {
        drive(&mut command, &disk.name, &disk.path, "qcow2", "off");
    }
    if let Clock::At(time) = &hardware.clock {
        command.args(["-rtc", &format!("base={time},clock=vm")]);
    }
    let console = hardware.file(&format!("{name}.console"));
    command.args(["-serial", &format!("file:{}", console.display())]);
    command.args(["-device", "virtio-serial-pci", "-chardev", &format!("socket,id=agent,path={}", socket.display())]);
    command.args(["-device", &format!("virtserialport,chardev=agent,name={PORT}")]);
    command
}

/// What the machine flushes reaches the host's page cache, where it outlives QEMU; it need not reach the host's disks.
fn drive(command: &mut Command, name: &str, path: &Path, format: &str, is_read_only: &str) {
    let file = path.display();
    command.args([
        "-drive",
        &format!("file={file},format={format},cache=unsafe,if=none,id={name},readonly={is_read_only}"),
    ]);
    command.args(["-device", &format!("virtio-blk-pci,drive={name},serial={name}")]);
}

fn arguments(hardware: &Hardware) -> String {
    let init = match hardware.init {
        Init::Script => "machine.init=script",
        Init::Systemd => "machine.init=systemd",
    };
    // On a busy host the kernel takes late ticks for a timer that does not work, and panics.
    let fixed = ["console=ttyS0", "panic=-1", "loglevel=5", "no_timer_check", init];
    let all: Vec<&str> = fixed.into_iter().chain(hardware.arguments.iter().map(String::as_str)).collect();
    all.join(" ")
}
