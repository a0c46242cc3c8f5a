//! [`Failed`]: why a value has no digest.

use std::fmt;

/// Why a value has no digest.
///
/// A `Result` of it fits a register, because it is one pointer. All methods of the serializer
/// return it.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(crate) struct Failed(Box<Why>);

#[derive(Debug, thiserror::Error)]
enum Why {
    /// The value's own `Serialize` failed. Contains its error message.
    #[error("Serialize failed: {0}")]
    Own(String),
    #[error("the state nests deeper than the limit")]
    TooDeep,
}

impl Failed {
    #[cold]
    pub(super) fn too_deep() -> Self {
        Self(Box::new(Why::TooDeep))
    }

    /// Returns whether the value nests deeper than the limit. If not, its own `Serialize` failed.
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
