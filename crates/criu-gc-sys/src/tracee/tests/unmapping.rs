// SPDX-License-Identifier: Apache-2.0 OR MIT
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, ChildStdout, Stdio};

use super::*;

/// A program in Python that shares memory, says so, and does something.
struct Mapper {
    child: Sleeper,
    output: BufReader<ChildStdout>,
}

impl Mapper {
    fn start(code: &str) -> Self {
        let head = "import ctypes,mmap,os,select,signal,struct,threading,time\nm=mmap.mmap(-1,8192)\n";
        let mut command = Command::new("python3");
        let command = command.arg("-c").arg(format!("{head}{code}")).stdout(Stdio::piped());
        let mut child = Sleeper(command.spawn().unwrap());
        let output = BufReader::new(child.0.stdout.take().unwrap());
        let mut mapper = Mapper { child, output };
        assert_eq!(mapper.line(), "ready");
        sleep(Duration::from_millis(100));
        mapper
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        let _ = self.output.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    /// Where its shared memory is.
    fn mapping(&self) -> Option<(u64, u64)> {
        let maps = fs::read_to_string(format!("/proc/{}/maps", pid_of(&self.child.0))).unwrap();
        let line = maps.lines().find(|line| line.ends_with("/dev/zero (deleted)"))?;
        let (start, end) = line.split(' ').next()?.split_once('-')?;
        let number = |text| u64::from_str_radix(text, 16).unwrap();
        Some((number(start), number(end) - number(start)))
    }

    fn unmap(&self) -> Result<(), CallError> {
        let (start, length) = self.mapping().unwrap();
        unmap(&self.child.0, start, length)
    }

    /// The memory goes, and what the program did meanwhile comes to the same end.
    #[track_caller]
    fn assert_unmaps(code: &str, end: &str) {
        let mut mapper = Mapper::start(code);
        match mapper.unmap() {
            // Only root may switch the filters of system calls off.
            Err(CallError::Refused(Errno::PERM)) if !rustix::process::geteuid().is_root() => return,
            result => assert_eq!(result, Ok(()), "{code}"),
        }
        assert_eq!(mapper.mapping(), None, "{code}");
        assert_eq!(mapper.line(), end, "{code}");
        assert!(mapper.child.0.wait().unwrap().success(), "{code}");
    }

    fn send(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(pid_of(&self.child.0), signal).unwrap();
    }

    fn state(&self) -> char {
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid_of(&self.child.0))).unwrap();
        stat.rsplit_once(") ").unwrap().1.chars().next().unwrap()
    }
}

fn unmap(child: &Child, start: u64, length: u64) -> Result<(), CallError> {
    Tracee::seize(pid_of(child), Duration::from_secs(10)).unwrap().unmap(start, length, Duration::from_millis(500))
}

/// Says how long something took, and what came out.
fn timed(what: &str) -> String {
    format!("print('ready',flush=True);t=time.monotonic();r={what};print(r,1<time.monotonic()-t<9)")
}

#[test]
fn an_interrupted_call_comes_to_its_own_end() {
    Mapper::assert_unmaps(&timed("time.sleep(1.2)"), "None True");
    Mapper::assert_unmaps(&timed("select.select([],[],[],1.2)"), "([], [], []) True");
    Mapper::assert_unmaps(&timed("ctypes.CDLL(None).poll(None,0,1200)"), "0 True");
    Mapper::assert_unmaps(&timed("ctypes.CDLL(None).usleep(1200000)"), "0 True");
    Mapper::assert_unmaps(&timed("threading.Event().wait(1.2)"), "False True");
}

#[test]
fn a_thread_outside_of_calls_makes_its_next_one() {
    let loops = "[os.getppid() for _ in iter(lambda: time.monotonic()-t<1.2,False)][0]==os.getppid()";
    Mapper::assert_unmaps(&timed(loops), "True True");
}

