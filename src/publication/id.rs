//! [`PublicationId`]: the name of a publication.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind};
use crate::random::random;
use crate::timestamp::Timestamp;

/// The name of a publication: a UUID of version 7, which begins with the time of its creation.
///
/// Ids are ordered by that time (in milliseconds, by the clock of whoever created them). Prints in
/// the usual form of a UUID, in lower case, and parses only from that form. The random part has 74
/// bits, so that an id cannot be guessed.
///
/// ```
/// use snapfold::Timestamp;
/// use snapfold::publication::PublicationId;
///
/// let id = PublicationId::new(Timestamp::from_seconds(1_754_654_400))?;
/// let text = id.to_string();
/// assert_eq!((text.len(), &text[..13], &text[14..15]), (36, "0198898d-5e00", "7"));
/// assert_eq!(text.parse::<PublicationId>()?, id);
/// # Ok::<(), snapfold::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicationId([u8; 16]);

impl PublicationId {
    /// Creates an id that nobody else has. A time before 1970 counts as 1970.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if the operating system has no random bits.
    pub fn new(created_at: Timestamp) -> Result<Self, Error> {
        let mut bytes = random::<16>("name a publication")?;
        let millis = u64::try_from(created_at.as_micros() / 1_000).unwrap_or(0);
        for (byte, of_time) in bytes.iter_mut().zip(&millis.to_be_bytes()[2..]) {
            *byte = *of_time;
        }
        let [.., version, _, variant, _, _, _, _, _, _, _] = &mut bytes;
        *version = *version & 0x0f | 0x70;
        *variant = *variant & 0x3f | 0x80;
        Ok(Self(bytes))
    }

    /// Creates an id from its bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Returns whether this is a UUID of version 7, as [`new`](Self::new) makes it. Publications
    /// have no other ids.
    pub const fn is_made(&self) -> bool {
        let [.., version, _, variant, _, _, _, _, _, _, _] = self.0;
        version & 0xf0 == 0x70 && variant & 0xc0 == 0x80
    }

    /// Returns the bytes of the id.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl FromStr for PublicationId {
    type Err = Error;

    /// # Errors
    /// [`ErrorKind::InvalidInput`] unless the text has the form of a UUID in lower case.
    fn from_str(text: &str) -> Result<Self, Error> {
        let digits: String = text.split('-').collect();
        let number = u128::from_str_radix(&digits, 16).ok().map(|it| Self(it.to_be_bytes()));
        number.filter(|id| id.to_string() == text).ok_or_else(|| {
            let message = "the text is not a UUID in lower case";
            Error::new(ErrorKind::InvalidInput, "read the id of a publication", message)
        })
    }
}

impl fmt::Display for PublicationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            let dash = if matches!(at, 4 | 6 | 8 | 10) { "-" } else { "" };
            write!(f, "{dash}{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for PublicationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_spelling_and_the_order_of_its_time() {
        let ids: Vec<_> = (0..100)
            .map(|n| PublicationId::new(Timestamp::from_micros(1_000 * (1 << 32) + n * 1_000)))
            .collect::<Result<_, _>>()
            .unwrap();
        assert!(ids.is_sorted());
        for id in ids {
            let text = id.to_string();
            assert_eq!(text.parse::<PublicationId>().unwrap(), id);
            for other in [text.replace('-', ""), format!("{text}0"), format!("+{}", &text[1..])] {
                let error = other.parse::<PublicationId>().unwrap_err();
                assert_eq!(error.kind(), ErrorKind::InvalidInput, "{other}");
            }
        }
        for time in [Timestamp::MIN, Timestamp::MAX] {
            PublicationId::new(time).unwrap();
        }
    }
}
