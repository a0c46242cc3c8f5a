//! [`Failure`], a broken obligation with the details, and [`Stop`], why a case ended early.

use std::fmt::{self, Debug, Write};

use crate::error::{BoxError, Error};

/// Why a case failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// The ids of the broken obligations, in order. Empty if the case could not be set up, which is
    /// not a fault of the store.
    pub broken: Vec<&'static str>,
    /// The operation.
    pub message: String,
    /// The expected result.
    pub expected: String,
    /// The actual result.
    pub got: String,
}

impl Failure {
    pub(super) fn new(broken: &'static str, message: impl Into<String>) -> Self {
        Self {
            broken: vec![broken],
            message: message.into(),
            expected: String::new(),
            got: String::new(),
        }
    }

    pub(super) fn expected(mut self, expected: impl Into<String>) -> Self {
        self.expected = expected.into();
        self
    }

    /// Sets the actual result, truncated to a readable length.
    pub(super) fn got(mut self, got: impl Into<String>) -> Self {
        self.got = shortened(got.into());
        self
    }

    /// Creates a failure of the site or of the kit itself.
    pub(super) fn setup(message: impl Into<String>, error: &dyn fmt::Display) -> Self {
        Self {
            broken: Vec::new(),
            message: message.into(),
            expected: "a successful setup".into(),
            got: shortened(format!("{error:#}")),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let broken = if self.broken.is_empty() { "setup".into() } else { self.broken.join(", ") };
        write!(f, "{broken}: {}; expected {}, got {}", self.message, self.expected, self.got)
    }
}

/// Returns the debug form of a value, truncated to a readable length. A list of a million items is
/// not formatted completely before it is truncated.
pub(super) fn shown(value: &dyn Debug) -> String {
    let mut text = Limited(String::new());
    let _ = write!(text, "{value:?}");
    text.0
}

const SHOWN_BYTES: usize = 400;

fn shortened(text: String) -> String {
    if text.len() <= SHOWN_BYTES {
        return text;
    }
    let mut short = Limited(String::new());
    let _ = short.write_str(&text);
    short.0
}

/// Accepts the first part of a string and refuses the rest.
struct Limited(String);

impl Write for Limited {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            if self.0.len() + 4 > SHOWN_BYTES {
                self.0.push_str("...");
                return Err(fmt::Error);
            }
            self.0.push(c);
        }
        Ok(())
    }
}

/// Why a case ended early.
#[derive(Debug)]
pub(super) enum Stop {
    Failed(Failure),
    /// The ability that the store or the site lacks.
    Skipped(&'static str),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// An error in the kit, which made an invalid key or record.
impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(Failure::setup("make a test record", &error))
    }
}

/// An error returned by the site.
impl From<BoxError> for Stop {
    fn from(error: BoxError) -> Self {
        Self::Failed(Failure::setup("call the site", &error))
    }
}

/// Fails with `failure` unless `holds`.
pub(super) fn ensure(holds: bool, failure: impl FnOnce() -> Failure) -> Result<(), Stop> {
    if holds { Ok(()) } else { Err(failure().into()) }
}
