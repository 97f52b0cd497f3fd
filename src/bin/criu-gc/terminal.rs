// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The only module that prints, and the only one that asks.
//!
//! Names come from images that anybody may have written, and root sees them. So everything that could move the cursor,
//! break a line, or hide or reorder text is escaped, and so is invalid UTF-8, wherever the output goes: somebody may
//! view a file on a terminal later. JSON has the exact bytes.
#![expect(clippy::disallowed_methods, reason = "this is the place that prints")]

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufRead, BufWriter, IsTerminal, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

pub(crate) use self::messages::Messages;

mod messages;

/// A line under construction: the tool's own words, and text from outside.
#[derive(Debug, Clone, Default)]
pub(crate) struct Line {
    bytes: Vec<u8>,
}

impl Line {
    /// An empty line.
    pub(crate) fn new() -> Self {
        Line::default()
    }

    /// Adds the tool's own words.
    pub(crate) fn say(mut self, words: &str) -> Self {
        self.bytes.extend_from_slice(words.as_bytes());
        self
    }

    /// Adds text from outside.
    pub(crate) fn quote(mut self, text: &[u8]) -> Self {
        escape(text, &mut self.bytes);
        self
    }

    /// The line, without its end.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Where output goes.
#[derive(Debug, Clone)]
pub(crate) struct Terminal {
    verbosity: u8,
    messages: Arc<Mutex<Messages>>,
}

/// What a person answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Go on.
    Yes,
    /// Anything else.
    No,
}

impl Terminal {
    /// Output on standard output, messages where they are wanted.
    pub(crate) fn new(verbosity: u8, messages: Messages) -> Self {
        Terminal { verbosity, messages: Arc::new(Mutex::new(messages)) }
    }

    /// Writes what was held back, and all further messages, into this file; or else on standard error.
    pub(crate) fn log_into(&self, log: Option<File>) {
        self.messages().release(log);
    }

    fn messages(&self) -> MutexGuard<'_, Messages> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How much the user wants to know (`-v`, `-vv`, …).
    pub(crate) fn verbosity(&self) -> u8 {
        self.verbosity
    }

    /// Whether a question can be put to a person.
    pub(crate) fn can_ask(&self) -> bool {
        io::stdin().is_terminal() && io::stdout().is_terminal()
    }

    /// Prints lines on standard output.
    pub(crate) fn print(&self, lines: &[Line]) -> io::Result<()> {
        let mut output = BufWriter::new(io::stdout().lock());
        let mut print = |line: &Line| output.write_all(line.as_bytes()).and_then(|()| output.write_all(b"\n"));
        let printed = lines.iter().try_for_each(&mut print);
        ignore_broken_pipe(printed.and_then(|()| output.flush()))
    }

    /// Prints a whole document on standard output.
    pub(crate) fn print_document(&self, document: &str) -> io::Result<()> {
        write_out(format!("{document}\n").as_bytes())
    }

    /// The same with one of JSON, in whose strings every character can be written as an escape. It is written as it is
    /// made: whoever wrote the images says how long it is.
    pub(crate) fn print_json(&self, document: &impl Serialize) -> io::Result<()> {
        let mut output = BufWriter::new(io::stdout().lock());
        ignore_broken_pipe(write_json(document, &mut output).and_then(|()| output.flush()))
    }

    /// The same on a single line, and at once: somebody follows.
    pub(crate) fn print_json_line(&self, document: &impl Serialize) -> io::Result<()> {
        let mut output = BufWriter::new(io::stdout().lock());
        let written = serde_json::to_writer(JsonEscapes { output: &mut output }, document).map_err(io::Error::from);
        let written = written.and_then(|()| output.write_all(b"\n"));
        ignore_broken_pipe(written.and_then(|()| output.flush()))
    }

    /// Writes a message for people: to the log file if there is one, else to standard error. What comes from outside
    /// is escaped as for a terminal, wherever it goes.
    pub(crate) fn message(&self, text: &str) {
        let line = Line::new().say("criu-gc: ").quote(text.as_bytes()).say("\n");
        self.messages().message(line);
    }

    /// A line that tells how far something has come.
    pub(crate) fn progress(&self) -> ProgressLine {
        let is_seen = matches!(*self.messages(), Messages::StandardError) && io::stderr().is_terminal();
        ProgressLine { due: Cell::new(is_seen.then(|| Instant::now() + PATIENCE)), is_shown: Cell::new(false) }
    }

    /// Writes an error: always to standard error, and to the log file if there is one.
    pub(crate) fn error(&self, text: &str) {
        let line = Line::new().say("criu-gc: error: ").quote(text.as_bytes()).say("\n");
        self.messages().error(line);
    }

    /// Asks a yes-or-no question; nothing but a clear yes is one.
    pub(crate) fn ask(&self, question: &str) -> io::Result<Answer> {
        let mut output = io::stdout().lock();
        write!(output, "{question} [y/N] ")?;
        output.flush()?;
        let mut answer = String::new();
        let _ = io::stdin().lock().read_line(&mut answer)?;
        Ok(if matches!(answer.trim(), "y" | "Y" | "yes" | "Yes") { Answer::Yes } else { Answer::No })
    }
}

/// What takes no longer than this needs no word about it.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often the line is rewritten.
const INTERVAL: Duration = Duration::from_millis(200);
/// Goes to the start of the line and empties it.
const EMPTY_LINE: &str = "\r\x1b[K";

