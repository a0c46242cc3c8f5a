//! [`ArtifactId`]: the content hash that names an artifact.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind};
use crate::hex::unhex;

/// The name of an artifact: the SHA-256 of its content.
///
/// Prints as 64 lower-case hexadecimal digits, and parses only from that form. Ids are ordered by
/// their bytes, which is also the order of their digits.
///
/// ```
/// use snapfold::artifact::ArtifactId;
///
/// let id = ArtifactId::of(b"");
/// assert_eq!(
///     id.to_string(),
///     "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
/// );
/// assert_eq!(id.to_string().parse::<ArtifactId>()?, id);
/// # Ok::<(), snapfold::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ArtifactId([u8; 32]);

impl ArtifactId {
    /// Returns the id of the artifact with this content. Takes time in proportion to its length.
    pub fn of(content: &[u8]) -> Self {
        Self(hmac_sha256::Hash::hash(content))
    }

    /// Creates an id from the bytes of a hash.
    pub const fn from_bytes(hash: [u8; 32]) -> Self {
        Self(hash)
    }

    /// Returns the bytes of the hash.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for ArtifactId {
    type Err = Error;

    /// # Errors
    /// [`ErrorKind::InvalidInput`] unless the text is 64 lower-case hexadecimal digits.
    fn from_str(text: &str) -> Result<Self, Error> {
        let lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
        let hash = Some(text).filter(|text| lower && text.len() == 64).and_then(unhex);
        hash.and_then(|hash| hash.try_into().ok()).map(Self).ok_or_else(|| {
            let message = "the text is not 64 lower-case hexadecimal digits";
            Error::new(ErrorKind::InvalidInput, "read the id of an artifact", message)
        })
    }
}

impl fmt::Display for ArtifactId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ArtifactId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_spelling() {
        let text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let id = ArtifactId::of(b"abc");
        assert_eq!((id.to_string(), text.parse().unwrap()), (text.to_owned(), id));
        for other in [&*text.to_uppercase(), &text[1..], &format!("{text}0"), "", "\u{e9}"] {
            let error = other.parse::<ArtifactId>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{other}");
        }
        let text = text.replacen('b', "g", 1);
        assert!(text.parse::<ArtifactId>().is_err());
    }
}
