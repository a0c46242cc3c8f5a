//! [`Failed`]: why a value has no digest.

use std::fmt;

/// Why a value has no digest.
///
/// One pointer, so that a `Result` of it fits a register: all calls of a serializer return one.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(crate) struct Failed(Box<Why>);

#[derive(Debug, thiserror::Error)]
enum Why {
    /// Its own `Serialize` failed in the compact form; the text is its own.
    #[error("its Serialize failed: {0}")]
    Own(String),
    #[error("it nests deeper than the limit")]
    TooDeep,
}

impl Failed {
    #[cold]
    pub(super) fn too_deep() -> Self {
        Self(Box::new(Why::TooDeep))
    }

    /// Whether the value nests deeper than the limit; otherwise its own `Serialize` failed.
    pub(crate) fn is_too_deep(&self) -> bool {
        matches!(*self.0, Why::TooDeep)
    }
}

impl serde::ser::Error for Failed {
    #[cold]
    fn custom<T: fmt::Display>(why: T) -> Self {
        Self(Box::new(Why::Own(why.to_string())))
    }
}
