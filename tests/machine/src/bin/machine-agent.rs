// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Runs scripts inside a machine for the host. Started by `/project/init`, or by systemd.
//!
//! The output of a script goes through files: a process that outlives its script keeps nobody waiting.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use machine::protocol::{Frame, PORT};

/// How often the output of a running script is looked at.
const INTERVAL: Duration = Duration::from_millis(10);

/// Where the output of scripts goes; it has to be a file system in memory.
const DIRECTORY: &str = "/run/machine-agent";

/// How much of a file goes into one frame.
const PIECE: usize = 64 << 10;

fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("machine-agent: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> io::Result<()> {
    fs::create_dir_all(DIRECTORY)?;
    let mut port = OpenOptions::new().read(true).write(true).open(port()?)?;
    Frame::Ready.write(&mut port)?;
    while let Some(frame) = Frame::read(&mut port)? {
        if let Frame::Script(text) = frame {
            let status = run(&text, &mut port)?;
            let code = status.code().or(status.signal().map(|signal| -signal)).unwrap_or(i32::MIN);
            Frame::Exit(code).write(&mut port)?;
        }
    }
    Ok(())
}

/// The device of the port: its name is the kernel's business.
fn port() -> io::Result<PathBuf> {
    for entry in fs::read_dir("/sys/class/virtio-ports")?.flatten() {
        if fs::read_to_string(entry.path().join("name"))?.trim() == PORT {
            return Ok(PathBuf::from("/dev").join(entry.file_name()));
        }
    }
    Err(io::Error::new(io::ErrorKind::NotFound, "this machine has no port for the agent"))
}

fn run(script: &[u8], port: &mut File) -> io::Result<ExitStatus> {
    let path = |name: &str| PathBuf::from(DIRECTORY).join(name);
    fs::write(path("script"), script)?;
    let (out, errors) = (path("stdout"), path("stderr"));
    let mut command = Command::new("/bin/bash");
    command.arg(path("script")).current_dir("/").process_group(0);
    command.env_clear().env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    command.env("LC_ALL", "C").env("HOME", "/root");
    command.stdin(Stdio::null()).stdout(File::create(&out)?).stderr(File::create(&errors)?);
    let mut child = command.spawn()?;
    let (mut out, mut errors) = (File::open(out)?, File::open(errors)?);
    let status = loop {
        let status = ended(&mut child)?;
        forward(&mut out, Frame::Output, port)?;
        forward(&mut errors, Frame::Errors, port)?;
        if let Some(status) = status {
            break status;
        }
    };
    Ok(status)
}

/// Waits a little for the script to end.
fn ended(child: &mut Child) -> io::Result<Option<ExitStatus>> {
    let status = child.try_wait()?;
    if status.is_none() {
        thread::sleep(INTERVAL);
    }
    Ok(status)
}

/// Sends what has come to the file since.
fn forward(file: &mut File, frame: fn(Vec<u8>) -> Frame, port: &mut File) -> io::Result<()> {
    let mut bytes = vec![0; PIECE];
    loop {
        let length = file.read(&mut bytes)?;
        if length == 0 {
            return Ok(());
        }
        frame(bytes[..length].to_vec()).write(port)?;
    }
}
