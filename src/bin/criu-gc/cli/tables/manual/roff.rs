// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A manual page in the making: sections of clap_mangen, and those that are written for it.

use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

/// The text so far.
pub(super) struct Page(Vec<u8>);

impl Page {
    pub(super) fn new() -> Self {
        Self(Vec::new())
    }

    /// A section that clap_mangen writes.
    pub(super) fn clap(&mut self, render: impl FnOnce(&mut dyn std::io::Write) -> std::io::Result<()>) {
        render(&mut self.0).expect("memory");
    }

    /// The options of a command, in a section whose name ends so.
    pub(super) fn options(&mut self, of: &str, man: &Man) {
        let mut text = Vec::new();
        man.render_options_section(&mut text).expect("memory");
        let text = String::from_utf8(text).expect("text");
        self.0.extend(text.replacen(".SH OPTIONS", &format!(".SH \"OPTIONS{of}\""), 1).into_bytes());
    }

    pub(super) fn section(&mut self, name: &str) {
        self.roff(Roff::new().control("SH", [name]));
    }

    pub(super) fn synopsis(&mut self, lines: &[&str]) {
        self.section("SYNOPSIS");
        for (number, line) in lines.iter().enumerate() {
            let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
            let mut roff = Roff::new();
            if number > 0 {
                roff.control("br", []);
            }
            self.roff(roff.text([bold(name), roman(format!(" {rest}"))]));
        }
    }

    pub(super) fn paragraph(&mut self, text: &str) {
        self.roff(Roff::new().control("PP", []).text([roman(text)]));
    }

    /// A term, and what it means.
    pub(super) fn entry(&mut self, term: &str, meaning: &str) {
        self.roff(Roff::new().control("TP", []).text([bold(term)]).text([roman(meaning)]));
    }

    /// A command, and what it does.
    pub(super) fn example(&mut self, command: &str, meaning: &str) {
        self.entry(&format!("# {command}"), meaning);
    }

    pub(super) fn text(self) -> String {
        String::from_utf8(self.0).expect("text")
    }

    fn roff(&mut self, roff: &Roff) {
        // The preamble, which defines how apostrophes are written, is in clap_mangen's title.
        self.0.extend(roff.to_roff().into_bytes());
    }
}
