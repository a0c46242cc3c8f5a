//! Random bits of the operating system, for secrets and for names that nobody else uses.

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

/// Returns a random number.
#[cfg(feature = "object-store")]
pub(crate) fn random_number(operation: &'static str) -> Result<u64, Error> {
    random(operation).map(u64::from_le_bytes)
}
