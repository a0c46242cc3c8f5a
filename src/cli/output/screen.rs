//! [`Screen`]: standard output, and what is known about it.

use std::fmt;
use std::io::{self, IsTerminal as _, Write};

use console::{Style, Term, measure_text_width};
use serde_json::Value;

use super::json::one_line;

/// The narrowest output that tables are fitted to, in columns.
const MIN_WIDTH: usize = 40;

/// Standard output. A text is written as it is, so callers escape what strangers wrote.
pub(crate) struct Screen {
    to: Box<dyn Write + Send + Sync>,
    /// The number of columns; `None` if lines may have any length.
    width: Option<usize>,
    has_colour: bool,
}

/// What a text on the screen stands for. Shown by colour, and never by colour alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    Heading,
    Good,
    Notable,
    Bad,
    Faint,
}

impl Screen {
    /// Returns standard output. Its width is that of the terminal, or the environment variable
    /// `COLUMNS`; colours are used on a terminal, unless `NO_COLOR` is set.
    pub(crate) fn stdout() -> Self {
        let is_terminal = io::stdout().is_terminal();
        let given = std::env::var("COLUMNS").ok().and_then(|text| text.trim().parse().ok());
        // A terminal that does not tell its width has 80 columns.
        let own = || Term::stdout().size_checked().map_or(80, |(_, columns)| columns.into());
        let width = given.filter(|width| *width > 0).or_else(|| is_terminal.then(own));
        let without = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        Self {
            to: Box::new(io::BufWriter::new(io::stdout())),
            width: width.map(|width: usize| width.max(MIN_WIDTH)),
            has_colour: is_terminal && !without && !is_dumb,
        }
    }

    /// Returns the number of columns to fit, or `None` if lines may have any length.
    pub(crate) const fn width(&self) -> Option<usize> {
        self.width
    }

    /// Writes one line.
    pub(crate) fn line(&mut self, line: impl fmt::Display) -> io::Result<()> {
        writeln!(self.to, "{line}")
    }

    /// Writes words, in as many lines as they need.
    pub(crate) fn paragraph(&mut self, text: &str) -> io::Result<()> {
        self.toned_paragraph(Tone::Plain, text)
    }

    /// Writes words as a heading.
    pub(crate) fn heading(&mut self, text: &str) -> io::Result<()> {
        self.toned_paragraph(Tone::Heading, text)
    }

    /// Writes words in the colour of a tone, in as many lines as they need.
    pub(crate) fn toned_paragraph(&mut self, tone: Tone, text: &str) -> io::Result<()> {
        for line in wrapped(text, self.width) {
            let line = self.toned(tone, &line);
            self.line(line)?;
        }
        Ok(())
    }

    /// Writes a JSON document in one line.
    pub(crate) fn json(&mut self, document: &Value) -> io::Result<()> {
        self.line(one_line(document))
    }

    /// Writes bytes as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.to.write_all(bytes)
    }

    /// Writes what was buffered.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }

    /// Returns a text in the colour of its tone, if there are colours.
    pub(crate) fn toned(&self, tone: Tone, text: &str) -> String {
        if !self.has_colour || tone == Tone::Plain {
            return text.to_owned();
        }
        let style = Style::new().force_styling(true);
        let style = match tone {
            Tone::Plain => style,
            Tone::Heading => style.bold(),
            Tone::Good => style.green(),
            Tone::Notable => style.yellow(),
            Tone::Bad => style.red(),
            Tone::Faint => style.dim(),
        };
        style.apply_to(text).to_string()
    }
}

/// Breaks a text into lines of at most `width` columns, between words if possible.
fn wrapped(text: &str, width: Option<usize>) -> Vec<String> {
    let Some(width) = width else { return vec![text.to_owned()] };
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split(' ') {
        let columns = measure_text_width(word);
        if used > 0 && used + 1 + columns <= width {
            used += 1;
            if let Some(line) = lines.last_mut() {
                line.push(' ');
            }
        } else if used > 0 {
            lines.push(String::new());
            used = 0;
        }
        // A word that is longer than a line is broken.
        for c in word.chars() {
            let columns = measure_text_width(c.encode_utf8(&mut [0; 4]));
            if used + columns > width {
                lines.push(String::new());
                used = 0;
            }
            used += columns;
            if let Some(line) = lines.last_mut() {
                line.push(c);
            }
        }
    }
    lines
}

/// Writes a text to standard error, in lines that fit if that is a terminal. Nothing can be done if
/// that fails.
pub(crate) fn tell(text: &str) {
    let terminal = Term::stderr();
    // A terminal that does not tell its width has 80 columns.
    let own = || terminal.size_checked().map_or(80, |(_, columns)| columns.into());
    let width = terminal.is_term().then(own).map(|width: usize| width.max(MIN_WIDTH));
    let mut stderr = io::stderr().lock();
    for line in text.lines() {
        // Lines that fit may be indented, which wrapping does not keep.
        let fits = width.is_none_or(|width| measure_text_width(line) <= width);
        let lines = if fits { vec![line.to_owned()] } else { wrapped(line, width) };
        for line in lines {
            let _ = writeln!(stderr, "{line}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words_and_long_words_anywhere() {
        assert_eq!(wrapped("one two three", Some(7)), ["one two", "three"]);
        assert_eq!(wrapped("one twotwotwo x", Some(5)), ["one", "twotw", "otwo", "x"]);
        assert_eq!(wrapped("one two", None), ["one two"]);
        // Each of these characters takes two columns.
        assert_eq!(wrapped("\u{4e2d}\u{4e2d}\u{4e2d}", Some(5)).len(), 2);
        assert_eq!(wrapped("", Some(5)), [""]);
    }
}
