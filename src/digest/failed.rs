//! [`Failed`]: why a value has no digest.

use std::fmt;

/// Why a value has no digest.
#[derive(Debug)]
pub(crate) enum Failed {
    /// Its own `Serialize` failed in the compact form; the text is its own.
    Own(String),
    /// It nests deeper than the limit.
    TooDeep,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own(why) => write!(f, "its Serialize failed: {why}"),
            Self::TooDeep => f.write_str("it nests deeper than the limit"),
        }
    }
}

impl std::error::Error for Failed {}

impl serde::ser::Error for Failed {
    #[cold]
    fn custom<T: fmt::Display>(why: T) -> Self {
        Self::Own(why.to_string())
    }
}
