//! The error type of a trace: [`Fault`].

use std::fmt;

use serde::{de, ser};

/// An offered value was not accepted, or the trace ended a pass on purpose.
///
/// It carries no text: what a user type says about a made-up value helps nobody, and formatting
/// it would run more foreign code. The tracer itself remembers where the fault appeared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault;

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a sample value was not accepted")
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

impl ser::Error for Fault {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}
