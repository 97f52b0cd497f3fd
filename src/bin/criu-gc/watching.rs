// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `criu-gc watch`: a scan of the host in each period, and what is new in it.
//!
//! It looks at nothing itself, and removes nothing: each pass is a `criu-gc scan` with options of its own. It needs no
//! supervisor, because it accesses no filesystem.

mod events;
mod pass;
mod seen;
mod serve;

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::{Instant, SystemTime};

use rustix::event::{PollFd, PollFlags, poll};
use serde::Serialize;

use self::events::{Event, Memory};
use self::pass::{Pass, PassError, Wait, time_until};
use self::seen::Seen;
use self::serve::Page;
use crate::cli::{Removal, WatchArguments};
use crate::exit::ExitStatus;
use crate::interrupt::{Interrupt, Signal};
use crate::metrics;
use crate::privilege::{self, Duty};
use crate::terminal::{Messages, Terminal};

#[derive(Serialize)]
struct Record<'a> {
    time: String,
    #[serde(flatten)]
    event: &'a Event,
}

/// Watches until a signal comes.
pub(crate) fn run(arguments: &WatchArguments) -> io::Result<ExitStatus> {
    let terminal = Terminal::new(0, Messages::StandardError);
    let refuse = |what: &str, error: &dyn std::fmt::Display| {
        terminal.error(&format!("{what}: {error}; nothing was done"));
        Ok(ExitStatus::Unusable)
    };
    if let Err(error) = privilege::confine(duty(arguments)) {
        return refuse("cannot drop privileges", &error);
    }
    let page = match arguments.listen.map(serve::start).transpose() {
        Ok(page) => page,
        Err(error) => return refuse("cannot listen", &error),
    };
    let interrupt = Interrupt::count().and_then(|interrupt| Ok((interrupt, Interrupt::wake()?)));
    let (interrupt, wake) = match interrupt {
        Ok(interrupt) => interrupt,
        Err(error) => return refuse("cannot handle signals", &error),
    };
    // What a killed pass leaves behind becomes a child of this process, which so knows of it.
    if let Err(error) = rustix::process::set_child_subreaper(Some(rustix::process::getpid())) {
        return refuse("cannot become a subreaper", &error);
    }
    let words = arguments.pass();
    let (memory, tally) = (Memory::default(), Tally::default());
    Watch { arguments, words, terminal: &terminal, interrupt, wake, page, memory, tally, figures: None }.run()
}

/// What the passes need, which can have no more than this process keeps.
fn duty(arguments: &WatchArguments) -> Duty {
    match (arguments.removal(), arguments.writes_metrics()) {
        (Removal::None, false) => Duty::Look,
        (Removal::None, true) => Duty::LookAndLog,
        (Removal::Litter, _) => Duty::Remove,
        (Removal::LitterAndProcesses, _) => Duty::RemoveAndKill,
    }
}

/// How many passes there were, and what they did.
#[derive(Debug, Default)]
struct Tally {
    complete: u64,
    incomplete: u64,
    failed: u64,
    cleaned: u64,
}

impl Tally {
    fn text(&self) -> String {
        let passes = [("complete", self.complete), ("incomplete", self.incomplete), ("failed", self.failed)];
        let passes = passes.map(|(result, count)| (format!("{{result=\"{result}\"}}"), count.to_string()));
        let help = "Passes, by whether they could look at everything.";
        let cleaned = [(String::new(), self.cleaned.to_string())];
        metrics::family("criu_gc_passes_total", "counter", help, &passes)
            + &metrics::family("criu_gc_cleaned_total", "counter", "Objects that were removed.", &cleaned)
    }
}

struct Watch<'a> {
    arguments: &'a WatchArguments,
    /// The words of a pass.
    words: Vec<OsString>,
    terminal: &'a Terminal,
    interrupt: Interrupt,
    /// Readable once a signal has come.
    wake: UnixStream,
    page: Option<Page>,
    memory: Memory,
    tally: Tally,
    /// Those of the last pass that had a result.
    figures: Option<String>,
}

