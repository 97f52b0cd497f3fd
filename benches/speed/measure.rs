// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Runs programs in turn, and prints minima, ratios and exponents.

use std::ffi::OsString;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use testkit::{CommandExt, TestHost};

/// A program that is measured.
pub(crate) struct Subject<'a> {
    command: Vec<OsString>,
    prepare: Option<&'a dyn Fn()>,
    statuses: &'static [i32],
}

impl<'a> Subject<'a> {
    /// A program with its arguments.
    pub(crate) fn new(program: impl Into<OsString>) -> Self {
        Subject { command: vec![program.into()], prepare: None, statuses: &[0] }
    }

    /// criu-gc.
    pub(crate) fn criu_gc() -> Self {
        Subject::new(criu_gc())
    }

    /// A floor program.
    pub(crate) fn floor(name: &str) -> Self {
        Subject::new(itself()).args([format!("floor:{name}")])
    }

    /// Words of a shell.
    pub(crate) fn shell(script: &str) -> Self {
        Subject::new("sh").args(["-e", "-c", script])
    }

    pub(crate) fn args(mut self, words: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.command.extend(words.into_iter().map(Into::into));
        self
    }

    /// What is done before each run, outside the clock.
    pub(crate) fn after(mut self, prepare: &'a dyn Fn()) -> Self {
        self.prepare = Some(prepare);
        self
    }

    /// Another exit status than 0 that is right.
    pub(crate) fn ending_with(mut self, statuses: &'static [i32]) -> Self {
        self.statuses = statuses;
        self
    }
}

/// criu-gc, as it was built.
pub(crate) fn criu_gc() -> PathBuf {
    std::env::var_os(testkit::BINARY).map_or_else(|| env!("CARGO_BIN_EXE_criu-gc").into(), PathBuf::from)
}

/// This program, for a role.
pub(crate) fn itself() -> PathBuf {
    std::env::current_exe().expect("this program")
}

/// The best of some runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Best {
    /// From the start to the end.
    pub(crate) wall: Duration,
    /// Of all its processes.
    pub(crate) cpu: Duration,
    /// The most memory that one of its processes had, in KiB.
    pub(crate) peak: u64,
}

impl Best {
    pub(crate) fn plus(self, other: Best) -> Best {
        Best { wall: self.wall + other.wall, cpu: self.cpu + other.cpu, peak: self.peak.max(other.peak) }
    }
}

/// Runs all of them in turn, so many times, and gives the best run of each.
pub(crate) fn interleave<const N: usize>(host: &TestHost, subjects: [Subject<'_>; N], rounds: usize) -> [Best; N] {
    let mut best = [Best { wall: Duration::MAX, cpu: Duration::MAX, peak: 0 }; N];
    for _ in 0..rounds {
        for (subject, best) in subjects.iter().zip(&mut best) {
            if let Some(prepare) = subject.prepare {
                prepare();
            }
            let run = run(host, subject);
            *best = Best { wall: best.wall.min(run.wall), cpu: best.cpu.min(run.cpu), peak: best.peak.max(run.peak) };
        }
    }
    best
}

fn run(host: &TestHost, subject: &Subject<'_>) -> Best {
    let finished = host.command(itself()).arg("role:time").args(&subject.command).succeed();
    let numbers: Vec<u64> = finished.stdout.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [wall, cpu, peak, status] = numbers[..] else { panic!("no measurement: {finished}") };
    let status = i32::try_from(status).expect("a status");
    assert!(
        subject.statuses.contains(&status),
        "{:?} ended with status {status}: {}",
        subject.command,
        finished.stderr
    );
    Best { wall: Duration::from_nanos(wall), cpu: Duration::from_micros(cpu), peak }
}

/// What criu-gc says with these arguments, to prove that it does the work that is measured.
#[track_caller]
pub(crate) fn assert_says(host: &TestHost, arguments: &[&str], images: &Path, words: &str) {
    let said = host.command(criu_gc()).args(arguments).arg(images).finish();
    assert!(said.stdout.contains(words), "void: {words:?} is not in {said}");
}

/// What a ratio has to be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Limit {
    /// At most so many times the floor.
    Floor(f64),
    /// At most so many times the peer.
    Peer(f64),
    /// No more than this.
    Milliseconds(u32),
    /// No more memory, in MiB.
    Memory(u64),
    /// Nothing was asked.
    None,
}

/// One line of the table.
pub(crate) struct Line<'a> {
    pub(crate) work: &'a str,
    pub(crate) size: usize,
    pub(crate) floor: Option<Best>,
    pub(crate) peer: Option<(&'a str, Best)>,
    pub(crate) ours: Best,
    pub(crate) limits: &'a [Limit],
}