/// How far something has come that takes long: a line on standard error, if that is a terminal, which is gone when this
/// is dropped.
#[derive(Debug)]
pub(crate) struct ProgressLine {
    /// When the line is to be written; never if nobody sees it.
    due: Cell<Option<Instant>>,
    is_shown: Cell<bool>,
}

impl ProgressLine {
    /// Whether anybody sees it.
    pub(crate) fn is_seen(&self) -> bool {
        self.due.get().is_some()
    }

    /// Shows the text, if it is time to.
    pub(crate) fn show(&self, text: impl FnOnce() -> String) {
        let now = Instant::now();
        if self.due.get().is_none_or(|due| now < due) {
            return;
        }
        let line = Line::new().say(EMPTY_LINE).say("criu-gc: ").quote(text().as_bytes());
        let _ = io::stderr().lock().write_all(line.as_bytes());
        self.due.set(Some(now + INTERVAL));
        self.is_shown.set(true);
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        if self.is_shown.get() {
            let _ = io::stderr().lock().write_all(EMPTY_LINE.as_bytes());
        }
    }
}

/// Writes on standard output. A reader that has gone away has seen enough: the work goes on all the same.
fn write_out(text: &[u8]) -> io::Result<()> {
    let mut output = io::stdout().lock();
    ignore_broken_pipe(output.write_all(text).and_then(|()| output.flush()))
}

fn ignore_broken_pipe(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Says on standard error that the output could not be written.
pub(crate) fn report_failure(error: &io::Error) {
    // Nobody is left to tell if this cannot be written either.
    let _ = writeln!(io::stderr(), "criu-gc: error: cannot write the output: {error}");
}

/// What people can be shown of a text from outside.
pub(crate) fn escaped(text: &[u8]) -> String {
    let mut bytes = Vec::new();
    escape(text, &mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

fn write_json(document: &impl Serialize, output: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer_pretty(JsonEscapes { output: &mut *output }, document)?;
    output.write_all(b"\n")
}

/// Writes JSON with escapes for all that could deceive. What is given to it at a time is whole characters: serde_json
/// writes pieces of strings as they are, and everything else in ASCII.
struct JsonEscapes<W> {
    output: W,
}

impl<W: Write> Write for JsonEscapes<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.iter().all(|byte| matches!(byte, b'\n' | b' '..=b'~')) {
            self.output.write_all(bytes)?;
            return Ok(bytes.len());
        }
        let text = std::str::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        for character in text.chars() {
            if character == '\n' || is_harmless(character) {
                write!(self.output, "{character}")?;
            } else {
                let mut units = [0; 2];
                let units = character.encode_utf16(&mut units);
                units.iter().try_for_each(|unit| write!(self.output, "\\u{unit:04x}"))?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

/// Appends `text`, escaped.
fn escape(text: &[u8], bytes: &mut Vec<u8>) {
    if text.iter().all(|byte| matches!(byte, b' '..=b'~')) {
        return bytes.extend_from_slice(text);
    }
    for chunk in text.utf8_chunks() {
        for character in chunk.valid().chars() {
            if is_harmless(character) {
                let mut buffer = [0; 4];
                bytes.extend_from_slice(character.encode_utf8(&mut buffer).as_bytes());
            } else {
                bytes.extend(character.escape_default().map(|each| each as u8));
            }
        }
        bytes.extend(chunk.invalid().iter().flat_map(|byte| format!("\\x{byte:02x}").into_bytes()));
    }
}

fn is_harmless(character: char) -> bool {
    // Format characters, and letters that show nothing: direction overrides, joiners and fillers can make one name look
    // like another.
    let is_unseen = matches!(character,
        '\u{00ad}' | '\u{034f}' | '\u{0600}'..='\u{0605}' | '\u{061c}' | '\u{06dd}' | '\u{070f}' | '\u{115f}'
        | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
        | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}');
    !character.is_control() && !is_unseen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &[u8], shown: &str) {
        assert_eq!(escaped(text), shown);
        assert_eq!(Line::new().quote(text).as_bytes(), shown.as_bytes());
    }

    #[test]
    fn plain_names_stay() {
        check("/tmp/größe 1".as_bytes(), "/tmp/größe 1");
    }

    #[test]
    fn what_moves_the_cursor_or_breaks_a_line_is_escaped() {
        check(b"a\x1b[2Jb\nc", "a\\u{1b}[2Jb\\nc");
        check("c1:\u{9b}".as_bytes(), "c1:\\u{9b}");
    }

    #[test]
    fn what_deceives_the_eye_or_is_no_text_is_escaped() {
        check("\u{202e}gnp.x".as_bytes(), "\\u{202e}gnp.x");
        check("a\u{3164}b\u{e0101}".as_bytes(), "a\\u{3164}b\\u{e0101}");
        check(b"/a/\xff", "/a/\\xff");
    }

    #[test]
    fn json_stays_the_same_document() {
        let text = "\u{202e}\u{9b}\u{e0001}\u{7f}größe\u{1f600}";
        let mut escaped = Vec::new();
        write_json(&[text], &mut escaped).unwrap();
        let escaped = String::from_utf8(escaped).unwrap();
        assert_eq!(escaped, "[\n  \"\\u202e\\u009b\\udb40\\udc01\\u007fgröße\u{1f600}\"\n]\n");
        assert_eq!(serde_json::from_str::<Vec<String>>(&escaped).unwrap(), [text]);
    }
}