impl Watch<'_> {
    fn run(mut self) -> io::Result<ExitStatus> {
        let (every, clean) = (self.arguments.every, self.arguments.removal() != Removal::None);
        let version = env!("CARGO_PKG_VERSION");
        self.print(&Event::Started { version, every_seconds: every.as_secs_f64(), clean })?;
        loop {
            let next = Instant::now() + every;
            if let Some(signal) = self.pass()? {
                return self.end(signal);
            }
            if let Some(signal) = self.sleep(next) {
                return self.end(signal);
            }
        }
    }

    /// Makes one pass, unless a signal comes.
    fn pass(&mut self) -> io::Result<Option<Signal>> {
        let patience = self.arguments.patience();
        let until = Instant::now() + patience;
        let pass = match Pass::start(&self.words) {
            Ok(pass) => pass,
            Err(error) => return self.fail(&error).map(|()| None),
        };
        let result = loop {
            match pass.wait(Some(self.wake.as_fd()), until) {
                Wait::Ended => break pass.report(),
                Wait::Over => break pass.kill().map_err(|_| PassError::Hung(patience)),
                Wait::Woken => {}
            }
            if let Some(signal) = self.asked() {
                // Of a look that is cut short there is nothing to tell, but of a removal.
                if let (Ok(seen), true) = (pass.end(), self.arguments.removal() != Removal::None) {
                    self.take(&seen)?;
                }
                return Ok(Some(signal));
            }
        };
        match result {
            Ok(seen) => self.take(&seen)?,
            Err(error) => self.fail(&error)?,
        }
        Ok(None)
    }

    /// Tells what is new in a pass.
    fn take(&mut self, seen: &Seen) -> io::Result<()> {
        let events = self.memory.compare(seen);
        for event in &events {
            self.print(event)?;
        }
        let cleaned = events.iter().filter(|event| matches!(event, Event::Cleaned { .. })).count();
        self.tally.cleaned += u64::try_from(cleaned).unwrap_or_default();
        if seen.exit_status == ExitStatus::Unusable as u8 {
            return self.fail(&"a pass could not do all that it was asked for: standard error says why");
        }
        let count = if seen.cannot_be_known.is_empty() { &mut self.tally.complete } else { &mut self.tally.incomplete };
        *count += 1;
        self.figures = Some(seen.figures().text());
        self.publish();
        Ok(())
    }

    fn fail(&mut self, why: &dyn std::fmt::Display) -> io::Result<()> {
        self.tally.failed += 1;
        self.publish();
        self.print(&Event::Failed { why: why.to_string() })
    }

    /// Nothing is served before there are figures.
    fn publish(&self) {
        if let (Some(page), Some(figures)) = (&self.page, &self.figures) {
            page.set(format!("{figures}{}", self.tally.text()));
        }
    }

    /// Waits for that time, or a signal.
    fn sleep(&mut self, until: Instant) -> Option<Signal> {
        while Instant::now() < until {
            let mut wake = [PollFd::new(&self.wake, PollFlags::IN)];
            // A signal ends it early.
            let _ = poll(&mut wake, Some(&time_until(until)));
            if let Some(signal) = self.asked() {
                return Some(signal);
            }
        }
        None
    }

    /// The signal that has come.
    fn asked(&mut self) -> Option<Signal> {
        let signal = self.interrupt.take();
        // What is left in it ends no later wait, and it does not block.
        let _ = self.wake.read(&mut [0; 64]);
        signal
    }

    /// That a service manager ends it is no failure.
    fn end(&self, signal: Signal) -> io::Result<ExitStatus> {
        self.print(&Event::Ended { signal: signal.name() })?;
        Ok(match signal {
            Signal::Terminate => ExitStatus::Done,
            Signal::Hangup | Signal::Interrupt => ExitStatus::of_signal(signal),
        })
    }

    fn print(&self, event: &Event) -> io::Result<()> {
        let time = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        self.terminal.print_json_line(&Record { time, event })
    }
}
