//! The error for an invalid schedule.

use crate::error::{Error, ErrorKind};

pub(super) fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidInput, "make a schedule", message)
}