/// The table on its way.
pub(crate) struct Report {
    grown: Vec<(String, usize, Option<Best>, Best)>,
    missed: Vec<String>,
}

impl Report {
    pub(crate) fn begin() -> Self {
        println!(
            "| Work | Size | Floor, ms | Peer, ms | criu-gc, ms | CPU, ms (floor) | Peak, MiB | × floor (CPU) | × peer | Must be |"
        );
        println!("|---|---|---|---|---|---|---|---|---|---|");
        Report { grown: Vec::new(), missed: Vec::new() }
    }

    pub(crate) fn add(&mut self, line: &Line<'_>) {
        let Line { work, size, floor, peer, ours, limits } = line;
        let to_floor = floor.map(|floor| ratio(*ours, floor));
        let to_peer = peer.map(|(_, peer)| ratio(*ours, peer));
        let number = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.2}"));
        let peer = peer.map_or("–".to_owned(), |(name, best)| format!("{:.1} ({name})", ms(best.wall)));
        let floor_text = number(floor.map(|floor| ms(floor.wall)));
        let mut must = Vec::new();
        for limit in *limits {
            let (words, is_kept) = match limit {
                Limit::Floor(most) => (format!("≤ {most} × floor"), to_floor.is_some_and(|ratio| ratio <= *most)),
                Limit::Peer(most) => (format!("≤ {most} × peer"), to_peer.is_some_and(|ratio| ratio <= *most)),
                Limit::Milliseconds(most) => (format!("≤ {most} ms"), ms(ours.wall) <= f64::from(*most)),
                Limit::Memory(most) => (format!("≤ {most} MiB"), ours.peak <= most * 1024),
                Limit::None => continue,
            };
            if !is_kept {
                self.missed.push(format!("{work}, {size}: {words}"));
            }
            must.push(if is_kept { words } else { format!("**{words}**") });
        }
        println!(
            "| {work} | {size} | {floor_text} | {peer} | {:.1} | {:.1} ({}) | {:.1} | {} ({}) | {} | {} |",
            ms(ours.wall),
            ms(ours.cpu),
            number(floor.map(|floor| ms(floor.cpu))),
            f64::from(u32::try_from(ours.peak).unwrap_or(u32::MAX)) / 1024.0,
            number(to_floor),
            number(floor.map(|floor| ms(ours.cpu) / ms(floor.cpu).max(0.01))),
            number(to_peer),
            must.join(", ")
        );
        self.grown.push(((*work).to_owned(), *size, *floor, *ours));
    }

    /// The exponents between sizes of the same work, and what was missed.
    pub(crate) fn end(self) {
        println!("\n| Growth | Sizes | criu-gc | Floor |\n|---|---|---|---|");
        for (at, (work, ..)) in self.grown.iter().enumerate() {
            if self.grown[..at].iter().any(|(before, ..)| before == work) {
                continue;
            }
            let sizes: Vec<_> = self.grown.iter().filter(|(other, ..)| other == work).collect();
            if sizes.len() < 2 {
                continue;
            }
            let (mut names, mut own, mut floors) = (sizes[0].1.to_string(), String::new(), String::new());
            for pair in sizes.windows(2) {
                let [(_, small, floor, ours), (_, large, large_floor, more)] = pair else { continue };
                write!(names, " → {large}").expect("memory");
                write!(own, " {:.2}", exponent((*small, *ours), (*large, *more))).expect("memory");
                if let (Some(floor), Some(large_floor)) = (floor, large_floor) {
                    write!(floors, " {:.2}", exponent((*small, *floor), (*large, *large_floor))).expect("memory");
                }
            }
            println!("| {work} | {names} |{own} |{floors} |");
        }
        match self.missed[..] {
            [] => println!("\nAll limits are kept."),
            [..] => println!("\nMissed: {}", self.missed.join("; ")),
        }
    }
}

/// How the time grows with the size: 1 is linear, 2 is square.
fn exponent((small, fast): (usize, Best), (large, slow): (usize, Best)) -> f64 {
    let sizes = f64::from(u32::try_from(large).expect("a size")) / f64::from(u32::try_from(small).expect("a size"));
    (slow.wall.as_secs_f64() / fast.wall.as_secs_f64()).ln() / sizes.ln()
}

fn ratio(one: Best, other: Best) -> f64 {
    one.wall.as_secs_f64() / other.wall.as_secs_f64()
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
