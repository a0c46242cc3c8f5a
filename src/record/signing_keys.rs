//! [`SigningKeys`]: the keys that sign records and the heads of audit trails.

use std::fmt;
use std::sync::Arc;

use hmac_sha256::HMAC;

use crate::error::{Error, ErrorKind};

/// Keys that sign snapshots and the heads of audit trails, and that check these signatures.
///
/// A signature is an HMAC-SHA-256. It shows that its data was written by somebody who has the key,
/// and was not changed since. Whoever can check signatures can also make them: this is not a
/// public-key signature. Nothing is encrypted; a [`Seal`](crate::codec::Seal) does that.
///
/// The key given to [`new`](Self::new) signs. Those given to [`also`](Self::also) only check. To
/// rotate, create the keys with the new one, and add the old one until nothing is signed with it any
/// more.
///
/// ```
/// use snapfold::record::SigningKeys;
///
/// # let (new_secret, old_secret) = ([2; 32], [1; 32]);
/// let keys = SigningKeys::new("2026-11", new_secret)?.also("2026-05", old_secret)?;
/// assert_eq!(keys.key_id(), "2026-11");
/// assert!(!format!("{keys:?}").contains("2, 2"));
/// # Ok::<(), snapfold::Error>(())
/// ```
///
/// Use 32 random bytes as a secret, not a password. Cloning only increments a reference count.
#[derive(Clone)]
pub struct SigningKeys {
    signs: Arc<SigningKey>,
    also: Vec<Arc<SigningKey>>,
    accepts_unsigned: bool,
}

struct SigningKey {
    id: String,
    secret: [u8; 32],
}

impl SigningKeys {
    /// The maximum length of the id of a key, in bytes (inclusive).
    pub const MAX_KEY_ID_BYTES: usize = 64;

    /// Signs with this key. The id is stored in clear with each signature.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if the id is empty or longer than
    /// [`MAX_KEY_ID_BYTES`](Self::MAX_KEY_ID_BYTES), or contains white space or a control character.
    pub fn new(key_id: impl Into<String>, secret: [u8; 32]) -> Result<Self, Error> {
        let signs = SigningKey::new(key_id.into(), secret)?;
        Ok(Self { signs, also: Vec::new(), accepts_unsigned: false })
    }

    /// Also accepts what was signed with this key, for example after a newer key replaced it. Can be
    /// called several times.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] as for [`new`](Self::new), and if another key has the same id.
    pub fn also(mut self, key_id: impl Into<String>, secret: [u8; 32]) -> Result<Self, Error> {
        let key = SigningKey::new(key_id.into(), secret)?;
        if self.find(&key.id).is_some() {
            let message = format!("two signing keys have the id {:?}: rename one", key.id);
            return Err(invalid(message));
        }
        self.also.push(key);
        Ok(self)
    }

    /// Also accepts snapshots that are not signed, for the time in which a store still has some.
    ///
    /// By default, an engine with keys rejects them. Otherwise somebody who can write to the store
    /// could remove a signature together with the change that it would reveal. So this setting
    /// protects nothing: use it only until the old snapshots are signed or deleted. It has no effect
    /// on audit trails.
    pub fn accept_unsigned(mut self) -> Self {
        self.accepts_unsigned = true;
        self
    }

    /// Returns the id of the key that signs.
    pub fn key_id(&self) -> &str {
        &self.signs.id
    }

    /// Returns whether the keys include one with this id.
    pub fn knows(&self, key_id: &str) -> bool {
        self.find(key_id).is_some()
    }

    pub(crate) fn accepts_unsigned(&self) -> bool {
        self.accepts_unsigned
    }

    fn find(&self, key_id: &str) -> Option<&SigningKey> {
        let mut all = std::iter::once(&self.signs).chain(&self.also);
        all.find(|key| key.id == key_id).map(AsRef::as_ref)
    }

    /// Signs the concatenation of `parts`. The caller begins it with bytes that tell what is signed,
    /// so that no signature is valid for something else.
    pub(crate) fn mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        self.signs.mac(parts)
    }

    /// Returns whether `mac` is the signature of the concatenation of `parts` with the key of this
    /// id. `None` if there is no such key.
    pub(crate) fn matches(&self, key_id: &str, parts: &[&[u8]], mac: &[u8; 32]) -> Option<bool> {
        let ours = self.find(key_id)?.mac(parts);
        // All bytes are compared, so the time does not depend on where the first difference is.
        let difference = ours.iter().zip(mac).fold(0, |all, (a, b)| all | (a ^ b));
        Some(std::hint::black_box(difference) == 0)
    }
}

impl SigningKey {
    fn new(id: String, secret: [u8; 32]) -> Result<Arc<Self>, Error> {
        if !is_key_id(&id) {
            let limit = SigningKeys::MAX_KEY_ID_BYTES;
            return Err(invalid(format!(
                "the id of a signing key has 1 to {limit} bytes, without white space and control \
                 characters: {id:?} has not"
            )));
        }
        Ok(Arc::new(Self { id, secret }))
    }

    fn mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut hmac = HMAC::new(self.secret);
        for part in parts {
            hmac.update(part);
        }
        hmac.finalize()
    }
}

/// Returns whether a text can be the id of a signing key.
pub(crate) fn is_key_id(text: &str) -> bool {
    (1..=SigningKeys::MAX_KEY_ID_BYTES).contains(&text.len())
        && !text.contains(|c: char| c.is_whitespace() || c.is_control())
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidInput, "use signing keys", message)
}

/// Shows the ids of the keys, and no secrets.
impl fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let also: Vec<_> = self.also.iter().map(|key| &key.id).collect();
        f.debug_struct("SigningKeys")
            .field("signs", &self.signs.id)
            .field("also", &also)
            .field("accepts_unsigned", &self.accepts_unsigned)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_checked_and_secrets_are_not_shown() {
        let long = "k".repeat(65);
        for id in ["", "a b", "a\n", "a\u{2028}", "\0", &long] {
            let error = SigningKeys::new(id, [7; 32]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{id:?}");
            let keys = SigningKeys::new("k", [7; 32]).unwrap();
            assert_eq!(keys.also(id, [8; 32]).unwrap_err().kind(), ErrorKind::InvalidInput);
        }
        let keys = SigningKeys::new(&long[1..], [7; 32]).unwrap().also("b", [8; 32]).unwrap();
        for id in [&long[1..], "b"] {
            let error = keys.clone().also(id, [9; 32]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(!format!("{error:?} {error:#}").contains('9'), "{error:?}");
        }
        let shown = format!("{keys:?} {keys:#?}");
        assert!(shown.contains("\"b\"") && !shown.contains(['7', '8']), "{shown}");
    }

    #[test]
    fn only_the_same_key_and_bytes_match() {
        let keys = SigningKeys::new("a", [1; 32]).unwrap().also("b", [2; 32]).unwrap();
        let mac = keys.mac(&[b"one", b"two"]);
        assert_eq!(keys.matches("a", &[b"onetwo"], &mac), Some(true));
        assert_eq!(keys.matches("b", &[b"onetwo"], &mac), Some(false));
        assert_eq!(keys.matches("c", &[b"onetwo"], &mac), None);
        for at in 0..32 {
            for bit in 0..8 {
                let mut other = mac;
                other[at] ^= 1 << bit;
                assert_eq!(keys.matches("a", &[b"onetwo"], &other), Some(false));
            }
        }
    }
}
