//! [`UploadKeys`]: the keys that sign the URLs of uploads.

use std::fmt;

use crate::error::{Error, ErrorKind};
use crate::random::random;
use crate::record::SigningKeys;
use crate::timestamp::Timestamp;

/// The keys that sign the URLs of uploads, each with an id. The newest one signs, and all of them
/// verify until they are retired.
///
/// To rotate, [`add`](Self::add) a key on all nodes, and [`retire`](Self::retire) the old one when
/// the last URL that it signed has expired. Use 32 random bytes as a secret, and for nothing else.
///
/// ```
/// use snapfold::Timestamp;
/// use snapfold::service::publish::UploadKeys;
///
/// # let (old_secret, new_secret) = ([1; 32], [2; 32]);
/// let keys = UploadKeys::new("2026-05", old_secret)?
///     .add("2026-11", new_secret)?
///     .retire("2026-05", Timestamp::from_seconds(1_793_000_000))?;
/// assert_eq!(keys.newest(), "2026-11");
/// # Ok::<(), snapfold::Error>(())
/// ```
#[derive(Clone)]
pub struct UploadKeys {
    newest: SigningKeys,
    /// With the time after which a key is not accepted.
    older: Vec<(SigningKeys, Timestamp)>,
}

impl UploadKeys {
    /// The maximum number of keys (inclusive).
    pub const MAX_KEYS: usize = 16;

    /// Signs and verifies with this key. The id is part of each URL.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] unless the id has 1 to 64 ASCII letters, digits, `.`, `_` and `-`.
    pub fn new(id: impl Into<String>, secret: [u8; 32]) -> Result<Self, Error> {
        Ok(Self { newest: key(id.into(), secret)?, older: Vec::new() })
    }

    /// Signs and verifies with a random key that no other process has. URLs end with the process.
    ///
    /// # Errors
    /// As for [`new`](Self::new); [`ErrorKind::Unsupported`] if the operating system has no random
    /// bits.
    pub fn generate(id: impl Into<String>) -> Result<Self, Error> {
        Self::new(id, random("generate a key")?)
    }

    /// Signs with this key from now on. Those before it still verify.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] as for [`new`](Self::new), if another key has the same id, or if
    /// there are too many.
    pub fn add(mut self, id: impl Into<String>, secret: [u8; 32]) -> Result<Self, Error> {
        let added = key(id.into(), secret)?;
        if self.find(added.key_id()).is_some() {
            return Err(invalid(format!("two keys have the id {:?}", added.key_id())));
        }
        if self.older.len() + 1 >= Self::MAX_KEYS {
            return Err(invalid(format!("there are more than {} keys", Self::MAX_KEYS)));
        }
        self.older.push((std::mem::replace(&mut self.newest, added), Timestamp::MAX));
        Ok(self)
    }

    /// Accepts nothing with this key after the time `at`. It is not the one that signs.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if the key is not known, or is the newest.
    pub fn retire(mut self, id: &str, at: Timestamp) -> Result<Self, Error> {
        let found = self.older.iter_mut().find(|(key, _)| key.key_id() == id);
        let Some((_, until)) = found else {
            return Err(invalid(format!("no key that is not the newest has the id {id:?}")));
        };
        *until = at;
        Ok(self)
    }

    /// Returns the id of the key that signs.
    pub fn newest(&self) -> &str {
        self.newest.key_id()
    }

    pub(super) fn sign(&self, bytes: &[u8]) -> [u8; 32] {
        self.newest.mac(&[bytes])
    }

    /// Returns until when a signature is accepted, or `None` if it is wrong. Takes the same time
    /// wherever the signature differs.
    pub(super) fn accepts_until(
        &self,
        id: &str,
        bytes: &[u8],
        signature: &[u8; 32],
    ) -> Option<Timestamp> {
        let (key, until) = self.find(id)?;
        key.matches(id, &[bytes], signature)?.then_some(until)
    }

    fn find(&self, id: &str) -> Option<(&SigningKeys, Timestamp)> {
        let older = self.older.iter().map(|(key, until)| (key, *until));
        let mut all = older.chain([(&self.newest, Timestamp::MAX)]);
        all.find(|(key, _)| key.key_id() == id)
    }
}

/// A key with an id that is the same text in a query.
fn key(id: String, secret: [u8; 32]) -> Result<SigningKeys, Error> {
    if id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')) {
        return SigningKeys::new(id, secret);
    }
    Err(invalid(format!(
        "the id of a key has only ASCII letters, digits, '.', '_' and '-': {id:?}"
    )))
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidInput, "use keys for uploads", message)
}

/// Shows the ids of the keys, and no secrets.
impl fmt::Debug for UploadKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let older: Vec<_> = self.older.iter().map(|(key, until)| (key.key_id(), until)).collect();
        f.debug_struct("UploadKeys")
            .field("newest", &self.newest.key_id())
            .field("older", &older)
            .finish_non_exhaustive()
    }
}