#[test]
fn a_signal_ends_the_interrupted_call_as_always() {
    let handler = "signal.signal(signal.SIGUSR1,lambda *_:None);print('ready',flush=True)";
    let code = format!("{handler};print(ctypes.CDLL(None,use_errno=True).poll(None,0,9000),ctypes.get_errno())");
    for comes_before in [true, false] {
        let mut mapper = Mapper::start(&code);
        let (start, length) = mapper.mapping().unwrap();
        let mut tracee = Tracee::seize(pid_of(&mapper.child.0), Duration::from_secs(10)).unwrap();
        if comes_before {
            mapper.send(rustix::process::Signal::USR1);
        }
        match tracee.unmap(start, length, Duration::from_secs(2)) {
            Err(CallError::Refused(Errno::PERM)) if !rustix::process::geteuid().is_root() => return,
            result => assert_eq!(result, Ok(())),
        }
        mapper.send(rustix::process::Signal::USR1);
        drop(tracee);
        assert_eq!((mapper.line().as_str(), mapper.mapping()), ("-1 4", None), "before: {comes_before}");
    }
}

#[test]
fn a_program_without_calls_is_left_as_it_is() {
    let mut mapper = Mapper::start("print('ready',flush=True)\nfor i in range(10**9):\n i+1");
    assert!(matches!(mapper.unmap(), Err(CallError::NoCall | CallError::Refused(Errno::PERM))));
    assert!(mapper.mapping().is_some() && mapper.state() == 'R' && mapper.child.0.try_wait().unwrap().is_none());
}

#[test]
fn a_program_that_may_not_unmap_anything_is_not_killed() {
    // The filter ends a process at `munmap`.
    let filter = "b=ctypes.create_string_buffer(struct.pack('HBBI'*4,32,0,0,0,21,0,1,11,6,0,0,1<<31,6,0,0,0x7fff0000))";
    let program = "p=ctypes.create_string_buffer(struct.pack('HxxxxxxQ',4,ctypes.addressof(b)))";
    let install = "l=ctypes.CDLL(None);assert l.prctl(38,1,0,0,0)==0 and l.prctl(22,2,p)==0";
    let code = format!(
        "{filter};{program};{install};{};os._exit(0)",
        timed("time.sleep(1.2)").replace("<9)", "<9,flush=True)")
    );
    Mapper::assert_unmaps(&code, "None True");
}

#[test]
fn a_stopped_program_stays_stopped() {
    let mut mapper = Mapper::start(&timed("time.sleep(1.2)"));
    mapper.send(rustix::process::Signal::STOP);
    sleep(Duration::from_millis(100));
    match mapper.unmap() {
        Err(CallError::Refused(Errno::PERM)) if !rustix::process::geteuid().is_root() => return,
        result => assert_eq!(result, Ok(())),
    }
    sleep(Duration::from_millis(100));
    assert_eq!((mapper.mapping(), mapper.state()), (None, 'T'));
    mapper.send(rustix::process::Signal::CONT);
    assert_eq!(mapper.line(), "None True");

    let mapper = Mapper::start("print('ready',flush=True)\nfor i in range(10**9):\n i+1");
    mapper.send(rustix::process::Signal::STOP);
    sleep(Duration::from_millis(100));
    assert_eq!(mapper.unmap(), Err(CallError::Stopped));
    sleep(Duration::from_millis(100));
    assert!(mapper.mapping().is_some() && mapper.state() == 'T');
}

/// A program of 32 bits that waits for ever: `pause`, which is system call 29 there, and a jump back.
fn program_of_32_bits() -> Vec<u8> {
    let code = [0xb8, 29, 0, 0, 0, 0xcd, 0x80, 0xeb, 0xf7];
    let (base, headers) = (0x0804_8000_u32, 52 + 32_u32);
    let length = headers + u32::try_from(code.len()).unwrap();
    let mut program = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x03\0".to_vec();
    let words = [1, base + headers, 52, 0, 0, 52 | 32 << 16, 1, 0, 1, 0, base, base, length, length, 5, 0x1000_u32];
    program.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    program.extend(code);
    program
}

#[test]
fn a_program_of_32_bits_is_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("program");
    fs::write(&path, program_of_32_bits()).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let mut child = Sleeper(Command::new(&path).spawn().unwrap());
    sleep(Duration::from_millis(100));
    assert_eq!(unmap(&child.0, 0x0804_8000, 0x1000), Err(CallError::OtherArchitecture));
    assert!(child.0.try_wait().unwrap().is_none());
}
