//! Random bits of the operating system, for secrets.

use crate::error::{Error, ErrorKind};

/// Returns random bytes.
pub(crate) fn random<const N: usize>(operation: &'static str) -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|source| {
        let message = "the operating system has no random bits";
        Error::new(ErrorKind::Unsupported, operation, message).with_source(source)
    })?;
    Ok(bytes)
}
