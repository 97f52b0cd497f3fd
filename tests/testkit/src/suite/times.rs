// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How long each test took, as a table under the suite's result: libtest-mimic prints only the time of the whole.

use std::cmp::Reverse;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How many are shown where not all are.
const SLOWEST: usize = 20;

/// Which times are shown.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Shown {
    /// Those of all tests.
    All,
    /// Those of the slowest tests, so that what is printed above stays in view.
    Slowest,
}

/// A test that has ended.
#[derive(Clone, Debug)]
struct Time {
    name: String,
    duration: Duration,
}

static TIMES: Mutex<Vec<Time>> = Mutex::new(Vec::new());

/// Measures a test.
pub(super) struct Watch {
    name: String,
}

/// A test that is running; it ends when this is dropped, by a panic too.
pub(super) struct Running {
    name: String,
    start: Instant,
}

impl Watch {
    pub(super) fn new(name: &str) -> Self {
        Watch { name: name.to_owned() }
    }

    pub(super) fn start(self) -> Running {
        Running { name: self.name, start: Instant::now() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let time = Time { name: std::mem::take(&mut self.name), duration: self.start.elapsed() };
        TIMES.lock().unwrap_or_else(PoisonError::into_inner).push(time);
    }
}

/// Prints the times of tests that have run.
pub(super) fn print(shown: Shown) {
    let times = TIMES.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let count = match shown {
        Shown::All => times.len(),
        Shown::Slowest => SLOWEST,
    };
    print!("{}", table(times, count));
}

/// No line begins as one of libtest's does, which programs read.
fn table(mut times: Vec<Time>, count: usize) -> String {
    if times.is_empty() {
        return String::new();
    }
    times.sort_by_key(|time| Reverse(time.duration));
    let all: Duration = times.iter().map(|time| time.duration).sum();
    let line = |time: &Time| format!("{:8.2} s  {}\n", time.duration.as_secs_f64(), time.name);
    let lines: String = times.iter().take(count).map(line).collect();
    let which = if count < times.len() { format!("the slowest {count} of ") } else { String::new() };
    format!("times of {which}{} tests, {:.0} s in all:\n{lines}\n", times.len(), all.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times() -> Vec<Time> {
        let time =
            |(name, millis): (&str, u64)| Time { name: name.to_owned(), duration: Duration::from_millis(millis) };
        [("one (criu 4.3)", 20), ("two", 12_340), ("three", 7_000)].map(time).into()
    }

    #[test]
    fn the_slowest_test_comes_first() {
        let expected =
            "times of 3 tests, 19 s in all:\n   12.34 s  two\n    7.00 s  three\n    0.02 s  one (criu 4.3)\n\n";
        assert_eq!(table(times(), 3), expected);
        assert_eq!(table(times(), 1), "times of the slowest 1 of 3 tests, 19 s in all:\n   12.34 s  two\n\n");
        assert_eq!(table(Vec::new(), 0), "");
    }

    #[test]
    fn a_test_that_panics_is_measured_too() {
        let watch = Watch::new("panics");
        std::panic::catch_unwind(|| {
            let _running = watch.start();
            panic!("as a test does");
        })
        .unwrap_err();
        let times = TIMES.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(times.iter().any(|time| time.name == "panics"));
    }
}
