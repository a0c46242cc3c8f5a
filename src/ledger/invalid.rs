//! The error of what no schedule can be.

use crate::error::{Error, ErrorKind};

pub(super) fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidInput, "make a schedule", message)
}
