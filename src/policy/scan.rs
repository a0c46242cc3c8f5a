//! [`PolicyScanner`]: reads a policy's text, and knows the column.

use crate::error::{Error, ErrorKind};

/// The most of a wrong word that an error repeats, in characters.
const MAX_SHOWN: usize = 30;

/// The text that is left to read.
pub(super) struct PolicyScanner<'t> {
    rest: &'t str,
    /// Of the next character, from 1 on.
    column: usize,
}

/// A place in the text, for errors.
#[derive(Clone, Copy)]
pub(super) struct TextPlace<'t> {
    rest: &'t str,
    column: usize,
}

impl<'t> PolicyScanner<'t> {
    pub(super) const fn new(text: &'t str) -> Self {
        Self { rest: text, column: 1 }
    }

    /// Reads the characters up to the first one that does not match.
    fn take(&mut self, matches: impl Fn(char) -> bool) -> &'t str {
        let end = self.rest.find(|c| !matches(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
        self.rest = rest;
        self.column = self.column.saturating_add(taken.chars().count());
        taken
    }

    /// Skips white space, and returns the place of what follows.
    pub(super) fn place(&mut self) -> TextPlace<'t> {
        self.take(char::is_whitespace);
        TextPlace { rest: self.rest, column: self.column }
    }

    /// Reads ASCII letters; empty if there are none.
    pub(super) fn word(&mut self) -> &'t str {
        self.place();
        self.take(|c| c.is_ascii_alphabetic())
    }

    /// Reads digits; empty if there are none.
    pub(super) fn digits(&mut self) -> &'t str {
        self.place();
        self.take(|c| c.is_ascii_digit())
    }

    /// Reads up to a comma or white space.
    pub(super) fn bare(&mut self) -> &'t str {
        self.place();
        self.take(|c| !is_end(c))
    }

    /// Reads this character if it is the next one.
    pub(super) fn is_next(&mut self, wanted: char) -> bool {
        self.place();
        match self.rest.strip_prefix(wanted) {
            Some(rest) => {
                self.rest = rest;
                self.column = self.column.saturating_add(1);
                true
            }
            None => false,
        }
    }

    /// Reads what follows an opening quote, up to the closing one.
    pub(super) fn quoted(&mut self) -> Result<String, Error> {
        let mut text = String::new();
        loop {
            text.push_str(self.take(|c| !matches!(c, '"' | '\\')));
            let mut left = self.rest.chars();
            match (left.next(), left.next()) {
                (Some('"'), _) => {
                    self.take_one();
                    return Ok(text);
                }
                (Some('\\'), Some(escaped @ ('"' | '\\'))) => {
                    self.take_one();
                    self.take_one();
                    text.push(escaped);
                }
                (Some(_), _) => {
                    let place = TextPlace { rest: self.rest, column: self.column };
                    return Err(place.expected("`\\\"` for a quote or `\\\\` for a backslash"));
                }
                (None, _) => {
                    let place = TextPlace { rest: self.rest, column: self.column };
                    return Err(place.expected("a closing quote"));
                }
            }
        }
    }

    fn take_one(&mut self) {
        let mut rest = self.rest.chars();
        if rest.next().is_some() {
            self.rest = rest.as_str();
            self.column = self.column.saturating_add(1);
        }
    }
}

impl TextPlace<'_> {
    pub(super) const fn is_end(self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn is_digit(self) -> bool {
        self.rest.starts_with(|c: char| c.is_ascii_digit())
    }

    /// The error that something else stands here.
    pub(super) fn expected(self, what: &str) -> Error {
        if self.is_end() {
            return self.wrong(format!("expected {what}, found the end"));
        }
        let mut found: String =
            self.rest.chars().take_while(|c| !is_end(*c)).take(MAX_SHOWN).collect();
        if found.is_empty() {
            found.extend(self.rest.chars().next());
        }
        self.wrong(format!("expected {what}, found {found:?}"))
    }

    pub(super) fn wrong(self, message: impl AsRef<str>) -> Error {
        self.error(ErrorKind::InvalidInput, message.as_ref())
    }

    pub(super) fn error(self, kind: ErrorKind, message: &str) -> Error {
        let message = format!("column {}: {message}", self.column);
        Error::new(kind, "parse a retention policy", message)
    }
}

fn is_end(c: char) -> bool {
    c == ',' || c.is_whitespace()
}
