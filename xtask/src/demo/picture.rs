// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a terminal showed, as an SVG. It has no colours and no cursor, so a line of text is a line of the picture.

use std::fmt::Write;
use std::path::Path;

use crate::error::Error;
use crate::tree;

const LINE: usize = 18;
const COLUMN: f64 = 7.83;
const MARGIN: usize = 16;

/// Lines of text.
#[derive(Debug, Default)]
pub(super) struct Picture(String);

impl Picture {
    /// Adds what was printed.
    pub(super) fn add(&mut self, text: &str) {
        self.0 += text;
    }

    /// Draws it.
    pub(super) fn write(&self, file: &Path) -> Result<(), Error> {
        tree::write(file, &svg(self.0.trim_matches('\n')))
    }
}

fn svg(text: &str) -> String {
    let columns = text.lines().map(|line| line.chars().count()).max().unwrap_or_default();
    let width = (columns as f64 * COLUMN).ceil() as usize + 2 * MARGIN;
    let height = text.lines().count() * LINE + 2 * MARGIN;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         font-family=\"ui-monospace, DejaVu Sans Mono, Menlo, Consolas, monospace\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"#16181d\"/>\n"
    );
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty()) {
        let y = MARGIN + number * LINE + 13;
        let look = if line.starts_with("# ") { "fill=\"#ffffff\" font-weight=\"bold\"" } else { "fill=\"#c5cad3\"" };
        let line = escaped(line);
        // Writing to a string cannot fail.
        let _ = writeln!(svg, "<text x=\"{MARGIN}\" y=\"{y}\" {look} xml:space=\"preserve\">{line}</text>");
    }
    svg + "</svg>\n"
}

fn escaped(line: &str) -> String {
    line.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_line_of_the_picture() {
        let svg = svg("# a <b> & c\n\nd -> e");
        assert_eq!(svg.matches("<text ").count(), 2);
        assert!(svg.contains("font-weight=\"bold\" xml:space=\"preserve\"># a &lt;b&gt; &amp; c</text>"), "{svg}");
        assert!(svg.contains("y=\"65\"") && svg.contains(">d -&gt; e</text>"), "{svg}");
    }
}
