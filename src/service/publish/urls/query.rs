//! [`UploadQuery`]: the part of a URL that proves a grant.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::record::SigningKeys;
use crate::timestamp::Timestamp;

/// The longest query: three names, the digits of a number, the id of a key and a signature.
const MAX_BYTES: usize = 4 + 20 + 5 + SigningKeys::MAX_KEY_ID_BYTES + 5 + 43;

/// The query of a signed URL. Whoever has it can use the grant until it expires, so `Debug` does not
/// print it.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UploadQuery {
    /// The query, without a question mark: `exp`, in seconds since 1970, `kid` and `sig`, in
    /// base64url. It needs no escaping.
    pub text: String,
    /// The last instant at which it is valid (inclusive), in whole seconds.
    pub expires_at: Timestamp,
}

impl fmt::Debug for UploadQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UploadQuery").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

/// What a query says. Each value has one spelling.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct UploadProof<'a> {
    pub(super) expires: u64,
    pub(super) key_id: &'a str,
    pub(super) signature: [u8; 32],
}

impl<'a> UploadProof<'a> {
    pub(super) fn to_text(&self) -> String {
        let signature = URL_SAFE_NO_PAD.encode(self.signature);
        format!("exp={}&kid={}&sig={signature}", self.expires, self.key_id)
    }

    /// Returns `None` for any text that [`to_text`](Self::to_text) does not write.
    pub(super) fn parse(query: &'a str) -> Option<Self> {
        if query.len() > MAX_BYTES {
            return None;
        }
        let (digits, rest) = query.strip_prefix("exp=")?.split_once("&kid=")?;
        let (key_id, signature) = rest.split_once("&sig=")?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?.try_into().ok()?;
        let proof = Self { expires: digits.parse().ok()?, key_id, signature };
        (proof.to_text() == query).then_some(proof)
    }
}
