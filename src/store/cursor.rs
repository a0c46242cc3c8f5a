//! Cursors that contain a key.

use super::list::Cursor;
use crate::error::{Error, ErrorKind};
use crate::key::AggregateKey;

impl Cursor {
    /// Creates the cursor of a page that ends with `key`. For stores and event sources that list
    /// keys in a fixed order.
    pub fn of_key(key: &AggregateKey) -> Self {
        let mut bytes = Vec::new();
        for part in [key.tenant(), key.kind()] {
            // Each part is at most 65,535 bytes long.
            bytes.extend_from_slice(&u16::try_from(part.len()).unwrap_or(u16::MAX).to_le_bytes());
        }
        for part in [key.tenant(), key.kind(), key.id()] {
            bytes.extend_from_slice(part.as_bytes());
        }
        Self::new(bytes)
    }

    /// Returns the key that was passed to [`of_key`](Self::of_key).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if the cursor was not created by [`of_key`](Self::of_key).
    pub fn to_key(&self) -> Result<AggregateKey, Error> {
        let parts = || {
            let (tenant, rest) = self.as_bytes().split_first_chunk::<2>()?;
            let (kind, rest) = rest.split_first_chunk::<2>()?;
            let (tenant, rest) = rest.split_at_checked(u16::from_le_bytes(*tenant).into())?;
            let (kind, id) = rest.split_at_checked(u16::from_le_bytes(*kind).into())?;
            let text = |bytes| std::str::from_utf8(bytes).ok();
            Some((text(tenant)?, text(kind)?, text(id)?))
        };
        match parts() {
            // The page may have ended with the key of an internal document.
            Some((tenant, kind, id)) => AggregateKey::from_stored(tenant, kind, id),
            None => Err(Error::new(
                ErrorKind::InvalidInput,
                "list aggregates",
                "the cursor belongs to another list: start again without a cursor",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_comes_back_and_nothing_else_does() {
        let long = "x".repeat(AggregateKey::MAX_PART_BYTES);
        for parts in [["", "", ""], ["a", "b", "c\0"], [&long, &long, &long]] {
            let key = AggregateKey::from_parts(parts[0], parts[1], parts[2]).unwrap();
            assert_eq!(Cursor::of_key(&key).to_key().unwrap(), key);
        }
        for bytes in [&b"\xff\xfe\xfd"[..], &[0xff; 40], &[2, 0, 0, 0, 0xc3, 0x28]] {
            let error = Cursor::new(bytes).to_key().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
        }
    }
}
